// SwiGLU: output[t][c] = silu(gate[t][c]) · up[t][c], with silu(g) = g / (1 + e^−g).
//
// Shapes: gate_up [rows, 2·pitch] with the gate in columns 0 … width and the up projection in pitch … pitch + width, where
// pitch is the output's (the merged linear starts each part at a multiple of 16); output [rows, width], both f32.
// Idea: one thread a vec4 of the output, up to the pitch: zeros between give zeros.
//! include silu.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  output[item] = swiglu(gate_up[at], gate_up[at + params.vectors]);
}
