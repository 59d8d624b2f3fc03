// What the scans of a delta net along the tokens share. Include-only.
//
// A state [key_dim, value_dim] has columns that do not depend on each other: a workgroup has COLUMNS of them, each in the
// registers of PARTS threads with VECTORS vec4s of its rows, KEY_VECTORS together; rows behind key_dim are zero. In memory
// a column is KEY_VECTORS vec4s. Tokens come one after another; queries and keys of a token, and the sums of the parts, go
// through workgroup memory, of which there are two so that a token needs two barriers.
//
// Documents do not depend on each other either: a workgroup has those that begin among `segment` tokens.

var<workgroup> staged: array<vec4<f32>, STAGED>; // of two tokens: query, key
var<workgroup> parts: array<vec3<f32>, SUMMED>; // of two tokens

// Four components of a query or key that begins at `at`.
fn vector_at(at: u32, vector: u32) -> vec4<f32> {
  let i = vec4<u32>(0u, 1u, 2u, 3u) + 4u * vector;
  let last = params.key_dim - 1u;
  let values = vec4<f32>(qkv[at + min(i.x, last)], qkv[at + min(i.y, last)], qkv[at + min(i.z, last)],
                         qkv[at + min(i.w, last)]);
  return select(vec4<f32>(), values, i < vec4<u32>(params.key_dim));
}

// Brings query and key of a token to all threads; returns where the query is, the key being behind it.
fn stage(token: u32, head: u32, thread: u32) -> u32 {
  let at = token * params.pitch + head / params.group * params.key_dim;
  let first = (token & 1u) * 2u * KEY_VECTORS;
  for (var i = thread; i < 2u * KEY_VECTORS; i += THREADS) {
    let is_key = i >= KEY_VECTORS;
    staged[first + i] = vector_at(at + select(0u, params.keys, is_key), select(i, i - KEY_VECTORS, is_key));
  }
  workgroupBarrier();
  return first;
}

// The sum of what the threads of a column give.
fn column_sum(value: vec3<f32>, token: u32, thread: u32) -> vec3<f32> {
  let first = (token & 1u) * THREADS;
  parts[first + thread] = value;
  workgroupBarrier();
  var sum = parts[first + thread % COLUMNS];
//! unroll p 1 PARTS
  sum += parts[first + ${p}u * COLUMNS + thread % COLUMNS];
//! end
  return sum;
}
