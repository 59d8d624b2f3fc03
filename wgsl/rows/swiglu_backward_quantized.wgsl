// Gradient of SwiGLU, and at once in few bits: codes and scales of row_codes.wgsl.
//
// Shapes: gate_up, d_gate_up, codes [rows, 2·pitch] and d_output [rows, width] as in swiglu_backward.wgsl. With
// COLUMN_SCALES the columns of the gradient are divided by column_scales [2·pitch] before they are quantised: the scales of
// the rows of the weight that it is multiplied by next.
// d_gate_up is the gradient in f32; or in f16 (D_GATE_UP) the very values that codes are made of, divided and scaled, which
// are in range as codes are.
// Idea: as a row's scale is known only at its end, a workgroup takes a row and keeps what is to be quantised in registers
// (REGISTERS); where it is too much, it is computed again.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include workgroup_reduce.wgsl
//! include row_codes.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
//! if D_GATE_UP == f16
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec2<u32>>;
//! else
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end

// The gradients of vectors v of a row's gate and up, or past the end the last ones again, which a maximum does not mind.
fn gradient(row: u32, v: u32) -> GateUp {
  let inside = min(v, params.vectors - 1u);
  let at = 2u * row * params.vectors + inside;
  return gated_gradient(gate_up_at(at), gate_up_at(at + params.vectors), d_output[row * params.vectors + inside]);
}

// What is quantised of them.
fn unscaled(d: GateUp, v: u32) -> GateUp {
//! if COLUMN_SCALES
  let inside = min(v, params.vectors - 1u);
  return GateUp(d.gate / column_scales[inside], d.up / column_scales[inside + params.vectors]);
//! else
  return d;
//! end
}

//! if D_GATE_UP == f32
fn write(row: u32, v: u32, d: GateUp) {
  let at = 2u * row * params.vectors + v;
  d_gate_up[at] = d.gate;
  d_gate_up[at + params.vectors] = d.up;
}
//! end

// Writes four values that are scaled.
fn write_scaled(at: u32, v: vec4<f32>) {
  write_codes(at, v);
//! if D_GATE_UP == f16
  d_gate_up[at] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = 2u * row * params.vectors;

  var amax = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  let d_$i = gradient(row, v_$i);
//! end
//! unroll i 0 VECTORS
  let x_$i = unscaled(d_$i, v_$i);
  amax = max(amax, max(largest(x_$i.gate), largest(x_$i.up)));
//! if D_GATE_UP == f32
  if (v_$i < params.vectors) { write(row, v_$i, d_$i); }
//! end
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let d = gradient(row, v);
    let x = unscaled(d, v);
    amax = max(amax, max(largest(x.gate), largest(x.up)));
//! if D_GATE_UP == f32
    write(row, v, d);
//! end
  }
//! end
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }

//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) {
    write_scaled(start + v_$i, x_$i.gate * scale);
    write_scaled(start + v_$i + params.vectors, x_$i.up * scale);
  }
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let x = unscaled(gradient(row, v), v);
    write_scaled(start + v, x.gate * scale);
    write_scaled(start + v + params.vectors, x.up * scale);
  }
//! end
}
