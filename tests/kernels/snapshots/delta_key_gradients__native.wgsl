const CHUNK = 32;
const KEY_DIM = 128;
const THREADS = 64;
const TOKENS = 8;
const TILE = 32;
const VALUES = 768;
const TERMS = 512;
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
// The gates of a chunk of tokens of a value head in workgroup memory. Include-only.

var<workgroup> decays: array<f32, CHUNK>; // their logs
var<workgroup> betas: array<f32, CHUNK>;
var<workgroup> starts: array<u32, CHUNK>; // where the document of each token begins

// Loads them; the caller waits for all threads.
fn load_gates(first: u32, count: u32, head: u32, thread: u32) {
  if (thread < CHUNK) {
    let token = first + min(thread, count - 1u);
    let gate = token * params.gates_pitch + head;
    decays[thread] = gates[gate];
    betas[thread] = gates[gate + params.heads];
    starts[thread] = documents[token].x;
  }
}

// log γ(t, s) of places in the chunk, s ≤ t: of the product of the decays of the tokens s + 1 … t.
fn log_decay(t: u32, s: u32) -> f32 {
  var sum = 0.0;
  for (var i = s + 1u; i <= t; i++) { sum += decays[i]; }
  return sum;
}


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
        var dq_0 = 0.0;
        var dk_0 = 0.0;
        var to_0 = 0.0;
        var dq_1 = 0.0;
        var dk_1 = 0.0;
        var to_1 = 0.0;
        var dq_2 = 0.0;
        var dk_2 = 0.0;
        var to_2 = 0.0;
        var dq_3 = 0.0;
        var dk_3 = 0.0;
        var to_3 = 0.0;
        var dq_4 = 0.0;
        var dk_4 = 0.0;
        var to_4 = 0.0;
        var dq_5 = 0.0;
        var dk_5 = 0.0;
        var to_5 = 0.0;
        var dq_6 = 0.0;
        var dk_6 = 0.0;
        var to_6 = 0.0;
        var dq_7 = 0.0;
        var dk_7 = 0.0;
        var to_7 = 0.0;
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
            dq_0 += s * values[0u * TILE + j];
            dk_0 += s * values[(TOKENS + 0u) * TILE + j];
            to_0 += d * values[(2u * TOKENS + 0u) * TILE + j];
            dq_1 += s * values[1u * TILE + j];
            dk_1 += s * values[(TOKENS + 1u) * TILE + j];
            to_1 += d * values[(2u * TOKENS + 1u) * TILE + j];
            dq_2 += s * values[2u * TILE + j];
            dk_2 += s * values[(TOKENS + 2u) * TILE + j];
            to_2 += d * values[(2u * TOKENS + 2u) * TILE + j];
            dq_3 += s * values[3u * TILE + j];
            dk_3 += s * values[(TOKENS + 3u) * TILE + j];
            to_3 += d * values[(2u * TOKENS + 3u) * TILE + j];
            dq_4 += s * values[4u * TILE + j];
            dk_4 += s * values[(TOKENS + 4u) * TILE + j];
            to_4 += d * values[(2u * TOKENS + 4u) * TILE + j];
            dq_5 += s * values[5u * TILE + j];
            dk_5 += s * values[(TOKENS + 5u) * TILE + j];
            to_5 += d * values[(2u * TOKENS + 5u) * TILE + j];
            dq_6 += s * values[6u * TILE + j];
            dk_6 += s * values[(TOKENS + 6u) * TILE + j];
            to_6 += d * values[(2u * TOKENS + 6u) * TILE + j];
            dq_7 += s * values[7u * TILE + j];
            dk_7 += s * values[(TOKENS + 7u) * TILE + j];
            to_7 += d * values[(2u * TOKENS + 7u) * TILE + j];
          }
        }
        let at_0 = (first + min(t0 + 0u, count - 1u)) * params.pitch + row;
        let from_0 = qkv[at_0 + q_column] * dq_0 + qkv[at_0 + k_column] * dk_0;
        terms[0u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_0, qkv[at_0 + k_column] * to_0), known);
        dk_0 += to_0;
        let at_1 = (first + min(t0 + 1u, count - 1u)) * params.pitch + row;
        let from_1 = qkv[at_1 + q_column] * dq_1 + qkv[at_1 + k_column] * dk_1;
        terms[1u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_1, qkv[at_1 + k_column] * to_1), known);
        dk_1 += to_1;
        let at_2 = (first + min(t0 + 2u, count - 1u)) * params.pitch + row;
        let from_2 = qkv[at_2 + q_column] * dq_2 + qkv[at_2 + k_column] * dk_2;
        terms[2u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_2, qkv[at_2 + k_column] * to_2), known);
        dk_2 += to_2;
        let at_3 = (first + min(t0 + 3u, count - 1u)) * params.pitch + row;
        let from_3 = qkv[at_3 + q_column] * dq_3 + qkv[at_3 + k_column] * dk_3;
        terms[3u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_3, qkv[at_3 + k_column] * to_3), known);
        dk_3 += to_3;
        let at_4 = (first + min(t0 + 4u, count - 1u)) * params.pitch + row;
        let from_4 = qkv[at_4 + q_column] * dq_4 + qkv[at_4 + k_column] * dk_4;
        terms[4u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_4, qkv[at_4 + k_column] * to_4), known);
        dk_4 += to_4;
        let at_5 = (first + min(t0 + 5u, count - 1u)) * params.pitch + row;
        let from_5 = qkv[at_5 + q_column] * dq_5 + qkv[at_5 + k_column] * dk_5;
        terms[5u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_5, qkv[at_5 + k_column] * to_5), known);
        dk_5 += to_5;
        let at_6 = (first + min(t0 + 6u, count - 1u)) * params.pitch + row;
        let from_6 = qkv[at_6 + q_column] * dq_6 + qkv[at_6 + k_column] * dk_6;
        terms[6u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_6, qkv[at_6 + k_column] * to_6), known);
        dk_6 += to_6;
        let at_7 = (first + min(t0 + 7u, count - 1u)) * params.pitch + row;
        let from_7 = qkv[at_7 + q_column] * dq_7 + qkv[at_7 + k_column] * dk_7;
        terms[7u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_7, qkv[at_7 + k_column] * to_7), known);
        dk_7 += to_7;
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
          dq_0 += of_pairs[(t0 + 0u) * CHUNK + s] * k;
          dk_0 += of_pairs[s * CHUNK + t0 + 0u] * q + of_keys[(t0 + 0u) * CHUNK + s] * k;
          dq_1 += of_pairs[(t0 + 1u) * CHUNK + s] * k;
          dk_1 += of_pairs[s * CHUNK + t0 + 1u] * q + of_keys[(t0 + 1u) * CHUNK + s] * k;
          dq_2 += of_pairs[(t0 + 2u) * CHUNK + s] * k;
          dk_2 += of_pairs[s * CHUNK + t0 + 2u] * q + of_keys[(t0 + 2u) * CHUNK + s] * k;
          dq_3 += of_pairs[(t0 + 3u) * CHUNK + s] * k;
          dk_3 += of_pairs[s * CHUNK + t0 + 3u] * q + of_keys[(t0 + 3u) * CHUNK + s] * k;
          dq_4 += of_pairs[(t0 + 4u) * CHUNK + s] * k;
          dk_4 += of_pairs[s * CHUNK + t0 + 4u] * q + of_keys[(t0 + 4u) * CHUNK + s] * k;
          dq_5 += of_pairs[(t0 + 5u) * CHUNK + s] * k;
          dk_5 += of_pairs[s * CHUNK + t0 + 5u] * q + of_keys[(t0 + 5u) * CHUNK + s] * k;
          dq_6 += of_pairs[(t0 + 6u) * CHUNK + s] * k;
          dk_6 += of_pairs[s * CHUNK + t0 + 6u] * q + of_keys[(t0 + 6u) * CHUNK + s] * k;
          dq_7 += of_pairs[(t0 + 7u) * CHUNK + s] * k;
          dk_7 += of_pairs[s * CHUNK + t0 + 7u] * q + of_keys[(t0 + 7u) * CHUNK + s] * k;
        }
        if (known && t0 + 0u < count) {
          let at = (first + t0 + 0u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_0;
            d_qkv[at + k_column] = dk_0;
          } else {
            d_qkv[at + q_column] += dq_0;
            d_qkv[at + k_column] += dk_0;
          }
        }
        if (known && t0 + 1u < count) {
          let at = (first + t0 + 1u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_1;
            d_qkv[at + k_column] = dk_1;
          } else {
            d_qkv[at + q_column] += dq_1;
            d_qkv[at + k_column] += dk_1;
          }
        }
        if (known && t0 + 2u < count) {
          let at = (first + t0 + 2u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_2;
            d_qkv[at + k_column] = dk_2;
          } else {
            d_qkv[at + q_column] += dq_2;
            d_qkv[at + k_column] += dk_2;
          }
        }
        if (known && t0 + 3u < count) {
          let at = (first + t0 + 3u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_3;
            d_qkv[at + k_column] = dk_3;
          } else {
            d_qkv[at + q_column] += dq_3;
            d_qkv[at + k_column] += dk_3;
          }
        }
        if (known && t0 + 4u < count) {
          let at = (first + t0 + 4u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_4;
            d_qkv[at + k_column] = dk_4;
          } else {
            d_qkv[at + q_column] += dq_4;
            d_qkv[at + k_column] += dk_4;
          }
        }
        if (known && t0 + 5u < count) {
          let at = (first + t0 + 5u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_5;
            d_qkv[at + k_column] = dk_5;
          } else {
            d_qkv[at + q_column] += dq_5;
            d_qkv[at + k_column] += dk_5;
          }
        }
        if (known && t0 + 6u < count) {
          let at = (first + t0 + 6u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_6;
            d_qkv[at + k_column] = dk_6;
          } else {
            d_qkv[at + q_column] += dq_6;
            d_qkv[at + k_column] += dk_6;
          }
        }
        if (known && t0 + 7u < count) {
          let at = (first + t0 + 7u) * params.pitch + i;
          if (member == 0u) {
            d_qkv[at + q_column] = dq_7;
            d_qkv[at + k_column] = dk_7;
          } else {
            d_qkv[at + q_column] += dq_7;
            d_qkv[at + k_column] += dk_7;
          }
        }
      }
    }
  }
}

