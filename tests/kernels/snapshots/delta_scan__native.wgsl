const THREADS = 128;
const COLUMNS = 32;
const PARTS = 4;
const VECTORS = 8;
const KEY_VECTORS = 32;
const STAGED = 128;
const SUMMED = 256;
// The gated delta rule, token by token: of every value head a state S [key_dim, value_dim], zero where a document begins,
//   S ← decay·S;  e = v − Sᵀk;  S ← S + k·(beta·e)ᵀ;  output = Sᵀq.
//
// Shapes: qkv f32 [tokens, ·], the heads of q, of k and of v beside each other, q and k as delta_norm.wgsl leaves them;
// gates f32 [tokens, 2 · heads] of delta_gates.wgsl; output f32 [tokens, heads · value_dim]. With CARRIED the tokens
// continue one document, whose states [heads, value_dim, KEY_VECTORS vec4s] are read and written. With CHECKPOINTS, for the
// gradients, no output is made but e, in errors f32 [tokens, ·], and the states before every CHUNK-th token, in states
// [chunks, call_heads, value_dim, KEY_VECTORS vec4s]; workgroups are for value heads from first_head on.
//
// Both sums over the rows of the state are taken before it changes: Sᵀq = decay·Sᵀq before + beta·e·(k·q).

struct Params {
  tokens: u32,
  key_dim: u32, value_dim: u32,
  keys: u32, // columns of q, and of k
  group: u32, // value heads of a key head
  heads: u32, // value heads
  first_head: u32, call_heads: u32,
  segment: u32,
  pitch: u32, gates_pitch: u32, output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
// Values of which e^(-x) is made, no less than -80, where it would overflow. NaN stays NaN, of which max() may make a
// number. Include-only.

fn bounded_below(x: vec4<f32>) -> vec4<f32> {
  // From the first value below -80 to minus infinity; what NaN is, is beyond.
  let beyond = bitcast<vec4<u32>>(x) - vec4<u32>(0xc2a00001u);
  return select(x, vec4<f32>(-80.0), beyond < vec4<u32>(0x3ce00000u));
}

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
  sum += parts[first + 1u * COLUMNS + thread % COLUMNS];
  sum += parts[first + 2u * COLUMNS + thread % COLUMNS];
  sum += parts[first + 3u * COLUMNS + thread % COLUMNS];
  return sum;
}


@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let part = thread / COLUMNS;
  let column = group.x * COLUMNS + thread % COLUMNS;
  let known = column < params.value_dim;
  let some_column = min(column, params.value_dim - 1u);
  let head = params.first_head + group.y;
  let value_at = head * params.value_dim + some_column;
  let state_at = (group.y * params.value_dim + some_column) * KEY_VECTORS + part * VECTORS;

  let end = min((group.z + 1u) * params.segment, params.tokens);
  var token = group.z * params.segment;
  let first = documents[token];
  if (first.x != token) { token = min(first.y, params.tokens); }
  var s_0 = vec4<f32>();
  var s_1 = vec4<f32>();
  var s_2 = vec4<f32>();
  var s_3 = vec4<f32>();
  var s_4 = vec4<f32>();
  var s_5 = vec4<f32>();
  var s_6 = vec4<f32>();
  var s_7 = vec4<f32>();
  while (token < params.tokens) {
    if (documents[token].x == token) {
      if (token >= end) { break; }
      s_0 = vec4<f32>();
      s_1 = vec4<f32>();
      s_2 = vec4<f32>();
      s_3 = vec4<f32>();
      s_4 = vec4<f32>();
      s_5 = vec4<f32>();
      s_6 = vec4<f32>();
      s_7 = vec4<f32>();
    }
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
    let q_0 = staged[q_at + 0u];
    let k_0 = staged[k_at + 0u];
    sums += vec3<f32>(dot(s_0, k_0), dot(s_0, q_0), dot(k_0, q_0));
    let q_1 = staged[q_at + 1u];
    let k_1 = staged[k_at + 1u];
    sums += vec3<f32>(dot(s_1, k_1), dot(s_1, q_1), dot(k_1, q_1));
    let q_2 = staged[q_at + 2u];
    let k_2 = staged[k_at + 2u];
    sums += vec3<f32>(dot(s_2, k_2), dot(s_2, q_2), dot(k_2, q_2));
    let q_3 = staged[q_at + 3u];
    let k_3 = staged[k_at + 3u];
    sums += vec3<f32>(dot(s_3, k_3), dot(s_3, q_3), dot(k_3, q_3));
    let q_4 = staged[q_at + 4u];
    let k_4 = staged[k_at + 4u];
    sums += vec3<f32>(dot(s_4, k_4), dot(s_4, q_4), dot(k_4, q_4));
    let q_5 = staged[q_at + 5u];
    let k_5 = staged[k_at + 5u];
    sums += vec3<f32>(dot(s_5, k_5), dot(s_5, q_5), dot(k_5, q_5));
    let q_6 = staged[q_at + 6u];
    let k_6 = staged[k_at + 6u];
    sums += vec3<f32>(dot(s_6, k_6), dot(s_6, q_6), dot(k_6, q_6));
    let q_7 = staged[q_at + 7u];
    let k_7 = staged[k_at + 7u];
    sums += vec3<f32>(dot(s_7, k_7), dot(s_7, q_7), dot(k_7, q_7));
    sums = column_sum(sums, token, thread);
    let gate = token * params.gates_pitch + head;
    let decay = exp(bounded_below(vec4<f32>(gates[gate])).x);
    let error = qkv[token * params.pitch + 2u * params.keys + value_at] - decay * sums.x;
    let change = gates[gate + params.heads] * error;
    s_0 = decay * s_0 + k_0 * change;
    s_1 = decay * s_1 + k_1 * change;
    s_2 = decay * s_2 + k_2 * change;
    s_3 = decay * s_3 + k_3 * change;
    s_4 = decay * s_4 + k_4 * change;
    s_5 = decay * s_5 + k_5 * change;
    s_6 = decay * s_6 + k_6 * change;
    s_7 = decay * s_7 + k_7 * change;
    if (part == 0u && known) {
      output[token * params.output_pitch + value_at] = decay * sums.y + change * sums.z;
    }
    token++;
  }
}

