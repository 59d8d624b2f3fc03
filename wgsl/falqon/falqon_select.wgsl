// The `count` rows with the largest scores, the lower index first among equals: selected[p] = the row of rank p.
//
// A row's rank is the number of rows that come before it: each thread counts those of its row over all scores, which pass
// through workgroup memory four to a vector. rows² comparisons, no sort, no order of execution to depend on. Scores are
// sums of magnitudes, so −1 fills what is missing in the last tile.

struct Params {
  rows: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;

const THREADS = 128u;
const TILE = 4u * THREADS;

var<workgroup> others: array<vec4<f32>, THREADS>;

fn score_of(row: u32) -> f32 {
  return select(-1.0, scores[min(row, params.rows - 1u)], row < params.rows);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * THREADS + thread;
  let mine = vec4<f32>(score_of(row));
  var before = vec4<u32>();
  for (var first = 0u; first < params.rows; first += TILE) {
    let at = first + 4u * thread;
    others[thread] = vec4<f32>(score_of(at), score_of(at + 1u), score_of(at + 2u), score_of(at + 3u));
    workgroupBarrier();
    for (var i = 0u; i < THREADS; i++) {
      let other = others[i];
      let earlier = first + 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(row);
      before += select(vec4<u32>(), vec4<u32>(1u), (other > mine) | ((other == mine) & earlier));
    }
    workgroupBarrier();
  }
  let rank = before.x + before.y + before.z + before.w;
  if (row < params.rows && rank < params.count) { selected[rank] = row; }
}
