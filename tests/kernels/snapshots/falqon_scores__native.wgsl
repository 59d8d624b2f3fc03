// What is pending in each row of B, and how much: delta[i][j] = b[i][j] − flushed[i][j], score[i] = Σ_j |delta[i][j]|,
// summed in f32 in the order of j. Without FLUSHED all of b is pending. One thread per row.

struct Params {
  rows: u32,
  rank: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= params.rows) { return; }
  var score = 0.0;
  for (var j = 0u; j < params.rank; j++) {
    let at = row * params.pitch + j;
    let pending = b[at];
    score += abs(pending);
  }
  scores[row] = score;
}

