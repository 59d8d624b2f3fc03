// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight, or with ONE_MORE
// d_output · (1 + weight):
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With ACCUMULATE the result is added
// to d_input: the gradient of the residual stream that runs past the norm.
// With QUANTIZED, d_input as codes too, of row_codes.wgsl; with COLUMN_SCALES, column_scales [cols] of the rows of the
// weight that it is multiplied by next.
// With ROTATED == source, d_output comes rotated, as from a layer whose input is rotated.
// One workgroup per row, which goes the way of row_pass.wgsl; its sum is that of g · input.
//! include linear_grid.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=true GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

struct Rest {
  x: vec4<f32>,
//! if ACCUMULATE
  before: vec4<f32>,
//! end
}

struct Source {
  dy: vec4<f32>,
  rest: Rest,
}

struct Row {
  rstd: f32,
  pull: f32, // rstd³ · mean(g · input)
}

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return Row(rstd[row], 0.0); }

fn place(row: u32, v: u32) -> u32 { return row * params.vectors + min(v, params.vectors - 1u); }

fn turned(row: u32, v: u32) -> vec4<f32> { return d_output[place(row, v)]; }

fn rest(row: u32, v: u32) -> Rest {
  let at = place(row, v);
//! if ACCUMULATE
  return Rest(input[at], d_input[at]);
//! else
  return Rest(input[at]);
//! end
}

fn source_of(rest: Rest, dy: vec4<f32>) -> Source { return Source(dy, rest); }

fn load(row: u32, v: u32) -> Source { return source_of(rest(row, v), turned(row, v)); }

// What multiplies a value: zero past the end of the weight, which lies before the pitch.
fn factor_at(v: u32) -> vec4<f32> {
  let weights = (params.cols + 3u) / 4u;
//! if ONE_MORE
  return select(vec4<f32>(), 1.0 + weight[min(v, weights - 1u)], v < weights);
//! else
  return select(vec4<f32>(), weight[min(v, weights - 1u)], v < weights);
//! end
}

fn reduced(source: Source, v: u32) -> f32 { return dot(source.dy * factor_at(v), source.rest.x); }

fn end_sum(row: u32, begun: Row, sum: f32, thread: u32) -> Row {
  let mean = sum / f32(params.cols);
  return Row(begun.rstd, begun.rstd * begun.rstd * begun.rstd * mean);
}

fn made(source: Source, v: u32, of_row: Row) -> Values {
  let dx = of_row.rstd * source.dy * factor_at(v) - of_row.pull * source.rest.x;
//! if ACCUMULATE
  return Values(source.rest.before + dx);
//! else
  return Values(dx);
//! end
}

// A thread reads back what it wrote itself.
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(d_input[row * params.vectors + v]); }

fn keep(row: u32, v: u32, values: Values) { d_input[row * params.vectors + v] = values[0]; }

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
