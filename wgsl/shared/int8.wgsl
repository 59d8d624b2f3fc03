// The codec of src/numerics/int8.ts in WGSL: integers from -127 to 127, four in a u32, lowest byte first.
// Include-only.
//
// No conversion between integers and floats, and no rounding function, of which a GPU does a quarter to an eighth as many:
// an integer plus 2^23, or one and a half times that, is an f32 whose lower bits are the integer's.

// Rounded to nearest, ties to even, by the adder; NaN becomes 0.
fn pack4_int8(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  let limited = clamp(select(v, vec4<f32>(), bits > vec4<u32>(0x7f800000u)), vec4<f32>(-127.0), vec4<f32>(127.0));
  let made = bitcast<vec4<u32>>(limited + 12583040.0); // 0x4b400000 + code + 128
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x74c00000u) ^ 0x80808080u;
}

fn unpack4_int8(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa's lowest byte, or the next one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(1.0, 0x1p-8, 1.0, 0x1p-8) -
    vec4<f32>(8388736.0, 32896.0, 8388736.0, 32896.0);
}
