const CHUNK = 32;
const KEY_DIM = 128;
const THREADS = 128;
// The gradients of delta_scan.wgsl with respect to its gates, for CHUNK tokens of a value head at a time, from what both
// scans and delta_key_gradients.wgsl left. That of the log of token t's decay is ⟨S, D⟩, the state that it decayed times
// its gradient: all that comes from tokens before t, or from before the chunk, times all that goes to t and the tokens
// after it, or behind the chunk. In the terms of delta_key_gradients.wgsl:
//   Σ_{s < t ≤ r} γ(r, s)·((dy_r · c_s)·(q_r · k_s) − beta_r·(u_r · c_s)·(k_r · k_s))
//   + Σ_{r ≥ t} from_state(r) + Σ_{s < t} to_state(s) + γ(end, before)·⟨S, D⟩ of the chunk.
// No two of these are nearly opposite, as states times gradients summed over tokens would be where decays are strong. And
// d beta_t = u_t · e_t.
//
// Shapes: as in delta_scan_backward.wgsl; d_gates f32 is laid out like gates, and comes with from_state in place of the
// gradients of decays, to_state in place of those of beta.

const PAIRS: u32 = CHUNK * CHUNK;

struct Params {
  tokens: u32,
  key_dim: u32, value_dim: u32,
  keys: u32,
  group: u32,
  heads: u32,
  first_head: u32, call_heads: u32,
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
@group(0) @binding(7) var<storage, read_write> d_gates: array<f32>;
// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column += reduce_scratch[thread + 16u * 1u];
    column += reduce_scratch[thread + 16u * 2u];
    column += reduce_scratch[thread + 16u * 3u];
    column += reduce_scratch[thread + 16u * 4u];
    column += reduce_scratch[thread + 16u * 5u];
    column += reduce_scratch[thread + 16u * 6u];
    column += reduce_scratch[thread + 16u * 7u];
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
  total += reduce_scratch[1];
  total += reduce_scratch[2];
  total += reduce_scratch[3];
  total += reduce_scratch[4];
  total += reduce_scratch[5];
  total += reduce_scratch[6];
  total += reduce_scratch[7];
  total += reduce_scratch[8];
  total += reduce_scratch[9];
  total += reduce_scratch[10];
  total += reduce_scratch[11];
  total += reduce_scratch[12];
  total += reduce_scratch[13];
  total += reduce_scratch[14];
  total += reduce_scratch[15];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

// The largest of magnitudes, as their bits without the sign, in which order they are: maxima of floats may leave NaN out, and
// those of integers do not. A NaN, or else infinity, among the values is what comes out.
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  reduce_scratch[thread] = bitcast<f32>(bits);
  workgroupBarrier();
  if (thread < 16u) {
    var column = bits;
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 1u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 2u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 3u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 4u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 5u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 6u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 7u]));
    reduce_scratch[thread] = bitcast<f32>(column);
  }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
  largest = max(largest, bitcast<u32>(reduce_scratch[1]));
  largest = max(largest, bitcast<u32>(reduce_scratch[2]));
  largest = max(largest, bitcast<u32>(reduce_scratch[3]));
  largest = max(largest, bitcast<u32>(reduce_scratch[4]));
  largest = max(largest, bitcast<u32>(reduce_scratch[5]));
  largest = max(largest, bitcast<u32>(reduce_scratch[6]));
  largest = max(largest, bitcast<u32>(reduce_scratch[7]));
  largest = max(largest, bitcast<u32>(reduce_scratch[8]));
  largest = max(largest, bitcast<u32>(reduce_scratch[9]));
  largest = max(largest, bitcast<u32>(reduce_scratch[10]));
  largest = max(largest, bitcast<u32>(reduce_scratch[11]));
  largest = max(largest, bitcast<u32>(reduce_scratch[12]));
  largest = max(largest, bitcast<u32>(reduce_scratch[13]));
  largest = max(largest, bitcast<u32>(reduce_scratch[14]));
  largest = max(largest, bitcast<u32>(reduce_scratch[15]));
  workgroupBarrier();
  return largest;
}

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


const LANES: u32 = THREADS / CHUNK; // threads of a token

var<workgroup> of_pairs: array<f32, PAIRS>; // [r][s], s < r
var<workgroup> d_betas: array<f32, CHUNK>;
var<workgroup> terms: array<vec2<f32>, CHUNK>; // from_state, to_state
var<workgroup> shares: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * CHUNK;
  let count = min(params.tokens - first, CHUNK);
  let head = params.first_head + group.y;
  let column = head * params.value_dim;
  let q_column = head / params.group * params.key_dim;
  let k_column = params.keys + q_column;
  load_gates(first, count, head, thread);
  if (thread < CHUNK) {
    let gate = (first + min(thread, count - 1u)) * params.gates_pitch + head;
    terms[thread] = vec2<f32>(d_gates[gate], d_gates[gate + params.heads]);
  }
  workgroupBarrier();
  for (var pair = thread; pair < PAIRS; pair += THREADS) {
    let r = pair / CHUNK;
    let s = pair % CHUNK;
    var of_pair = 0.0;
    if (s <= r && r < count && starts[s] == starts[r]) {
      let dy_at = (first + r) * params.output_pitch + column;
      let u_at = (first + r) * params.errors_pitch + params.errors_half + column;
      let e_at = (first + s) * params.errors_pitch + column;
      var products = vec2<f32>();
      for (var j = 0u; j < params.value_dim; j++) {
        products += vec2<f32>(d_output[dy_at + j], errors[u_at + j]) * errors[e_at + j];
      }
      if (s == r) {
        d_betas[s] = products.y;
      } else {
        let r_at = (first + r) * params.pitch;
        let s_at = (first + s) * params.pitch + k_column;
        var keys = vec2<f32>();
        for (var i = 0u; i < params.key_dim; i++) {
          keys += vec2<f32>(qkv[r_at + q_column + i], qkv[r_at + k_column + i]) * qkv[s_at + i];
        }
        let decay = betas[s] * exp(max(log_decay(r, s), -80.0));
        of_pair = decay * (products.x * keys.x - betas[r] * products.y * keys.y);
      }
    }
    of_pairs[pair] = of_pair;
  }

  // Through the whole chunk, where it is of one document.
  let state_size = params.value_dim * KEY_DIM;
  let state_at = (group.x * params.call_heads + group.y) * state_size;
  var product = 0.0;
  for (var i = thread; i < state_size; i += THREADS) {
    product += states[state_at + i] * states[params.states_half + state_at + i];
  }
  let whole = workgroup_sum(product, thread);
  let t = thread / LANES;
  var share = 0.0;
  for (var s = thread % LANES; s < count; s += LANES) {
    if (s < t) {
      share += terms[s].y;
      for (var r = t; r < count; r++) { share += of_pairs[r * CHUNK + s]; }
    } else {
      share += terms[s].x;
    }
  }
  shares[thread] = share;
  workgroupBarrier();
  if (thread >= count) { return; }
  var d_log = 0.0;
  if (starts[0] == starts[count - 1u]) {
    d_log = whole * exp(max(decays[0] + log_decay(count - 1u, 0u), -80.0));
  }
  for (var lane = 0u; lane < LANES; lane++) { d_log += shares[thread * LANES + lane]; }
  let gate = (first + thread) * params.gates_pitch + head;
  d_gates[gate] = d_log;
  d_gates[gate + params.heads] = d_betas[thread];
}

