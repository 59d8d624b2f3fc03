// Divides every query and key of a delta net by its norm, in place: y = x · rstd, and queries · query_scale too, with
// rstd = 1 / sqrt(Σ x² + 1e-6). With STATISTICS rstd f32 [tokens, 2 · key_heads] is kept for the gradient.
//
// Shapes: qkv f32 [tokens, ·], of which the first columns are the heads of q, then those of k, key_dim each. One
// workgroup per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32, // heads of all tokens
  key_heads: u32,
  key_dim: u32,
  pitch: u32,
  query_scale: f32,
  rstd_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
//! if STATISTICS
@group(0) @binding(2) var<storage, read_write> rstd: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / (2u * params.key_heads);
  let head = row % (2u * params.key_heads);
  let at = token * params.pitch + head * params.key_dim;
  var squares = 0.0;
  for (var i = thread; i < params.key_dim; i += THREADS) { squares += qkv[at + i] * qkv[at + i]; }
  let row_rstd = 1.0 / sqrt(workgroup_sum(squares, thread) + 1e-6);
//! if STATISTICS
  if (thread == 0u) { rstd[token * params.rstd_pitch + head] = row_rstd; }
//! end
  let factor = row_rstd * select(1.0, params.query_scale, head < params.key_heads);
  for (var i = thread; i < params.key_dim; i += THREADS) { qkv[at + i] *= factor; }
}
