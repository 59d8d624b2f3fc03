// The gate of GeGLU, gated(gate, up) = gelu(gate) · up with gelu(g) = g · (1 + tanh(u)) / 2 of
// u = sqrt(2/π) · (g + 0.044715 · g³), and its gradient.
// Include-only, from gate_up.wgsl.
//
// (1 + tanh(u)) / 2 is sigmoid(2u), which overflows nowhere. Beyond ±10 it is 0 or 1 to any use, and the bound keeps g³
// finite.

const GELU_SLOPE = 1.5957691216057308; // 2 · sqrt(2/π)
const GELU_CUBE = 0.044715;

fn bounded(g: vec4<f32>) -> vec4<f32> { return clamp(g, vec4<f32>(-10.0), vec4<f32>(10.0)); }

// sigmoid(2u)
fn share(g: vec4<f32>) -> vec4<f32> {
  return sigmoid(GELU_SLOPE * g * (1.0 + GELU_CUBE * g * g));
}

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * share(bounded(gate)) * up;
}

// From dy, that of the result.
fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let g = bounded(gate);
  let s = share(g);
  let slope = GELU_SLOPE * (1.0 + 3.0 * GELU_CUBE * g * g); // of 2u
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s) * slope), dy * gate * s);
}
