// The gradient of the input of delta_conv.wgsl from that of its sums:
//   d_input[t][c] = Σ_back weight[c][WIDTH − 1 − back] · d[t + back][c], over the tokens of the document.
//
// Shapes: d f32 [tokens, channels]; d_input f32 [tokens, ·], of which the columns of q, k and v are written. One thread
// per element of d.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_input: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;

//! include delta_conv_columns.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens || channel >= params.channels) { return; }
  let end = min(documents[token].y, params.tokens);
  var sum = 0.0;
  for (var back = 0u; back < WIDTH; back++) {
    if (token + back < end) {
      sum += weight[channel * WIDTH + (WIDTH - 1 - back)] * d[item + back * params.output_pitch];
    }
  }
  d_input[token * params.input_pitch + column_of(channel)] = sum;
}
