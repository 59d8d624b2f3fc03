// Gradient of SwiGLU, in f32 and at once in few bits: codes and scales of row_codes.wgsl.
//
// Shapes: gate_up, d_gate_up, codes [rows, 2·pitch] and d_output [rows, width] as in swiglu_backward.wgsl. With
// COLUMN_SCALES the columns of d_gate_up are divided by column_scales [2·pitch] before they are quantised: the scales of
// the rows of the weight that it is multiplied by next.
// Idea: as a row's scale is known only at its end, a workgroup takes a row and keeps what is to be quantised in registers
// (REGISTERS); where it is too much, it is read again.
//! include gate_up.wgsl
//! include silu.wgsl
//! include workgroup_reduce.wgsl
//! include row_codes.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end

// What is quantised of the gradient in vector `column` of a row.
fn unscaled(d: vec4<f32>, column: u32) -> vec4<f32> {
//! if COLUMN_SCALES
  return d / column_scales[column];
//! else
  return d;
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = 2u * row * params.vectors;

  var amax = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  let inside_$i = min(v_$i, params.vectors - 1u); // past the end the last one again, which a maximum does not mind
  let at_$i = start + inside_$i;
  let d_$i = swiglu_gradient(gate_up_at(at_$i), gate_up_at(at_$i + params.vectors), d_output[row * params.vectors + inside_$i]);
//! end
//! unroll i 0 VECTORS
  let gate_$i = unscaled(d_$i.gate, inside_$i);
  let up_$i = unscaled(d_$i.up, inside_$i + params.vectors);
  amax = max(amax, max(largest(gate_$i), largest(up_$i)));
  if (v_$i < params.vectors) {
    d_gate_up[at_$i] = d_$i.gate;
    d_gate_up[at_$i + params.vectors] = d_$i.up;
  }
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let at = start + v;
    let d = swiglu_gradient(gate_up_at(at), gate_up_at(at + params.vectors), d_output[row * params.vectors + v]);
    amax = max(amax, max(largest(unscaled(d.gate, v)), largest(unscaled(d.up, v + params.vectors))));
    d_gate_up[at] = d.gate;
    d_gate_up[at + params.vectors] = d.up;
  }
//! end
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }

//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) {
    write_codes(at_$i, gate_$i * scale);
    write_codes(at_$i + params.vectors, up_$i * scale);
  }
//! end
//! else
  // A thread reads back what it wrote itself.
  for (var v = thread; v < params.vectors; v += THREADS) {
    write_codes(start + v, unscaled(d_gate_up[start + v], v) * scale);
    write_codes(start + v + params.vectors, unscaled(d_gate_up[start + v + params.vectors], v + params.vectors) * scale);
  }
//! end
}
