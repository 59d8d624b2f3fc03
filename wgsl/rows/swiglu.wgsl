// The gate of an MLP: output[t][c] = act(gate[t][c]) · up[t][c], with the activation of gate_up.wgsl: SwiGLU or GeGLU.
//
// Shapes: gate_up [rows, 2·pitch] of gate_up.wgsl; output f32 [rows, width], whose pitch it is.
// Idea: one thread per vec4 of the output, up to the pitch: zeros between give zeros.
//! include linear_grid.wgsl
//! include gate_up.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of the output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  output[item] = gated(gate_up_at(at), gate_up_at(at + params.vectors));
}
