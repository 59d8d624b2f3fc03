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
//! include delta_scan_shared.wgsl

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
//! unroll i 0 VECTORS
  var d_$i = vec4<f32>();
//! end
  while (token > begin) {
    token--;
    if (documents[token].y == token + 1u) {
//! unroll i 0 VECTORS
      d_$i = vec4<f32>();
//! end
    }
    if ((token % CHUNK == CHUNK - 1u || token == params.tokens - 1u) && known) {
      let at = token / CHUNK * params.call_heads * params.value_dim * KEY_VECTORS + state_at;
//! unroll i 0 VECTORS
      states[at + ${i}u] = d_$i;
//! end
    }
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
//! unroll i 0 VECTORS
    let q_$i = staged[q_at + ${i}u];
    let k_$i = staged[k_at + ${i}u];
    sums += vec3<f32>(dot(d_$i, k_$i), dot(k_$i, q_$i), 0.0);
//! end
    sums = column_sum(sums, token, thread);
    let gate = token * params.gates_pitch + head;
    let decay = exp(max(gates[gate], -80.0));
    let dy = d_output[token * params.output_pitch + value_at];
    let u = sums.x + sums.y * dy;
    let d_value = gates[gate + params.heads] * u;
//! unroll i 0 VECTORS
    d_$i = decay * (d_$i + q_$i * dy - k_$i * d_value);
//! end
    if (part == 0u && known) {
      errors[token * params.errors_pitch + params.errors_half + value_at] = u;
      d_qkv[token * params.pitch + 2u * params.keys + value_at] = d_value;
    }
  }
}
