// Gradient of SwiGLU. With s = sigmoid(gate):
//   d_gate = d_output · up · s · (1 + gate · (1 − s)),   d_up = d_output · gate · s
//
// Shapes: gate_up, d_gate_up [rows, 2·width] (gate columns, then up columns), d_output [rows, width], all f32.
// ELEMENT as in swiglu.wgsl. s is computed again rather than kept.
// Idea: one thread an ELEMENT of gate and up together; the threads behind them zero the columns up to the pitch.
//! include silu.wgsl

struct Params {
  rows: u32,
  width: u32,
  input_pitch: u32,
  output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$ELEMENT>;
@group(0) @binding(2) var<storage, read> d_output: array<$ELEMENT>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<$ELEMENT>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let tasks = params.input_pitch - params.width;
  let row = item / tasks;
  let column = item % tasks;
  if (row >= params.rows) { return; }
  let at = row * params.input_pitch + column;
  if (column >= params.width) {
    d_gate_up[at + params.width] = $ELEMENT();
    return;
  }
  let dy = d_output[row * params.output_pitch + column];
  let gate = gate_up[at];
  let s = sigmoid(gate);
  d_gate_up[at] = dy * gate_up[at + params.width] * s * (1.0 + gate * (1.0 - s));
  d_gate_up[at + params.width] = dy * gate * s;
}
