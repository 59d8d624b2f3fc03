// Gradient of the gate of swiglu.wgsl, quantised at once: codes and scales of row_codes.wgsl.
//
// Shapes: gate_up, d_gate_up, codes [rows, 2·pitch] and d_output [rows, width] as in swiglu_backward.wgsl; with
// COLUMN_SCALES, column_scales [2·pitch] of the rows of the weight that the gradient is multiplied by next. d_gate_up
// is the gradient in f32; or in f16 (D_GATE_UP) the very values that codes are made of, divided and scaled, which are
// in range as codes are. With ROTATED == source, d_output comes rotated, as from a layer whose input is rotated.
// One workgroup per row, which goes the way of row_pass.wgsl with the gradients of gate and of up as its parts.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include row_pass.wgsl PARTS=2 REDUCES=false QUANTIZED=true GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;

alias Source = GateUp;
alias Row = u32;

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return row; }

fn place(v: u32) -> u32 { return min(v, params.vectors - 1u); }

fn turned(row: u32, v: u32) -> vec4<f32> { return d_output[row * params.vectors + place(v)]; }

// As it is stored, which takes the fewest registers.
struct Rest {
  gate: GateUpWord,
  up: GateUpWord,
}

fn rest(row: u32, v: u32) -> Rest {
  let at = 2u * row * params.vectors + place(v);
  return Rest(gate_up[at], gate_up[at + params.vectors]);
}

// The gradients, which take two thirds of the registers of what they are made of.
fn source_of(rest: Rest, dy: vec4<f32>) -> Source { return gated_gradient(widened(rest.gate), widened(rest.up), dy); }

fn load(row: u32, v: u32) -> Source { return source_of(rest(row, v), turned(row, v)); }

fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source.gate, source.up); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return made(load(row, v), v, of_row); }

//! if D_GATE_UP == f16
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec2<u32>>;

fn keep(row: u32, v: u32, values: Values) {}

fn keep_scaled(at: u32, value: vec4<f32>) {
  d_gate_up[at] = vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}
//! else
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

fn keep(row: u32, v: u32, values: Values) {
  let at = 2u * row * params.vectors + v;
  d_gate_up[at] = values[0];
  d_gate_up[at + params.vectors] = values[1];
}

fn keep_scaled(at: u32, value: vec4<f32>) {}
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
