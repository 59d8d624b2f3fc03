const THREADS = 128;
const WIDTH = 4;
// The gradient of the activation of delta_conv.wgsl, in place: d[t][c] *= silu'(sum[t][c]), with the sums made again.
//
// Shapes: input f32 [tokens, ·], d f32 [tokens, channels]. One thread per element.
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
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
// The causal convolution of a delta net, each channel by itself, before its activation. Include-only.
//
// Channels are q, k and v beside each other; in the merged output of the linear layer before them each begins at a column
// of its own. The weight is f32 [channels, WIDTH], of which the last tap is the token itself. A token sees no token of
// another document; with HISTORY all are of one, and those before the first are in history, f32 [WIDTH − 1, channels].

// Where the channels of a delta net's convolution, q, k and v beside each other, are in the merged output of the linear
// layer before it: each of the three begins at a column of its own. Include-only.

fn column_of(channel: u32) -> u32 {
  if (channel < params.keys) { return channel; }
  if (channel < 2u * params.keys) { return channel - params.keys + params.k_column; }
  return channel - 2u * params.keys + params.v_column;
}


fn conv_sum(token: u32, channel: u32) -> f32 {
  let column = column_of(channel);
  var sum = 0.0;
  let start = documents[token].x;
  for (var tap = 0u; tap < WIDTH; tap++) {
    let back = WIDTH - 1 - tap;
    if (token >= start + back) {
      sum += weight[channel * WIDTH + tap] * input[(token - back) * params.input_pitch + column];
    }
  }
  return sum;
}

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-max(x, -80.0))); }


@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens || channel >= params.channels) { return; }
  let sum = conv_sum(token, channel);
  let s = sigmoid(sum);
  d[item] *= s * (1.0 + sum * (1.0 - s));
}

