// What the gate of an MLP and its gradient read of the linear layer before them, and the activation. Include-only.
//
// Shapes: gate_up [rows, 2·pitch], f32 or f16 (GATE_UP), with the gate in columns 0 … width and the up projection in
// pitch … pitch + width: the merged linear starts each part at a multiple of 16. Precision is in f32 either way.
//
// ACTIVATION names the file with the activation act: gated(gate, up) = act(gate) · up, and gated_gradient of it.
//! include $ACTIVATION

// Gradients of gate and up.
struct GateUp {
  gate: vec4<f32>,
  up: vec4<f32>,
}

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}

//! if GATE_UP == f16
alias GateUpWord = vec2<u32>;
//! else
alias GateUpWord = vec4<f32>;
//! end

@group(0) @binding(1) var<storage, read> gate_up: array<GateUpWord>;

// The values of a word.
fn widened(word: GateUpWord) -> vec4<f32> {
//! if GATE_UP == f16
  return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
//! else
  return word;
//! end
}

// Four values, `at` counted in fours.
fn gate_up_at(at: u32) -> vec4<f32> { return widened(gate_up[at]); }
