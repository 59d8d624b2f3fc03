// SwiGLU whose result is wanted in few bits: codes and scales of row_codes.wgsl, and with OUTPUT in f32 too.
//
// Shapes: gate_up [rows, 2·pitch] and output f32 [rows, width] as in swiglu.wgsl.
// Idea: as a row's scale is known only at its end, a workgroup takes a row and keeps the results in registers
// (REGISTERS); where they are too many it computes them again.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include silu.wgsl
//! include workgroup_reduce.wgsl
//! include row_codes.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of the result; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUTPUT
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
//! end

// Vector v of a row's result, or past its end the last one again, which a maximum does not mind.
fn hidden(row: u32, v: u32) -> vec4<f32> {
  let at = 2u * row * params.vectors + min(v, params.vectors - 1u);
  return swiglu(gate_up_at(at), gate_up_at(at + params.vectors));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = row * params.vectors;

  var amax = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  let y_$i = hidden(row, v_$i);
//! end
//! unroll i 0 VECTORS
  amax = max(amax, largest(y_$i));
//! if OUTPUT
  if (v_$i < params.vectors) { output[start + v_$i] = y_$i; }
//! end
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let y = hidden(row, v);
    amax = max(amax, largest(y));
//! if OUTPUT
    output[start + v] = y;
//! end
  }
//! end
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }

//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) { write_codes(start + v_$i, y_$i * scale); }
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) { write_codes(start + v, hidden(row, v) * scale); }
//! end
}
