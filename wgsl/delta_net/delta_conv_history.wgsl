// Moves the history of delta_conv.wgsl on: its last WIDTH − 1 tokens become those of the history and the input together.
//
// Shapes: input f32 [tokens, ·], history f32 [WIDTH − 1, channels]. One thread per channel, which reads each row of the
// history before it writes it, as rows only move to the front.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, history_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> history: array<f32>;

//! include delta_conv_columns.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let channel = linear_index(group, groups) * THREADS + thread;
  if (channel >= params.channels) { return; }
  for (var row = 0u; row < WIDTH - 1; row++) {
    let at = params.tokens + row; // counted from the first token of the old history
    var x = 0.0;
    if (at < WIDTH - 1) { x = history[at * params.history_pitch + channel]; }
    else { x = input[(at - (WIDTH - 1)) * params.input_pitch + column_of(channel)]; }
    history[row * params.history_pitch + channel] = x;
  }
}
