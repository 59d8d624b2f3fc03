// The gate of swiglu.wgsl whose result is quantised: codes and scales of row_codes.wgsl, and with OUTPUT in f32 too.
//
// Shapes: gate_up [rows, 2·pitch] and output f32 [rows, width] as in swiglu.wgsl. One workgroup per row, which goes
// the way of row_pass.wgsl.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=false QUANTIZED=true COLUMN_SCALES=false GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the result; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUTPUT
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
//! end

alias Source = vec4<f32>;
alias Row = u32;

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return row; }

// The result, which takes half the registers of gate and up.
fn load(row: u32, v: u32) -> Source {
  let at = 2u * row * params.vectors + min(v, params.vectors - 1u);
  return gated(gate_up_at(at), gate_up_at(at + params.vectors));
}

fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(load(row, v)); }

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
