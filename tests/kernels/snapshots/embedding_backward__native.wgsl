const THREADS = 128;
// Gradient of the embedding table: d_table[v] += Σ_{t: ids[t] = v} d_output[t], in the order of t; with SCALED the sum is
// multiplied by params.scale. With SLAB d_table is a slab: v counts from params.first.
//
// Shapes: ids [tokens], d_output [tokens, cols], d_table [vocab, cols], f32. What d_table holds stays in the sum: with
// tied weights, the gradient of the lm_head.
// Idea: scattering would need float atomics and lose the order. Instead a workgroup owns THREADS vec4 columns of one
// vocabulary row and looks through all ids, THREADS at a time: every thread compares one id and sets a bit if it
// matches, then all walk the set bits. Most rows match nothing and only read the ids, which stay in the cache.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


const WORDS = THREADS / 32;

struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  blocks: u32,  // workgroups per row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_table: array<vec4<f32>>;

var<workgroup> matches: array<atomic<u32>, WORDS>; // bit t of the tile: token t has this row's id

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups);
  let row = item / params.blocks;
  if (row >= params.vocab) { return; }
  let column = item % params.blocks * THREADS + thread;
  var sum = vec4<f32>();
  var found = false;
  for (var first = 0u; first < params.tokens; first += THREADS) {
    if (thread < WORDS) { atomicStore(&matches[thread], 0u); }
    workgroupBarrier();
    let token = first + thread;
    if (token < params.tokens && ids[token] == row) { atomicOr(&matches[thread / 32u], 1u << (thread % 32u)); }
    workgroupBarrier();
    for (var word = 0u; word < WORDS; word++) {
      var bits = atomicLoad(&matches[word]);
      while (bits != 0u) {
        let match_token = first + word * 32u + countTrailingZeros(bits);
        bits &= bits - 1u;
        if (column < params.vectors) { sum += d_output[match_token * params.vectors + column]; }
        found = true;
      }
    }
    workgroupBarrier();
  }
  if (found && column < params.vectors) { d_table[row * params.vectors + column] += sum; }
}

