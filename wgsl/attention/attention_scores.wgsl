// The soft cap of attention scores: c · tanh(score / c), with c in params.soft_cap, and all in units of log 2. Include-only.
//! include tanh.wgsl

fn capped(scores: vec4<f32>) -> vec4<f32> { return params.soft_cap * accurate_tanh(scores / params.soft_cap); }

// By what a gradient of capped scores is multiplied to be one of the scores: 1 − tanh².
fn cap_slope(capped: vec4<f32>) -> vec4<f32> {
  let tangent = capped / params.soft_cap;
  return 1.0 - tangent * tangent;
}
