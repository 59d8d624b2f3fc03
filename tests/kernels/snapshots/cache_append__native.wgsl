// Copies the keys and values of new tokens into the caches of a layer, token t into row positions[t].
//
// Shapes: k, v [tokens, width], each somewhere in the columns of a matrix; positions u32 [tokens]; key_cache, value_cache
// [max_length, width]. All are f32, or all f16 (QKV). Positions past the caches are skipped.
// One thread copies one pair of columns of both; pairs up to the pitch become zero.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


const THREADS = 128u;

struct Params {
  tokens: u32, width: u32, max_length: u32,
  k_pitch: u32, k_column: u32, v_pitch: u32, v_column: u32, cache_pitch: u32, // in pairs, as is the width
}

alias Pair = u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<Pair>;
@group(0) @binding(2) var<storage, read> v: array<Pair>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> key_cache: array<Pair>;
@group(0) @binding(5) var<storage, read_write> value_cache: array<Pair>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.cache_pitch;
  let column = item % params.cache_pitch;
  if (token >= params.tokens) { return; }
  let position = positions[token];
  if (position >= params.max_length) { return; }
  var key = Pair();
  var value = Pair();
  if (column < params.width) {
    key = k[token * params.k_pitch + params.k_column + column];
    value = v[token * params.v_pitch + params.v_column + column];
  }
  key_cache[position * params.cache_pitch + column] = key;
  value_cache[position * params.cache_pitch + column] = value;
}

