// Quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] from the largest magnitude of row r.
//
// One workgroup a row. The row is read once: a thread keeps its VECTORS vec4s in registers between the two things that
// are done with them (REGISTERS); a row too long for that is read twice, the second time from cache. Every load is 16
// bytes and every store four codes. With GIVEN_SCALES the scales are inputs.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl
//! include row_codes.wgsl
//! include row_values.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  tail_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let vectors = row_vectors();
//! if REGISTERS
//! unroll i 0 VECTORS
  let x_$i = row_value(row, thread + ${i}u * THREADS);
//! end
//! end

//! if GIVEN_SCALES
  let scale = scales[row];
//! else
  var amax = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  amax = max(amax, largest(x_$i));
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) { amax = max(amax, largest(row_value(row, v))); }
//! end
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }
//! end

//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  if (v_$i < vectors) { write_codes(row * vectors + v_$i, x_$i * scale); }
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) { write_codes(row * vectors + v, row_value(row, v) * scale); }
//! end
}
