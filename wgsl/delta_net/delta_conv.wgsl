// output[t][c] = silu(Σ_tap weight[c][tap] · input[t − (WIDTH − 1) + tap][c]): see delta_conv_sums.wgsl.
//
// Shapes: input f32 [tokens, ·], the merged output of a linear layer; output f32 [tokens, channels]. One thread per
// element of the output up to its pitch, whose last columns become zero.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32, // channels of q, and of k
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32,
//! if HISTORY
  history_pitch: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
//! if HISTORY
@group(0) @binding(4) var<storage, read> history: array<f32>;
//! else
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
//! end
//! include delta_conv_sums.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens) { return; }
  var y = 0.0;
  if (channel < params.channels) {
    let sum = conv_sum(token, channel);
    y = sum * sigmoid(sum);
  }
  output[item] = y;
}
