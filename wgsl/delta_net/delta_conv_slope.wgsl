// The gradient of the activation of delta_conv.wgsl, in place: d[t][c] *= silu'(sum[t][c]), with the sums made again.
//
// Shapes: input f32 [tokens, ·], d f32 [tokens, channels]. One thread per element.
//! include linear_grid.wgsl

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
//! include delta_conv_sums.wgsl HISTORY=false

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
