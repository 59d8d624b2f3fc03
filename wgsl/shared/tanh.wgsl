// The hyperbolic tangent, right to a few units in the last place. WGSL's own may be off by 1e-5, which a cap of 50 makes
// 5e-4, and may be no number where its argument is large. Include-only.

fn accurate_tanh(x: vec4<f32>) -> vec4<f32> {
  // e^(-2|x|), which ends in 0. Near 0 that is too near 1, and the first terms of the series do.
  let decay = exp2(abs(x) * -2.88539008177793);
  let square = x * x;
  let series = fma(square, fma(square, fma(square, fma(square, vec4<f32>(0.0218694885361552),
    vec4<f32>(-0.0539682539682540)), vec4<f32>(0.133333333333333)), vec4<f32>(-0.333333333333333)), vec4<f32>(1.0));
  return select(sign(x) * (1.0 - decay) / (1.0 + decay), x * series, abs(x) < vec4<f32>(0.25));
}
