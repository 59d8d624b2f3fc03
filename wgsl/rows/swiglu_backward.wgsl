// Gradient of the gate of swiglu.wgsl:
//   d_gate = d_output · up · act'(gate),   d_up = d_output · act(gate)
//
// Shapes: gate_up [rows, 2·pitch] of gate_up.wgsl, d_gate_up f32 like it, d_output f32 [rows, width]. act is computed
// again rather than kept. Idea: one thread per vec4 of gate and up together.
//! include linear_grid.wgsl
//! include gate_up.wgsl

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
