// The gate of SwiGLU, gated(gate, up) = silu(gate) · up with silu(g) = g · sigmoid(g), and its gradient.
// Include-only, from gate_up.wgsl.

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * sigmoid(gate) * up;
}

// From dy, that of the result.
fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let s = sigmoid(gate);
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s)), dy * gate * s);
}
