// The gradients of delta_scan.wgsl with respect to queries and keys, for CHUNK tokens of a key head at a time, from what
// both scans left. With S and D the state before the chunk and the gradient of that behind it, γ(t, s) the product of the
// decays of the tokens s + 1 … t, and all sums over tokens of one document in the chunk:
//   dq_t = γ(t, before)·S·dy_t + Σ_{s ≤ t} γ(t, s)·(dy_t · c_s)·k_s,                  c = beta·e
//   dk_t = γ(end, t)·D·c_t + Σ_{s ≥ t} γ(s, t)·(dy_s · c_t)·q_s − Σ_{s > t} γ(s, t)·beta_s·(u_s · c_t)·k_s
//          − beta_t·(γ(t, before)·S·u_t + Σ_{s < t} γ(t, s)·(u_t · c_s)·k_s)
// as the state behind token t is what c and k of the tokens before it made of S, and its gradient what dy, q, u and k
// of the tokens after it made of D. Nothing here waits for another token.
//
// For delta_gate_gradients.wgsl it leaves, of every token,
//   from_state(t) = γ(t, before)·(q_t · S·dy_t − beta_t·k_t · S·u_t),   to_state(t) = γ(end, t)·k_t · D·c_t.
//
// Shapes: as in delta_scan_backward.wgsl; dq and dk go to their columns of d_qkv, summed over the value heads of a key head;
// from_state and to_state to d_gates, laid out like gates.
// One workgroup per chunk and key head: a thread has rows of the state, TOKENS tokens at a time.

const PAIRS: u32 = CHUNK * CHUNK;

struct Params {
  tokens: u32,
  key_dim: u32, value_dim: u32,
  keys: u32,
  group: u32,
  heads: u32,
  first_head: u32, call_heads: u32, // value heads
  pitch: u32, gates_pitch: u32, output_pitch: u32,
  errors_pitch: u32, errors_half: u32,
  states_half: u32, // in f32s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> d_output: array<f32>;
@group(0) @binding(5) var<storage, read> errors: array<f32>;
@group(0) @binding(6) var<storage, read> states: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_gates: array<f32>;
//! include delta_chunk.wgsl

// [t][s], s ≤ t: γ(t, s)·(dy_t · c_s), what dq_t has of k_s, and dk_s of q_t.
var<workgroup> of_pairs: array<f32, PAIRS>;
// Symmetric: what dk_t has of k_s.
var<workgroup> of_keys: array<f32, PAIRS>;
// γ(t, before), γ(end, t): 0 where a document begins or ends between.
var<workgroup> factors: array<vec2<f32>, CHUNK>;
// [dy, u, c][token][column], with their factors.
var<workgroup> values: array<f32, VALUES>;
// [token][row]: what rows have of from_state and to_state.
var<workgroup> terms: array<vec2<f32>, TERMS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * CHUNK;
  let count = min(params.tokens - first, CHUNK);
  let key_head = params.first_head / params.group + group.y;
  let q_column = key_head * params.key_dim;
  let k_column = params.keys + q_column;

