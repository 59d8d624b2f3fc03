const THREADS = 128;
// Gradient of the gate of swiglu.wgsl:
//   d_gate = d_output · up · act'(gate),   d_up = d_output · act(gate)
//
// Shapes: gate_up [rows, 2·pitch] of gate_up.wgsl, d_gate_up f32 like it, d_output f32 [rows, width]. act is computed
// again rather than kept. Idea: one thread per vec4 of gate and up together.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// What the gate of an MLP and its gradient read of the linear layer before them, and the activation. Include-only.
//
// Shapes: gate_up [rows, 2·pitch], f32 or f16 (GATE_UP), with the gate in columns 0 … width and the up projection in
// pitch … pitch + width: the merged linear starts each part at a multiple of 16. Precision is in f32 either way.
//
// ACTIVATION names the file with the activation act: gated(gate, up) = act(gate) · up, and gated_gradient of it.
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


// Gradients of gate and up.
struct GateUp {
  gate: vec4<f32>,
  up: vec4<f32>,
}

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}

alias GateUpWord = vec2<u32>;

@group(0) @binding(1) var<storage, read> gate_up: array<GateUpWord>;

// The values of a word.
fn widened(word: GateUpWord) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
}

// Four values, `at` counted in fours.
fn gate_up_at(at: u32) -> vec4<f32> { return widened(gate_up[at]); }


struct Params {
  rows: u32,
  vectors: u32, // fours in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  let d = gated_gradient(gate_up_at(at), gate_up_at(at + params.vectors), d_output[item]);
  d_gate_up[at] = d.gate;
  d_gate_up[at + params.vectors] = d.up;
}

