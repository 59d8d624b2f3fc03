// The SiLU gate, gated(gate, up) = silu(gate) · up with silu(g) = g · sigmoid(g), and its gradient.
// Include-only: another activation is another file with these two functions.

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * sigmoid(gate) * up;
}

// Gradients of gate and up from dy, that of the result.
struct GateUp {
  gate: vec4<f32>,
  up: vec4<f32>,
}

fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let s = sigmoid(gate);
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s)), dy * gate * s);
}
