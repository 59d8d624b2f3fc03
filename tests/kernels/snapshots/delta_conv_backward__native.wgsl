const THREADS = 128;
const WIDTH = 4;
// The gradient of the input of delta_conv.wgsl from that of its sums:
//   d_input[t][c] = Σ_back weight[c][WIDTH − 1 − back] · d[t + back][c], over the tokens of the document.
//
// Shapes: d f32 [tokens, channels]; d_input f32 [tokens, ·], of which the columns of q, k and v are written. One thread
// per element of d.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


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

// Where the channels of a delta net's convolution, q, k and v beside each other, are in the merged output of the linear
// layer before it: each of the three begins at a column of its own. Include-only.

fn column_of(channel: u32) -> u32 {
  if (channel < params.keys) { return channel; }
  if (channel < 2u * params.keys) { return channel - params.keys + params.k_column; }
  return channel - 2u * params.keys + params.v_column;
}


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

