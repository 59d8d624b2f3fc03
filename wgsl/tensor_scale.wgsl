// One scale for a whole matrix, written to each entry of `scales` (one a row, so that everything behind sees row scales).
// Two stages, both of this file: STAGE row_amax has a workgroup a row write the row's largest magnitude to `scales`;
// STAGE spread has one workgroup replace them all by max / (the largest of them).

struct Params {
  vectors: u32, // vec4s in a row of x, its pitch / 4
  first: u32,   // first scale of the range that shares one
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
//! if STAGE == row_amax
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(3) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! end

const THREADS = 128u;
const SMALLEST_AMAX = 0x1p-100;

var<workgroup> partial: array<f32, THREADS>;

fn largest(thread: u32, mine: f32) -> f32 {
  partial[thread] = mine;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  return partial[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var mine = 0.0;
//! if STAGE == row_amax
  let row = group.y * groups.x + group.x;
  if (row >= params.count) { return; }
  for (var v = thread; v < params.vectors; v += THREADS) {
    var q = abs(x[row * params.vectors + v]);
//! if COLUMN_SCALES
    q /= column_scales[v];
//! end
    mine = max(mine, max(max(q.x, q.y), max(q.z, q.w)));
  }
  let amax = largest(thread, mine);
  if (thread == 0u) { scales[params.first + row] = amax; }
//! else
  for (var i = thread; i < params.count; i += THREADS) { mine = max(mine, scales[params.first + i]); }
  let amax = largest(thread, mine);
  storageBarrier();
  let scale = select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
  for (var i = thread; i < params.count; i += THREADS) { scales[params.first + i] = scale; }
//! end
}
