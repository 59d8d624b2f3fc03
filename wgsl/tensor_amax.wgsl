// The largest magnitude of each row, the first half of finding one scale for a whole matrix. One workgroup a row.
//! include row_values.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  tail_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> amax: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let largest = row_amax(row, thread);
  if (thread == 0u) { amax[row] = largest; }
}
