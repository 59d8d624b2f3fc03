// sigmoid(g) = 1 / (1 + e^−g), the gate of silu(g) = g · sigmoid(g).

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}
