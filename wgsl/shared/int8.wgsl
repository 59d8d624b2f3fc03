// The codec of src/numerics/int8.ts in WGSL: integers from -127 to 127, four in a u32, lowest byte first.
// Include-only.

// Rounded to nearest, ties to even; NaN becomes 0.
fn pack4_int8(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  let limited = clamp(select(v, vec4<f32>(), bits > vec4<u32>(0x7f800000u)), vec4<f32>(-127.0), vec4<f32>(127.0));
  let codes = bitcast<vec4<u32>>(vec4<i32>(round(limited))) & vec4<u32>(0xffu);
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

fn unpack4_int8(codes: u32) -> vec4<f32> {
  let high = vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes);
  return vec4<f32>(bitcast<vec4<i32>>(high) >> vec4<u32>(24u));
}
