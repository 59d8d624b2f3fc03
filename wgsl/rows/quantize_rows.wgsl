// Quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] from the largest magnitude of
// row r.
//
// Shapes: x f32 [rows, cols] and what row_values.wgsl adds to it, codes alike from row first_row of theirs on. One workgroup per row, which goes the
// way of row_pass.wgsl: every load is 16 bytes and every store four codes.
//! include linear_grid.wgsl
//! include row_values.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=false QUANTIZED=true FIRST_ROW=true

struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
  first_row: u32,
  first_scale: u32,
  top: f32, // what a scale to the maximum brings the largest magnitude to
}

@group(0) @binding(0) var<uniform> params: Params;

alias Source = vec4<f32>;
alias Row = u32;

fn begin_row(row: u32) -> Row { return row; }
fn load(row: u32, v: u32) -> Source { return row_value(row, v); }
fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(row_value(row, v)); }
fn keep(row: u32, v: u32, values: Values) {}
fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
