// The gradient of the weight of gated_norm.wgsl, in shares of the rows, which are heads of tokens:
//   partials[share][i] = Σ d_output[t][h][i] · silu(z[t][h][i]) · x[t][h][i] · rstd[t][h].
//
// Shapes: as there; rstd f32 [tokens, heads]; partials f32 [shares, dim], zero up to the pitch. One thread per component
// and share.

struct Params {
  rows: u32,
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  rstd_pitch: u32, partials_pitch: u32,
  share_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> d_output: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= params.partials_pitch) { return; }
  let first = group.y * params.share_rows;
  // Columns behind the last have no rows.
  let last = select(first, min(first + params.share_rows, params.rows), i < params.dim);
  var sum = 0.0;
  for (var row = first; row < last; row++) {
    let token = row / params.heads;
    let head = row % params.heads;
    let at = token * params.pitch + head * params.dim + i;
    let z = merged[token * params.z_pitch + params.z_column + head * params.dim + i];
    let gate = z / (1.0 + exp(-max(z, -80.0)));
    sum += d_output[at] * gate * x[at] * rstd[token * params.rstd_pitch + head];
  }
  partials[group.y * params.partials_pitch + i] = sum;
}
