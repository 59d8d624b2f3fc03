// The gradient of delta_norm.wgsl, in place: with s the factor of a row (query_scale, or 1) and y what it became,
//   d = rstd · (s · d − y · (y · d) / s).
//
// Shapes: as there; d f32 [tokens, ·] has the columns of qkv. One workgroup per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  key_heads: u32,
  key_dim: u32,
  pitch: u32,
  query_scale: f32,
  rstd_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / (2u * params.key_heads);
  let head = row % (2u * params.key_heads);
  let at = token * params.pitch + head * params.key_dim;
  var product = 0.0;
  for (var i = thread; i < params.key_dim; i += THREADS) { product += qkv[at + i] * d[at + i]; }
  let scale = select(1.0, params.query_scale, head < params.key_heads);
  let pull = workgroup_sum(product, thread) / scale;
  let row_rstd = rstd[token * params.rstd_pitch + head];
  for (var i = thread; i < params.key_dim; i += THREADS) {
    d[at + i] = row_rstd * (scale * d[at + i] - qkv[at + i] * pull);
  }
}
