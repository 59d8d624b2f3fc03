// Partial sums of the gradient of RMSNorm's weight: one row of `partials` per chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_output[r][c] · input[r][c] · rstd[r]
//
// Shapes: d_output, input [rows, cols], rstd [rows], partials [chunks, cols], all f32. sum_partials.wgsl adds the chunks.
// Idea: one thread per vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough
// threads.

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  chunk_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  if (column >= params.vectors) { return; }
  let first = group.y * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
    let at = row * params.vectors + column;
    sum += d_output[at] * input[at] * rstd[row];
  }
  partials[group.y * params.vectors + column] = sum;
}
