// The gradient of gated_norm.wgsl: with n = x · rstd and g = d_output · silu(z) · weight,
//   d_x = rstd · (g − n · mean(g · n)),  d_z = d_output · n · weight · silu'(z).
// With STATISTICS rstd f32 [tokens, heads] is kept for the gradient of the weight.
//
// Shapes: as there; d_output and d_x f32 [tokens, heads · dim], d_z in the columns of z of d_merged. One workgroup per
// head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  eps: f32,
//! if STATISTICS
  rstd_pitch: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> d_output: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_merged: array<f32>;
//! if STATISTICS
@group(0) @binding(7) var<storage, read_write> rstd: array<f32>;
//! end

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
  var product = 0.0;
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    let s = 1.0 / (1.0 + exp(-max(z, -80.0)));
    squares += x[at + i] * x[at + i];
    product += x[at + i] * d_output[at + i] * z * s * weight[i];
  }
  let row_rstd = 1.0 / sqrt(workgroup_sum(squares, thread) / f32(params.dim) + params.eps);
  let pull = workgroup_sum(product, thread) * row_rstd / f32(params.dim);
//! if STATISTICS
  if (thread == 0u) { rstd[token * params.rstd_pitch + row % params.heads] = row_rstd; }
//! end
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    let s = 1.0 / (1.0 + exp(-max(z, -80.0)));
    let d = d_output[at + i] * weight[i];
    let n = x[at + i] * row_rstd;
    d_x[at + i] = row_rstd * (d * z * s - n * pull);
    d_merged[z_at + i] = d * n * s * (1.0 + z * (1.0 - s));
  }
}
