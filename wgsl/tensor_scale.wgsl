// Replaces the largest magnitudes of the rows by the one scale of the whole matrix, max / (the largest of them), written
// once a row: everything behind sees row scales. One workgroup.

struct Params {
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;

const THREADS = 256u;
const SMALLEST_AMAX = 0x1p-100; // as in row_values.wgsl

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = 0.0;
  for (var i = thread; i < params.rows; i += THREADS) { mine = max(mine, scales[i]); }
  partial[thread] = mine;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  let scale = select($MAX / partial[0], 1.0, partial[0] < SMALLEST_AMAX);
  for (var i = thread; i < params.rows; i += THREADS) { scales[i] = scale; }
}
