// SwiGLU: output[t][c] = silu(gate[t][c]) · up[t][c], with silu(g) = g / (1 + e^−g).
//
// Shapes: gate_up [rows, 2·width] with the gate in columns 0 … width and the up projection behind it, output
// [rows, width], both f32. ELEMENT is vec4<f32> where width is a multiple of 4, else f32; all counts are in ELEMENTs.
// Idea: one thread an ELEMENT of the output, columns up to the pitch included, which become zero.
//! include silu.wgsl

struct Params {
  rows: u32,
  width: u32,
  input_pitch: u32,
  output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$ELEMENT>;
@group(0) @binding(2) var<storage, read_write> output: array<$ELEMENT>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let row = item / params.output_pitch;
  let column = item % params.output_pitch;
  if (row >= params.rows) { return; }
  var value = $ELEMENT();
  if (column < params.width) {
    let at = row * params.input_pitch + column;
    let gate = gate_up[at];
    value = gate * sigmoid(gate) * gate_up[at + params.width];
  }
  output[item] = value;
}