  for (var member = 0u; member < params.group; member++) {
    let local = group.y * params.group + member; // among the heads of the states
    let head = params.first_head + local;
    let column = head * params.value_dim;
    workgroupBarrier(); // the head before is done
    load_gates(first, count, head, thread);
    workgroupBarrier();
    if (thread < count) {
      let from_before = exp(max(decays[0] + log_decay(thread, 0u), -80.0));
      let to_end = exp(max(log_decay(count - 1u, thread), -80.0));
      factors[thread] = vec2<f32>(select(0.0, from_before, starts[thread] == starts[0]),
                                  select(0.0, to_end, starts[thread] == starts[count - 1u]));
    }
    for (var pair = thread; pair < PAIRS; pair += THREADS) {
      let t = pair / CHUNK;
      let s = pair % CHUNK;
      var of_pair = 0.0;
      var of_key = 0.0;
      if (s <= t && t < count && starts[s] == starts[t]) {
        let dy_at = (first + t) * params.output_pitch + column;
        let u_at = (first + t) * params.errors_pitch + params.errors_half + column;
        let e_at = (first + s) * params.errors_pitch + column;
        var products = vec2<f32>();
        for (var j = 0u; j < params.value_dim; j++) {
          products += vec2<f32>(d_output[dy_at + j], errors[u_at + j]) * errors[e_at + j];
        }
        products *= betas[s] * exp(max(log_decay(t, s), -80.0));
        of_pair = products.x;
        of_key = -betas[t] * products.y;
      }
      of_pairs[pair] = of_pair;
      if (s < t) {
        of_keys[pair] = of_key;
        of_keys[s * CHUNK + t] = of_key;
      }
      if (s == t) { of_keys[pair] = 0.0; }
    }
    workgroupBarrier();

    let state_at = (group.x * params.call_heads + local) * params.value_dim * KEY_DIM;
    for (var block = 0u; block < params.key_dim; block += THREADS) {
      let i = block + thread;
      let known = i < params.key_dim;
      let row = min(i, params.key_dim - 1u);
      for (var t0 = 0u; t0 < count; t0 += TOKENS) {
//! unroll n 0 TOKENS
        var dq_$n = 0.0;
        var dk_$n = 0.0;
        var to_$n = 0.0;
//! end
        for (var j0 = 0u; j0 < params.value_dim; j0 += TILE) {
          let columns = min(params.value_dim - j0, TILE);
          workgroupBarrier(); // the tile before is done
          for (var at = thread; at < TOKENS * TILE; at += THREADS) {
            let t = t0 + at / TILE;
            let j = at % TILE;
            var dy = 0.0;
            var u = 0.0;
            var c = 0.0;
            if (t < count && j < columns) {
              let token = first + t;
              let of_value = column + j0 + j;
              let e_at = token * params.errors_pitch + of_value;
              dy = factors[t].x * d_output[token * params.output_pitch + of_value];
              u = -factors[t].x * betas[t] * errors[e_at + params.errors_half];
              c = factors[t].y * betas[t] * errors[e_at];
            }
            values[at] = dy;
            values[TOKENS * TILE + at] = u;
            values[2u * TOKENS * TILE + at] = c;
          }
          workgroupBarrier();
          for (var j = 0u; j < columns; j++) {
            let at = state_at + (j0 + j) * KEY_DIM + row;
            let s = states[at];
            let d = states[params.states_half + at];
//! unroll n 0 TOKENS
            dq_$n += s * values[${n}u * TILE + j];
            dk_$n += s * values[(TOKENS + ${n}u) * TILE + j];
            to_$n += d * values[(2u * TOKENS + ${n}u) * TILE + j];
//! end
          }
        }
//! unroll n 0 TOKENS
        let at_$n = (first + min(t0 + ${n}u, count - 1u)) * params.pitch + row;
        let from_$n = qkv[at_$n + q_column] * dq_$n + qkv[at_$n + k_column] * dk_$n;
        terms[${n}u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_$n, qkv[at_$n + k_column] * to_$n), known);
        dk_$n += to_$n;
//! end
        workgroupBarrier();
        if (thread < TOKENS && t0 + thread < count) {
          var sum = vec2<f32>();
          for (var i = 0u; i < THREADS; i++) { sum += terms[thread * THREADS + i]; }
          let gate = (first + t0 + thread) * params.gates_pitch + head;
          if (block > 0u) { sum += vec2<f32>(d_gates[gate], d_gates[gate + params.heads]); }
          d_gates[gate] = sum.x;
          d_gates[gate + params.heads] = sum.y;
        }
        for (var s = 0u; s < count; s++) {
          let at = (first + s) * params.pitch + row;
          let q = qkv[at + q_column];
          let k = qkv[at + k_column];
//! unroll n 0 TOKENS
          dq_$n += of_pairs[(t0 + ${n}u) * CHUNK + s] * k;
          dk_$n += of_pairs[s * CHUNK + t0 + ${n}u] * q + of_keys[(t0 + ${n}u) * CHUNK + s] * k;
//! end
        }
//! unroll n 0 TOKENS
        if (known && t0 + ${n}u < count) {
          let at = (first + t0 + ${n}u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_$n;
            d_qkv[at + k_column] = dk_$n;
          } else {
            d_qkv[at + q_column] += dq_$n;
            d_qkv[at + k_column] += dk_$n;
          }
        }
//! end
      }
    }
  }
}
