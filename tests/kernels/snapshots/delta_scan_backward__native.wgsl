const THREADS = 128;
const COLUMNS = 32;
const PARTS = 4;
const VECTORS = 8;
const KEY_VECTORS = 32;
const STAGED = 128;
const SUMMED = 256;
const CHUNK = 32;
// The gradient of delta_scan.wgsl with respect to its states, token by token from the last. With D that of the state
// behind a token, from the tokens after it, zero where a document ends:
//   D ← D + q·d_outputᵀ;  u = Dᵀk;  D ← decay·(D − k·(beta·u)ᵀ).
//
// u, the gradient of k·(beta·e)ᵀ by the second factor, goes to columns of errors from its half on, and beta·u, the gradient
// of v, to the columns of v in d_qkv. D before the first line goes to states for the last token of every CHUNK and of all:
// the second half of the rows, laid out like the first, which delta_scan.wgsl writes.
//
// Shapes: as there; d_output f32 [tokens, heads · value_dim], d_qkv f32 with the columns of qkv.

struct Params {
  tokens: u32,
  key_dim: u32, value_dim: u32,
  keys: u32,
  group: u32,
  heads: u32,
  first_head: u32, call_heads: u32,
  segment: u32,
  pitch: u32, gates_pitch: u32, output_pitch: u32,
  errors_pitch: u32, errors_half: u32,
  states_half: u32, // in vec4s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> d_output: array<f32>;
@group(0) @binding(5) var<storage, read_write> errors: array<f32>;
@group(0) @binding(6) var<storage, read_write> states: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;
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
  let state_at = params.states_half + (group.y * params.value_dim + some_column) * KEY_VECTORS + part * VECTORS;

  let end = min((group.z + 1u) * params.segment, params.tokens);
  var begin = group.z * params.segment;
  let first = documents[begin];
  if (first.x != begin) { begin = first.y; }
  if (begin >= end) { return; }
  var token = min(documents[end - 1u].y, params.tokens);
  var d_0 = vec4<f32>();
  var d_1 = vec4<f32>();
  var d_2 = vec4<f32>();
  var d_3 = vec4<f32>();
  var d_4 = vec4<f32>();
  var d_5 = vec4<f32>();
  var d_6 = vec4<f32>();
  var d_7 = vec4<f32>();
  while (token > begin) {
    token--;
    if (documents[token].y == token + 1u) {
      d_0 = vec4<f32>();
      d_1 = vec4<f32>();
      d_2 = vec4<f32>();
      d_3 = vec4<f32>();
      d_4 = vec4<f32>();
      d_5 = vec4<f32>();
      d_6 = vec4<f32>();
      d_7 = vec4<f32>();
    }
    if ((token % CHUNK == CHUNK - 1u || token == params.tokens - 1u) && known) {
      let at = token / CHUNK * params.call_heads * params.value_dim * KEY_VECTORS + state_at;
      states[at + 0u] = d_0;
      states[at + 1u] = d_1;
      states[at + 2u] = d_2;
      states[at + 3u] = d_3;
      states[at + 4u] = d_4;
      states[at + 5u] = d_5;
      states[at + 6u] = d_6;
      states[at + 7u] = d_7;
    }
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
    let q_0 = staged[q_at + 0u];
    let k_0 = staged[k_at + 0u];
    sums += vec3<f32>(dot(d_0, k_0), dot(k_0, q_0), 0.0);
    let q_1 = staged[q_at + 1u];
    let k_1 = staged[k_at + 1u];
    sums += vec3<f32>(dot(d_1, k_1), dot(k_1, q_1), 0.0);
    let q_2 = staged[q_at + 2u];
    let k_2 = staged[k_at + 2u];
    sums += vec3<f32>(dot(d_2, k_2), dot(k_2, q_2), 0.0);
    let q_3 = staged[q_at + 3u];
    let k_3 = staged[k_at + 3u];
    sums += vec3<f32>(dot(d_3, k_3), dot(k_3, q_3), 0.0);
    let q_4 = staged[q_at + 4u];
    let k_4 = staged[k_at + 4u];
    sums += vec3<f32>(dot(d_4, k_4), dot(k_4, q_4), 0.0);
    let q_5 = staged[q_at + 5u];
    let k_5 = staged[k_at + 5u];
    sums += vec3<f32>(dot(d_5, k_5), dot(k_5, q_5), 0.0);
    let q_6 = staged[q_at + 6u];
    let k_6 = staged[k_at + 6u];
    sums += vec3<f32>(dot(d_6, k_6), dot(k_6, q_6), 0.0);
    let q_7 = staged[q_at + 7u];
    let k_7 = staged[k_at + 7u];
    sums += vec3<f32>(dot(d_7, k_7), dot(k_7, q_7), 0.0);
    sums = column_sum(sums, token, thread);
    let gate = token * params.gates_pitch + head;
    let decay = exp(max(gates[gate], -80.0));
    let dy = d_output[token * params.output_pitch + value_at];
    let u = sums.x + sums.y * dy;
    let d_value = gates[gate + params.heads] * u;
    d_0 = decay * (d_0 + q_0 * dy - k_0 * d_value);
    d_1 = decay * (d_1 + q_1 * dy - k_1 * d_value);
    d_2 = decay * (d_2 + q_2 * dy - k_2 * d_value);
    d_3 = decay * (d_3 + q_3 * dy - k_3 * d_value);
    d_4 = decay * (d_4 + q_4 * dy - k_4 * d_value);
    d_5 = decay * (d_5 + q_5 * dy - k_5 * d_value);
    d_6 = decay * (d_6 + q_6 * dy - k_6 * d_value);
    d_7 = decay * (d_7 + q_7 * dy - k_7 * d_value);
    if (part == 0u && known) {
      errors[token * params.errors_pitch + params.errors_half + value_at] = u;
      d_qkv[token * params.pitch + 2u * params.keys + value_at] = d_value;
    }
  }
}

