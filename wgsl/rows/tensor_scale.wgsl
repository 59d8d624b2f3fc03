// Replaces the largest magnitudes of the rows by the one scale of the whole matrix, from the largest of them, written
// once per row: everything behind sees row scales. One workgroup.
//! include workgroup_reduce.wgsl
//! include row_scale.wgsl

struct Params {
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.rows; i += THREADS) { mine = max(mine, bitcast<u32>(scales[i])); }
  let scale = scale_of(workgroup_max_bits(mine, thread));
  for (var i = thread; i < params.rows; i += THREADS) { scales[i] = scale; }
}
