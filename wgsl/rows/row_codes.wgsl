// How a kernel that makes rows writes them as codes.
// Include-only; constants of the format from src/kernels/codes.ts. Four codes are a CODES_WORD; scales has one f32 per row.
//! include $CODES_INCLUDE
//! include row_scale.wgsl
//! include code_place.wgsl

@group(0) @binding(7) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<$CODES_WORD>;
//! if CODES == f16

// f16 for every f32: saturated like the FP8 formats, but infinity is NaN, so that an overflow stays visible.
fn pack4_f16(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(65504.0)), 10u, 15u) | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
  let codes = select(finite, vec4<u32>(0x7e00u), (bits & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u));
  return codes.xz | (codes.yw << vec2<u32>(16u));
}
//! end

// Writes the codes of four values, already scaled, at a place of code_place.
fn write_codes(at: u32, v: vec4<f32>) {
  codes[at] = pack4_$CODES(v);
}

// The bits of the largest magnitude of four values: of NaN, if there is one.
fn largest(v: vec4<f32>) -> u32 {
  let q = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(q.x, q.y), max(q.z, q.w));
}
