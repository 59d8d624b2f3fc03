// Partial sums of the gradient of a weight of the RMSNorm of queries and keys: one row of `partials` per chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_qkv[r][c] · qkv[r][c] · rstd[r]
// over rows of queries, or of keys: `rows_per_token` rows of a token beside each other, from column `column` on.
//
// Shapes: qkv and d_qkv f32 [tokens, ·], d_qkv being the gradient of what was normed; rstd f32 [tokens, ·], of which
// these rows have the columns from first_row on; partials f32 [chunks, cols], zero up to the pitch. sum_partials.wgsl
// adds the chunks, in order.
// Idea: one thread per column, neighbours side by side in memory; chunks (y) only give a large GPU enough threads.

struct Params {
  rows: u32,
  rows_per_token: u32,
  cols: u32,
  column: u32,
  pitch: u32,
  d_pitch: u32,
  first_row: u32,
  rstd_pitch: u32,
  chunk_rows: u32,
  partials_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> d_qkv: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= params.partials_pitch) { return; }
  let first = group.y * params.chunk_rows;
  // Columns behind the last have no rows.
  let last = select(first, min(first + params.chunk_rows, params.rows), c < params.cols);
  var sum = 0.0;
  for (var row = first; row < last; row++) {
    let token = row / params.rows_per_token;
    let index = row % params.rows_per_token;
    let place = params.column + index * params.cols + c;
    sum += d_qkv[token * params.d_pitch + place] * qkv[token * params.pitch + place] * rstd[token * params.rstd_pitch + params.first_row + index];
  }
  partials[group.y * params.partials_pitch + c] = sum;
}

