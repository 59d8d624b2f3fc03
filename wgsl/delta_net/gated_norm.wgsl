// The norm behind a delta net, every value head of a token by itself, times a gate:
//   output[t][h][i] = x[t][h][i] · rstd · weight[i] · silu(z[t][h][i]),  rstd = 1 / sqrt(mean(x[t][h]²) + eps).
//
// Shapes: x and output f32 [tokens, heads · dim], z columns of merged f32 [tokens, ·], weight f32 [dim]. One workgroup
// per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32, // heads of all tokens
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / params.heads;
  let column = row % params.heads * params.dim;
  let at = token * params.pitch + column;
  let z_at = token * params.z_pitch + params.z_column + column;
  var squares = 0.0;
  for (var i = thread; i < params.dim; i += THREADS) { squares += x[at + i] * x[at + i]; }
  let rstd = 1.0 / sqrt(workgroup_sum(squares, thread) / f32(params.dim) + params.eps);
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    output[at + i] = x[at + i] * rstd * weight[i] * z / (1.0 + exp(-max(z, -80.0)));
  }
}
