// Exact sums a[i] · b[i] of four signed bytes each, packed in a u32, the first in the lowest bits. Include-only.
//
// PACKED_DOT: WGSL has it built in (language feature packed_4x8_integer_dot_product), and GPUs as one instruction.

fn dot4(a: u32, b: u32) -> i32 {
//! if PACKED_DOT
  return dot4I8Packed(a, b);
//! else
  const UP = vec4<u32>(24u, 16u, 8u, 0u);
  const DOWN = vec4<u32>(24u);
  let products = ((vec4<i32>(bitcast<i32>(a)) << UP) >> DOWN) * ((vec4<i32>(bitcast<i32>(b)) << UP) >> DOWN);
  return products.x + products.y + products.z + products.w;
//! end
}

// The same of sixteen.
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}
