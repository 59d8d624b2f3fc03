// Partial sums of columns: one row of `partials` per chunk of rows,
//   partials[k][c] = alpha · Σ_{r in chunk k} input[r][column + c]
//
// Shapes: input f32 [rows, ·], of which `cols` columns from `column` on, a multiple of 4, are added; partials f32
// [chunks, cols], zero up to the pitch. sum_partials.wgsl adds the chunks. With PRODUCT the elements are times those of
// `times`, a matrix like input, and the sums times factors[column + c].
// Idea: one thread per vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough
// threads.

struct Params {
  rows: u32,
  cols: u32,
  column: u32,
  pitch: u32,
  vectors: u32, // vec4s in a row of partials
  chunk_rows: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;
//! if PRODUCT
@group(0) @binding(3) var<storage, read> times: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> factors: array<vec4<f32>>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.vectors) { return; }
  let first = group.y * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  // Columns behind the last are made zero: the matrix may hold others there.
  let inside = 4u * id.x + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.cols);
  // A vector that is all outside only has to read inside.
  let vector = min(id.x, (params.cols - 1u) / 4u);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
//! if PRODUCT
    let at = (row * params.pitch + params.column) / 4u + vector;
    sum += input[at] * times[at];
//! else
    sum += input[(row * params.pitch + params.column) / 4u + vector];
//! end
  }
//! if PRODUCT
  sum *= factors[params.column / 4u + vector];
//! end
  partials[group.y * params.vectors + id.x] = select(vec4<f32>(), params.alpha * sum, inside);
}
