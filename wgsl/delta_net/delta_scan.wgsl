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
//! if CHECKPOINTS
@group(0) @binding(3) var<storage, read_write> errors: array<f32>;
//! else
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
//! end
//! if CARRIED
@group(0) @binding(4) var<storage, read_write> states: array<vec4<f32>>;
//! else
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
//! if CHECKPOINTS
@group(0) @binding(5) var<storage, read_write> states: array<vec4<f32>>;
//! end
//! end
//! include bounded_below.wgsl
//! include delta_scan_shared.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let part = thread / COLUMNS;
  let column = group.x * COLUMNS + thread % COLUMNS;
  let known = column < params.value_dim;
  let some_column = min(column, params.value_dim - 1u);
  let head = params.first_head + group.y;
  let value_at = head * params.value_dim + some_column;
  let state_at = (group.y * params.value_dim + some_column) * KEY_VECTORS + part * VECTORS;

//! if CARRIED
  var token = 0u;
//! unroll i 0 VECTORS
  var s_$i = states[state_at + ${i}u];
//! end
//! else
  let end = min((group.z + 1u) * params.segment, params.tokens);
  var token = group.z * params.segment;
  let first = documents[token];
  if (first.x != token) { token = min(first.y, params.tokens); }
//! unroll i 0 VECTORS
  var s_$i = vec4<f32>();
//! end
//! end
  while (token < params.tokens) {
//! if !CARRIED
    if (documents[token].x == token) {
      if (token >= end) { break; }
//! unroll i 0 VECTORS
      s_$i = vec4<f32>();
//! end
    }
//! end
//! if CHECKPOINTS
    if (token % CHUNK == 0u && known) {
      let at = token / CHUNK * params.call_heads * params.value_dim * KEY_VECTORS + state_at;
//! unroll i 0 VECTORS
      states[at + ${i}u] = s_$i;
//! end
    }
//! end
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
//! unroll i 0 VECTORS
    let q_$i = staged[q_at + ${i}u];
    let k_$i = staged[k_at + ${i}u];
    sums += vec3<f32>(dot(s_$i, k_$i), dot(s_$i, q_$i), dot(k_$i, q_$i));
//! end
    sums = column_sum(sums, token, thread);
    let gate = token * params.gates_pitch + head;
    let decay = exp(bounded_below(vec4<f32>(gates[gate])).x);
    let error = qkv[token * params.pitch + 2u * params.keys + value_at] - decay * sums.x;
    let change = gates[gate + params.heads] * error;
//! unroll i 0 VECTORS
    s_$i = decay * s_$i + k_$i * change;
//! end
    if (part == 0u && known) {
//! if CHECKPOINTS
      errors[token * params.output_pitch + value_at] = error;
//! else
      output[token * params.output_pitch + value_at] = decay * sums.y + change * sums.z;
//! end
    }
    token++;
  }
//! if CARRIED
  if (known) {
//! unroll i 0 VECTORS
    states[state_at + ${i}u] = s_$i;
//! end
  }
//! end
}
