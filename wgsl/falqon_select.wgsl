// The `count` rows with the largest scores, the lower index first among equals: selected[p] = the row of rank p.
//
// A row's rank is the number of rows that come before it: each thread counts those of its row over all scores, which pass
// through workgroup memory. rows² comparisons, no sort, no order of execution to depend on.

struct Params {
  rows: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;

const THREADS = 128u;

var<workgroup> others: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * THREADS + thread;
  let mine = scores[min(row, params.rows - 1u)];
  var rank = 0u;
  for (var first = 0u; first < params.rows; first += THREADS) {
    others[thread] = scores[min(first + thread, params.rows - 1u)];
    workgroupBarrier();
    let count = min(THREADS, params.rows - first);
    for (var i = 0u; i < count; i++) {
      let other = others[i];
      rank += select(0u, 1u, other > mine || (other == mine && first + i < row));
    }
    workgroupBarrier();
  }
  if (row < params.rows && rank < params.count) { selected[rank] = row; }
}
