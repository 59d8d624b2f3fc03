// Rounding to f16. Include-only.

// Four values in two words: finite ones saturate at f16's largest, and what is not finite stays so, to be seen.
fn saturated_halves(value: vec4<f32>) -> vec2<u32> {
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let inside = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  return vec2<u32>(pack2x16float(inside.xy), pack2x16float(inside.zw));
}
