// The FP8 codec of src/fp8/codec.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding mirrors the TypeScript operation by operation, on integers, so that both are bit-equal on every GPU.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

fn round_shift(value: u32, shift: u32) -> u32 {
  let odd = (value >> shift) & 1u;
  return (value + (1u << (shift - 1u)) - 1u + odd) >> shift;
}

// mantissa: stored mantissa bits; bias: exponent of 1; max_code: code of the largest finite value.
fn encode_fp8(x: f32, mantissa: u32, bias: u32, max_code: u32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 24u) & 0x80u;
  let magnitude = bits & 0x7fffffffu;
  let rebias = (127u - bias) << mantissa;
  let shift = 23u - mantissa;
  let normal = round_shift(magnitude, shift) - rebias;
  let small_shift = min(150u - bias - mantissa + 1u - min(magnitude >> 23u, 127u), 25u);
  let subnormal = round_shift((magnitude & 0x7fffffu) | 0x800000u, small_shift);
  let min_normal = (rebias + (1u << mantissa)) << shift;
  var code = select(subnormal, normal, magnitude >= min_normal);
  code = select(code, max_code, magnitude >= (max_code + rebias) << shift);
  return select(sign | code, 0x7fu, magnitude > 0x7f800000u);
}

fn encode_e4m3(x: f32) -> u32 { return encode_fp8(x, 3u, 7u, 0x7eu); }
fn encode_e5m2(x: f32) -> u32 { return encode_fp8(x, 2u, 15u, 0x7bu); }

fn pack4_e4m3(v: vec4<f32>) -> u32 {
  return encode_e4m3(v.x) | (encode_e4m3(v.y) << 8u) | (encode_e4m3(v.z) << 16u) | (encode_e4m3(v.w) << 24u);
}

fn pack4_e5m2(v: vec4<f32>) -> u32 {
  return encode_e5m2(v.x) | (encode_e5m2(v.y) << 8u) | (encode_e5m2(v.z) << 16u) | (encode_e5m2(v.w) << 24u);
}

// Four values times 2^-8: an e4m3 code shifted into an f16 is off by the difference of the exponent biases.
// The NaN code comes out as 480 / 256: the GEMM gains nothing from a test, since a NaN in an activation
// also reaches the loss through the residual stream, which is not quantised.
fn unpack4_e4m3_scaled(codes: u32) -> vec4<f32> {
  let odd = codes >> 8u;
  let even_values = unpack2x16float(((codes & 0x00800080u) << 8u) | ((codes & 0x007f007fu) << 7u));
  let odd_values = unpack2x16float(((odd & 0x00800080u) << 8u) | ((odd & 0x007f007fu) << 7u));
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// Four values, NaN included.
fn unpack4_e4m3(codes: u32) -> vec4<f32> {
  let bytes = vec4<u32>(codes, codes >> 8u, codes >> 16u, codes >> 24u) & vec4<u32>(0x7fu);
  let nan = vec4<f32>(bitcast<f32>(0x7fc00000u | (codes & 0u)));
  return select(unpack4_e4m3_scaled(codes) * 256.0, nan, bytes == vec4<u32>(0x7fu));
}

// Four values, infinities and NaN included: e5m2 is the upper byte of an f16.
fn unpack4_e5m2(codes: u32) -> vec4<f32> {
  let even_values = unpack2x16float((codes << 8u) & 0xff00ff00u);
  let odd_values = unpack2x16float(codes & 0xff00ff00u);
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}
