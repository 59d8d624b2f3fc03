// The functions that gates of a delta net are made of. Include-only.

//! include bounded_below.wgsl

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-bounded_below(vec4<f32>(x)).x)); }

// log(1 + e^x), without an overflow. NaN stays NaN.
fn softplus(x: f32) -> f32 {
  let value = max(x, 0.0) + log(1.0 + exp(-min(abs(x), 80.0)));
  return select(value, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
