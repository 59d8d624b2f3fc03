// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass. The output
// is wanted in f32 (OUTPUT), quantised (QUANTIZED: codes and scales of row_codes.wgsl), or both. With ONE_MORE the factor
// is 1 + weight[c]. With ADDEND, addend [rows, cols] is added: the residual stream that a branch joins behind its norm.
// One workgroup per row, which goes the way of row_pass.wgsl; its sum is that of squares. Columns up to the pitch
// take part: they are zero in the input, so they add nothing and stay zero.
//! include linear_grid.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=true COLUMN_SCALES=false GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
//! if OUTPUT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
//! end
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;
//! if ADDEND
@group(0) @binding(5) var<storage, read> addend: array<vec4<f32>>;
//! end

struct Source {
  x: vec4<f32>,
//! if ADDEND
  addend: vec4<f32>,
//! end
}

alias Row = f32; // rstd

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return 0.0; }

fn load(row: u32, v: u32) -> Source {
  let at = row * params.vectors + min(v, params.vectors - 1u);
  let x = select(vec4<f32>(), input[at], v < params.vectors);
//! if ADDEND
  return Source(x, addend[at]);
//! else
  return Source(x);
//! end
}

fn reduced(source: Source, v: u32) -> f32 { return dot(source.x, source.x); }

fn end_sum(row: u32, begun: Row, squares: f32, thread: u32) -> Row {
  let row_rstd = 1.0 / sqrt(squares / f32(params.cols) + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }
  return row_rstd;
}

// The weight ends before the pitch: past it there is nothing to read, and zero is due.
fn made(source: Source, v: u32, row_rstd: Row) -> Values {
  let weights = (params.cols + 3u) / 4u;
//! if ONE_MORE
  let factor = 1.0 + weight[min(v, weights - 1u)];
//! else
  let factor = weight[min(v, weights - 1u)];
//! end
  let y = select(vec4<f32>(), source.x * row_rstd * factor, v < weights);
//! if ADDEND
  return Values(source.addend + y);
//! else
  return Values(y);
//! end
}

fn again(row: u32, v: u32, row_rstd: Row) -> Values { return made(load(row, v), v, row_rstd); }

fn keep(row: u32, v: u32, values: Values) {
//! if OUTPUT
  output[row * params.vectors + v] = values[0];
//! end
}

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
