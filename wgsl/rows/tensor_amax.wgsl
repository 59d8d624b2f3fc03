// The largest magnitude of each row, NaN if that is in it: the first half of finding one scale for a whole matrix. One workgroup per row.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl
//! include row_values.wgsl
//! include column_scales.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> amax: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var mine = vec4<u32>();
  for (var v = thread; v < row_vectors(); v += THREADS) {
    mine = max(mine, bitcast<vec4<u32>>(by_column(row_value(row, v), v)) & vec4<u32>(0x7fffffffu));
  }
  let largest = workgroup_max_bits(max(max(mine.x, mine.y), max(mine.z, mine.w)), thread);
  if (thread == 0u) { amax[row] = bitcast<f32>(largest); }
}
