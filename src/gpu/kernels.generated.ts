// Generated from wgsl/ by `deno task bundle`. Do not edit.
// deno-fmt-ignore-file

/** Kernel sources by file name. */
export const kernelSources: Readonly<Record<string, string>> = {
  "adamw.wgsl": `// AdamW with bias correction and decoupled weight decay, as torch.optim.AdamW. With g = gradient · clip:
//   first  := beta1 · first + (1 − beta1) · g
//   second := beta2 · second + (1 − beta2) · g²
//   value  := value · (1 − learning_rate · weight_decay) − step_size · first / (sqrt(second) · second_scale + eps)
//
// Shapes: values, gradients, first, second f32 [count], updated as whole vec4s; elements below decay_end decay.
// A step whose gradient is not finite changes nothing.
// Idea: one thread a vec4; bound by memory. 1 − beta comes from the host, as in f32 it would lose four digits.
//! include step_state.wgsl

struct Params {
  vectors: u32, // vec4s in each
  decay_end: u32,
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  eps: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: StepInputs;
@group(0) @binding(2) var<storage, read> results: StepResults;
@group(0) @binding(3) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> second: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let i = (group.y * groups.x + group.x) * THREADS + thread;
  if (i >= params.vectors || results.finite == 0u) { return; }
  let g = gradients[i] * results.clip;
  let m = params.beta1 * first[i] + params.one_minus_beta1 * g;
  let v = params.beta2 * second[i] + params.one_minus_beta2 * g * g;
  first[i] = m;
  second[i] = v;
  let decays = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.decay_end);
  let kept = select(vec4<f32>(1.0), vec4<f32>(1.0 - inputs.learning_rate * params.weight_decay), decays);
  values[i] = values[i] * kept - inputs.step_size * m / (sqrt(v) * inputs.second_scale + params.eps);
}
`,
  "attention_backward.wgsl": `// What the two tiled kernels of the attention backward share: parameters, bindings, and how they read and write pairs.

struct Params {
  tokens: u32, heads: u32, kv_heads: u32, head_pairs: u32,
  // all pitches and columns but that of the statistics count pairs
  q_pitch: u32, q_column: u32, k_pitch: u32, k_column: u32, v_pitch: u32, v_column: u32,
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> d_output: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(7) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<vec2<f32>>;

const Q = 0u;
const K = 1u;
const V = 2u;
const D_OUTPUT = 3u;
const LOG2_E = 1.44269504088896;

fn load_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  let at = head * params.head_pairs + pair;
  switch source {
    case Q: { return q[token * params.q_pitch + params.q_column + at]; }
    case K: { return k[token * params.k_pitch + params.k_column + at]; }
    case V: { return v[token * params.v_pitch + params.v_column + at]; }
    default: { return d_output[token * params.d_output_pitch + at]; }
  }
}

// Writes four dims of a head whose first column is given.
fn store_gradient(token: u32, column: u32, quad: u32, value: vec4<f32>) {
  let at = token * params.d_qkv_pitch + column + 2u * quad;
  if (2u * quad < params.head_pairs) { d_qkv[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { d_qkv[at + 1u] = value.zw; }
}
`,
  "attention_backward_delta.wgsl": `// First step of the attention backward: delta[t, h] = Σ_dim d_output[t, h, dim] · output[t, h, dim].
//
// With P the probabilities and dP = dO·Vᵀ, the softmax passes dS = P ∘ (dP − rowsum(P ∘ dP)) back, and that row sum equals
// rowsum(dO ∘ O): one number a query and head that needs no keys.
//
// Shapes: output, d_output [tokens, heads · head size], delta [tokens, heads], all f32.
// Idea: LANES neighbours read one head together; their partial sums are added in a fixed order. One item is an element
// of delta, columns up to the pitch included, which become zero. Memory-bound: every element is read once.

const THREADS = 128u;
const LANES = 8u;
const ITEMS = THREADS / LANES;

struct Params {
  tokens: u32, heads: u32, head_pairs: u32,
  output_pitch: u32, d_output_pitch: u32, // in pairs
  statistics_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> output: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> d_output: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

var<workgroup> partial: array<array<f32, LANES>, ITEMS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let first_item = (group.y * groups.x + group.x) * ITEMS;
  let item = first_item + thread / LANES;
  let token = item / params.statistics_pitch;
  let head = item % params.statistics_pitch;
  var sum = 0.0;
  if (token < params.tokens && head < params.heads) {
    let output_start = token * params.output_pitch + head * params.head_pairs;
    let d_output_start = token * params.d_output_pitch + head * params.head_pairs;
    for (var pair = thread % LANES; pair < params.head_pairs; pair += LANES) {
      sum += dot(output[output_start + pair], d_output[d_output_start + pair]);
    }
  }
  partial[thread / LANES][thread % LANES] = sum;
  workgroupBarrier();
  if (thread < ITEMS && first_item + thread < params.tokens * params.statistics_pitch) {
    var total = 0.0;
    //! unroll i 0 8
    total += partial[thread][$i];
    //! end
    delta[first_item + thread] = total;
  }
}
`,
  "attention_backward_keys_values.wgsl": `// Attention backward, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over the query heads that
// share a key head. P and dS as in attention_backward_queries.wgsl, made transposed: rows are keys, columns queries.
//
// Shapes: as there; dk and dv somewhere in the columns of d_qkv [tokens, ·].
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its first
// key to the end of its last key's document. Nobody else adds to its rows, so there are no atomics and the order is fixed.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products. Two sets of results live in registers, so for
// heads over 64 a tile has half the rows of the other kernels.
//! include attention_tiles.wgsl
//! include attention_backward.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = documents[last_key].y;
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  var dk = Results();
  var dv = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      let statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]);
      let deltas = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);

      var p = Scores();
      add_products(&p, Rows(K, kv_head, first_key), Rows(Q, head, first_query), thread);
      //! unroll v 0 ROW_VECTORS
      //! unroll c 0 4
      {
        let key = min(first_key + 4u * (row_slot + \${v}u) + \${c}u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * $v + $c] = select(vec4<f32>(), exp2((p[4 * $v + $c] * params.scale - statistics) * LOG2_E), visible);
      }
      //! end
      //! end
      add_combinations(&dv, &p, Rows(D_OUTPUT, head, first_query), thread);

      var ds = Scores();
      add_products(&ds, Rows(V, kv_head, first_key), Rows(D_OUTPUT, head, first_query), thread);
      //! unroll r 0 4*ROW_VECTORS
      ds[$r] = p[$r] * (ds[$r] - deltas);
      //! end
      add_combinations(&dk, &ds, Rows(Q, head, first_query), thread);
    }
  }

  //! unroll v 0 ROW_VECTORS
  //! unroll c 0 4
  {
    let key = first_key + 4u * (row_slot + \${v}u) + \${c}u;
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      let quad$j = x + \${j}u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad$j, dk[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale);
      store_gradient(key, params.dv_column + head_start, quad$j, dv[(4 * $v + $c) * DIM_VECTORS + $j]);
      //! end
    }
  }
  //! end
  //! end
}
`,
  "attention_backward_queries.wgsl": `// Attention backward, gradient of the queries: dQ = scale · dS·K with dS = P ∘ (dO·Vᵀ − delta), and P = 2^(scores −
// log_sum_exp) made again tile by tile.
//
// Shapes: as in attention_forward.wgsl; d_output [tokens, heads · head size], delta [tokens, heads]; dq somewhere in the
// columns of d_qkv [tokens, ·]. All f32.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys that the forward walked over.
// The first head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//
// Operations: 6 · head size for each visible (query, key, head), 3 products.
//! include attention_tiles.wgsl
//! include attention_backward.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  var dq = Results();

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var p = Scores();
    add_products(&p, Rows(Q, head, first_query), Rows(K, kv_head, first_key), thread);
    var ds = Scores();
    add_products(&ds, Rows(D_OUTPUT, head, first_query), Rows(V, kv_head, first_key), thread);

    let keys = first_key + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
    //! unroll v 0 ROW_VECTORS
    //! unroll c 0 4
    {
      let query = min(first_query + 4u * (row_slot + \${v}u) + \${c}u, last_query);
      let visible = (keys >= vec4<u32>(documents[query].x)) & (keys <= vec4<u32>(query));
      let at = query * params.statistics_pitch + head;
      let probability = exp2((p[4 * $v + $c] * params.scale - log_sum_exp[at]) * LOG2_E);
      ds[4 * $v + $c] = select(vec4<f32>(), probability * (ds[4 * $v + $c] - delta[at]), visible);
    }
    //! end
    //! end
    add_combinations(&dq, &ds, Rows(K, kv_head, first_key), thread);
  }

  //! unroll v 0 ROW_VECTORS
  //! unroll c 0 4
  {
    let query = first_query + 4u * (row_slot + \${v}u) + \${c}u;
    if (query <= last_query) {
      let column = params.dq_column + head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      store_gradient(query, column, x + \${j}u * COLUMN_THREADS, dq[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale);
      //! end
    }
  }
  //! end
  //! end

  if (head == 0u) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[query * params.d_qkv_pitch + c] = vec2<f32>();
      }
    }
  }
}
`,
  "attention_decode.wgsl": `// Attention of one new token to the cached keys and values, for generation.
//
// Shapes: q [1, heads · head size], somewhere in the columns of a matrix; key_cache, value_cache [max_length, kv_heads ·
// head size]; length u32 [1]: cached keys, those of the new token included; output [1, heads · head size]. All f32.
// The length is read from a buffer, so that one recorded program serves every token.
//
// Idea: a workgroup takes a query head and walks over THREADS keys at a time with an online softmax (see
// attention_forward.wgsl). First each thread makes the score of one key, then the threads share out the pairs of dims,
// with as many lanes of keys as fit, and each adds up its pair over the keys of its lane.
// Memory-bound: 2 · length · head size elements a head are read once, 4 operations for each two.
//! include workgroup_reduce.wgsl

struct Params {
  heads: u32, kv_heads: u32, head_pairs: u32, max_length: u32,
  q_column: u32, cache_pitch: u32, output_pitch: u32, // in pairs
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> key_cache: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> value_cache: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> length: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec2<f32>>;

const LOG2_E = 1.44269504088896;
const MASKED = -3e38; // below every score

var<workgroup> query: array<vec2<f32>, 64>; // zeros behind the head
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> partial: array<vec2<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let head_start = head * params.kv_heads / params.heads * params.head_pairs;
  let end = min(length[0], params.max_length);
  if (thread < params.head_pairs) {
    query[thread] = q[params.q_column + head * params.head_pairs + thread] * (params.scale * LOG2_E);
  }
  let lanes = THREADS / params.head_pairs;
  let lane = thread / params.head_pairs;
  let column = head_start + thread % params.head_pairs;

  var maximum = MASKED;
  var sum = 0.0;
  var result = vec2<f32>();
  for (var first = 0u; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    var score = MASKED;
    if (first + thread < end) {
      let start = (first + thread) * params.cache_pitch + head_start;
      score = 0.0;
      for (var pair = 0u; pair < params.head_pairs; pair += 4u) {
        //! unroll i 0 4
        score += dot(query[pair + \${i}u], key_cache[start + min(pair + \${i}u, params.head_pairs - 1u)]);
        //! end
      }
    }
    let before = maximum;
    maximum = max(maximum, workgroup_max(score, thread));
    let decay = exp2(before - maximum);
    let weight = select(0.0, exp2(score - maximum), first + thread < end);
    sum = sum * decay + weight;
    result *= decay;
    weights[thread] = weight;
    workgroupBarrier();
    if (lane < lanes) {
      for (var key = lane; key < min(THREADS, end - first); key += 4u * lanes) {
        //! unroll i 0 4
        if (key + \${i}u * lanes < THREADS) {
          let row = min(first + key + \${i}u * lanes, end - 1u);
          result += weights[key + \${i}u * lanes] * value_cache[row * params.cache_pitch + column];
        }
        //! end
      }
    }
  }

  let total = workgroup_sum(sum, thread);
  partial[thread] = result;
  workgroupBarrier();
  if (thread < params.head_pairs) {
    var value = vec2<f32>();
    for (var i = 0u; i < lanes; i += 1u) { value += partial[i * params.head_pairs + thread]; }
    output[head * params.head_pairs + thread] = value / total;
  }
  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var c = columns + thread; c < params.output_pitch; c += THREADS) { output[c] = vec2<f32>(); }
  }
}
`,
  "attention_forward.wgsl": `// Attention forward, tiled with an online softmax: output = softmax(scale · Q·Kᵀ, visible keys) · V for every query head,
// and logSumExp, from which the backward rebuilds the probabilities. No tokens × tokens array exists anywhere.
//
// Shapes: q [tokens, heads · head size], k and v [tokens, kv_heads · head size], each somewhere in the columns of a
// matrix; documents (start, end) a token: token t sees keys start … t; output [tokens, heads · head size]; log_sum_exp
// [tokens, heads]. All f32. Query head h reads key head ⌊h · kv_heads / heads⌋.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query (starts do not decrease, so no query sees more).
//
// Online softmax: with the running maximum m and sum l of a row, a new tile of scores s first scales l and the results by
// 2^(m_old − m_new), then adds p = 2^(s − m_new) to l and p·V to the results. l stays split over the invocations of a
// row until the end. Scores are kept in units of log 2, as exp2 is what the hardware has.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products; for documents of n tokens about
// 2 · n · tokens · heads · head size, plus what the tiles on the diagonal and at document starts compute in vain.
//! include attention_tiles.wgsl

struct Params {
  tokens: u32, heads: u32, kv_heads: u32, head_pairs: u32,
  // all pitches and columns but that of log_sum_exp count pairs
  q_pitch: u32, q_column: u32, k_pitch: u32, k_column: u32, v_pitch: u32, v_column: u32,
  output_pitch: u32, statistics_pitch: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> log_sum_exp: array<f32>;

const Q = 0u;
const K = 1u;
const V = 2u;
const LOG2_E = 1.44269504088896;
const LN_2 = 0.693147180559945;
const MASKED = -3e38; // below every score

fn load_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  let at = head * params.head_pairs + pair;
  switch source {
    case Q: { return q[token * params.q_pitch + params.q_column + at]; }
    case K: { return k[token * params.k_pitch + params.k_column + at]; }
    default: { return v[token * params.v_pitch + params.v_column + at]; }
  }
}

// Gives the invocations of a row each other's numbers: left[x][row slot].
fn share(numbers: ptr<function, RowVectors>, x: u32, row_slot: u32) {
  workgroupBarrier();
  //! unroll v 0 ROW_VECTORS
  left[x][row_slot + \${v}u] = (*numbers)[$v];
  //! end
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let scale = params.scale * LOG2_E;

  var results = Results();
  var maxima: RowVectors;
  var sums = RowVectors();
  //! unroll v 0 ROW_VECTORS
  maxima[$v] = vec4<f32>(MASKED);
  //! end

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), thread);

    var tile_maxima: RowVectors;
    let keys = first_key + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
    //! unroll v 0 ROW_VECTORS
    //! unroll c 0 4
    {
      let query = first_query + 4u * (row_slot + \${v}u) + \${c}u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * $v + $c] * scale, visible);
      scores[4 * $v + $c] = s;
      tile_maxima[$v][$c] = max(max(s.x, s.y), max(s.z, s.w));
    }
    //! end
    //! end
    share(&tile_maxima, x, row_slot);
    //! unroll v 0 ROW_VECTORS
    {
      let before = maxima[$v];
      //! unroll i 0 COLUMN_THREADS
      maxima[$v] = max(maxima[$v], left[$i][row_slot + \${v}u]);
      //! end
      let decay = exp2(before - maxima[$v]);
      sums[$v] *= decay;
      //! unroll c 0 4
      {
        let s = scores[4 * $v + $c];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[$v][$c]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * $v + $c] = p;
        sums[$v][$c] += (p.x + p.y) + (p.z + p.w);
        //! unroll j 0 DIM_VECTORS
        results[(4 * $v + $c) * DIM_VECTORS + $j] *= decay[$c];
        //! end
      }
      //! end
    }
    //! end
    add_combinations(&results, &scores, Rows(V, kv_head, first_key), thread);
  }

  share(&sums, x, row_slot);
  //! unroll v 0 ROW_VECTORS
  {
    var total = vec4<f32>();
    //! unroll i 0 COLUMN_THREADS
    total += left[$i][row_slot + \${v}u];
    //! end
    let statistics = (maxima[$v] + log2(total)) * LN_2;
    //! unroll c 0 4
    {
      let query = first_query + 4u * (row_slot + \${v}u) + \${c}u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[$c]; }
        //! unroll j 0 DIM_VECTORS
        store_results(query, head, x + \${j}u * COLUMN_THREADS, results[(4 * $v + $c) * DIM_VECTORS + $j] / total[$c]);
        //! end
      }
    }
    //! end
  }
  //! end

  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = columns + thread; c < params.output_pitch; c += THREADS) {
        output[query * params.output_pitch + c] = vec2<f32>();
      }
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

fn store_results(query: u32, head: u32, quad: u32, value: vec4<f32>) {
  let at = query * params.output_pitch + head * params.head_pairs + 2u * quad;
  if (2u * quad < params.head_pairs) { output[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { output[at + 1u] = value.zw; }
}
`,
  "attention_tiles.wgsl": `// The two tile products that attention, forward and backward, is made of. A workgroup owns ROWS rows (queries, or keys in
// the gradient of keys and values) and walks over tiles of COLUMNS columns (keys, or queries).
//
//   add_products       scores[row, column] += Σ_dim left[row, dim] · right[column, dim]        contraction over the head
//   add_combinations   results[row, dim]   += Σ_column weights[row, column] · right[column, dim]     ... over the columns
//
// Who holds what: the THREADS = ROW_GROUPS · COLUMN_THREADS invocations form a grid, y in 0 … ROW_GROUPS and x in
// 0 … COLUMN_THREADS. Invocation (x, y) keeps in registers, for its R = 4 · ROW_VECTORS rows  R·y … R·y + R - 1,
//   the scores of columns  x + COLUMN_THREADS · {0, 1, 2, 3}, one vec4 a row, and
//   the results of dims    4 · (x + COLUMN_THREADS · j) … + 3, j < DIM_VECTORS, DIM_VECTORS vec4s a row.
// With that spacing the i-th score of all invocations is COLUMN_THREADS consecutive columns: the weights go to
// workgroup memory by a fixed component, DEPTH columns at a time, and neither tile exists there as a whole.
//
// Both products bring DEPTH slices of the contraction to workgroup memory (left: by slice and row, right: by slice and
// column or dim, all vec4), while the registers of the next slices are already being loaded. An odd number of vec4s a
// slice spreads the stores over the banks. 12.8 KB for heads of 128: more than 16 KB is not there by default, and on an
// NVIDIA GPU costs more in workgroups at a time than it saves in loads.
//
// The host chooses COLUMN_THREADS, DIM_VECTORS and ROW_VECTORS for the head size, LEFT_LOADS (left vec4 pairs a slice that
// an invocation brings) and UNROLL (slices multiplied without a loop).
// The kernel that includes this declares \`params\` with \`tokens\` and \`head_pairs\` (half the head size), and
// \`load_pair(source, token, head, pair)\`. Heads are padded with zeros to the dims of the grid; tokens past the end repeat
// the last one: the caller masks them.

const DEPTH = 16u;
const ROW_GROUPS = 8u;
const THREADS = ROW_GROUPS * COLUMN_THREADS;
const ROWS = ROW_GROUPS * ROW_VECTORS * 4u;
const COLUMNS = 4u * COLUMN_THREADS;
const ROW_SLOTS = ROW_GROUPS * ROW_VECTORS; // vec4s of rows
const PAIRS = DEPTH / 2u;
const RIGHT_SLOTS = DIM_VECTORS * COLUMN_THREADS;

alias RowVectors = array<vec4<f32>, ROW_VECTORS>;             // one number a row
alias Scores = array<vec4<f32>, 4 * ROW_VECTORS>;             // [row]
alias Results = array<vec4<f32>, 4 * ROW_VECTORS * DIM_VECTORS>; // [row][j]

var<workgroup> left: array<array<vec4<f32>, ROW_SLOTS + 1u>, DEPTH>;
var<workgroup> right: array<array<vec4<f32>, RIGHT_SLOTS + 1u>, DEPTH>;

// Tokens from \`first\` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// Two dims of four tokens, turned.
struct Turned { even: vec4<f32>, odd: vec4<f32> }

struct Slices { left: array<Turned, LEFT_LOADS>, right: Turned }

fn guarded_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  return select(vec2<f32>(), load_pair(source, min(token, params.tokens - 1u), head, pair), pair < params.head_pairs);
}

fn load_turned(rows: Rows, token: u32, step: u32, pair: u32) -> Turned {
  let a = guarded_pair(rows.source, rows.first + token, rows.head, pair);
  let b = guarded_pair(rows.source, rows.first + token + step, rows.head, pair);
  let c = guarded_pair(rows.source, rows.first + token + 2u * step, rows.head, pair);
  let d = guarded_pair(rows.source, rows.first + token + 3u * step, rows.head, pair);
  return Turned(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

fn load_slices(a: Rows, b: Rows, first_pair: u32, thread: u32) -> Slices {
  let pair = first_pair + thread % PAIRS;
  let slot = thread / PAIRS;
  var slices: Slices;
  //! unroll n 0 LEFT_LOADS
  if (slot + \${n}u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[$n] = load_turned(a, 4u * (slot + \${n}u * COLUMN_THREADS), 1u, pair);
  }
  //! end
  slices.right = load_turned(b, slot, COLUMN_THREADS, pair);
  return slices;
}

fn add_products(scores: ptr<function, Scores>, a: Rows, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  // The order of the dims does not matter to a sum, so even dims come first, then odd ones: fewer bank conflicts.
  let pair = thread % PAIRS;
  let slot = thread / PAIRS;
  var slices = load_slices(a, b, 0u, thread);
  for (var first_pair = 0u; first_pair < params.head_pairs; first_pair += PAIRS) {
    workgroupBarrier();
    //! unroll n 0 LEFT_LOADS
    if (slot + \${n}u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair][slot + \${n}u * COLUMN_THREADS] = slices.left[$n].even;
      left[pair + PAIRS][slot + \${n}u * COLUMN_THREADS] = slices.left[$n].odd;
    }
    //! end
    right[pair][slot] = slices.right.even;
    right[pair + PAIRS][slot] = slices.right.odd;
    workgroupBarrier();
    if (first_pair + PAIRS < params.head_pairs) { slices = load_slices(a, b, first_pair + PAIRS, thread); }
    //! if UNROLL == 16
    const k0 = 0u;
    //! else
    for (var k0 = 0u; k0 < DEPTH; k0 += UNROLL)
    //! end
    {
      //! unroll k 0 UNROLL
      {
        let columns = right[k0 + \${k}u][x];
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[k0 + \${k}u][row_slot + \${v}u];
        //! unroll c 0 4
        (*scores)[4 * $v + $c] = fma(vec4<f32>(rows$v[$c]), columns, (*scores)[4 * $v + $c]);
        //! end
        //! end
      }
      //! end
    }
  }
}

// Loads what one invocation brings of DEPTH tokens: 2 tokens, DIM_VECTORS vec4s each.
fn load_tokens(b: Rows, first: u32, x: u32, y: u32) -> array<vec4<f32>, 2 * DIM_VECTORS> {
  var values: array<vec4<f32>, 2 * DIM_VECTORS>;
  //! unroll n 0 2
  //! unroll j 0 DIM_VECTORS
  {
    let token = b.first + first + y + \${n}u * ROW_GROUPS;
    let pair = 2u * (x + \${j}u * COLUMN_THREADS);
    let low = guarded_pair(b.source, token, b.head, pair);
    let high = guarded_pair(b.source, token, b.head, pair + 1u);
    values[$n * DIM_VECTORS + $j] = vec4<f32>(low, high);
  }
  //! end
  //! end
  return values;
}

// Turns \`weights\` round and round; in the end they are as they were.
fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  let row_slot = y * ROW_VECTORS;
  var values = load_tokens(b, 0u, x, y);
  for (var first = 0u; first < COLUMNS; first += DEPTH) {
    workgroupBarrier();
    //! unroll n 0 16/COLUMN_THREADS
    //! unroll v 0 ROW_VECTORS
    left[x + \${n}u * COLUMN_THREADS][row_slot + \${v}u] = vec4<f32>(
      (*weights)[4 * $v][$n], (*weights)[4 * $v + 1][$n], (*weights)[4 * $v + 2][$n], (*weights)[4 * $v + 3][$n]);
    //! end
    //! end
    //! unroll n 0 2
    //! unroll j 0 DIM_VECTORS
    right[y + \${n}u * ROW_GROUPS][x + \${j}u * COLUMN_THREADS] = values[$n * DIM_VECTORS + $j];
    //! end
    //! end
    workgroupBarrier();
    if (first + DEPTH < COLUMNS) { values = load_tokens(b, first + DEPTH, x, y); }
    //! unroll r 0 4*ROW_VECTORS
    //! if COLUMN_THREADS == 16
    (*weights)[$r] = (*weights)[$r].yzwx;
    //! end
    //! if COLUMN_THREADS == 8
    (*weights)[$r] = (*weights)[$r].zwxy;
    //! end
    //! end
    //! if UNROLL == 16
    const k0 = 0u;
    //! else
    for (var k0 = 0u; k0 < DEPTH; k0 += UNROLL)
    //! end
    {
      //! unroll k 0 UNROLL
      {
        //! unroll j 0 DIM_VECTORS
        let dims$j = right[k0 + \${k}u][x + \${j}u * COLUMN_THREADS];
        //! end
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[k0 + \${k}u][row_slot + \${v}u];
        //! unroll c 0 4
        //! unroll j 0 DIM_VECTORS
        (*results)[(4 * $v + $c) * DIM_VECTORS + $j] =
          fma(vec4<f32>(rows$v[$c]), dims$j, (*results)[(4 * $v + $c) * DIM_VECTORS + $j]);
        //! end
        //! end
        //! end
      }
      //! end
    }
  }
}
`,
  "cache_append.wgsl": `// Copies the keys and values of new tokens into the caches of a layer, token t into row positions[t].
//
// Shapes: k, v [tokens, width], each somewhere in the columns of a matrix; positions u32 [tokens]; key_cache, value_cache
// [max_length, width]. All f32. Positions past the caches are skipped.
// One thread copies one pair of columns of both; pairs up to the pitch become zero.

const THREADS = 128u;

struct Params {
  tokens: u32, width: u32, max_length: u32,
  k_pitch: u32, k_column: u32, v_pitch: u32, v_column: u32, cache_pitch: u32, // in pairs, as is the width
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> key_cache: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> value_cache: array<vec2<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let token = item / params.cache_pitch;
  let column = item % params.cache_pitch;
  if (token >= params.tokens) { return; }
  let position = positions[token];
  if (position >= params.max_length) { return; }
  var key = vec2<f32>();
  var value = vec2<f32>();
  if (column < params.width) {
    key = k[token * params.k_pitch + params.k_column + column];
    value = v[token * params.v_pitch + params.v_column + column];
  }
  key_cache[position * params.cache_pitch + column] = key;
  value_cache[position * params.cache_pitch + column] = value;
}
`,
  "cross_entropy.wgsl": `// Cross-entropy of a chunk of rows, and in place its gradient:
//   row_loss[first_row + r] = log Σ_c e^logits[r][c] − logits[r][target]              (0 where target < 0: ignored)
//   logits[r][c] := (softmax(logits[r])[c] − [c = target]) · loss_scale               (zeros where ignored; if GRADIENT)
//
// Shapes: logits f32 [rows, vocab]; targets i32 and row_loss f32 for all rows of the batch, of which this chunk begins at
// first_row. Targets below vocab are the caller's duty.
// Idea: a workgroup a row. Every thread keeps a running maximum and the sum of exponentials relative to it, rescaled
// when the maximum grows, so that logits are read once for the loss and once for the gradient.
//! include workgroup_reduce.wgsl
//! if GRADIENT
//! include step_state.wgsl
//! end

const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> row_loss: array<f32>;
//! if GRADIENT
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> inputs: StepInputs;
//! else
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
//! end

fn columns_of(vector: u32) -> vec4<u32> {
  return 4u * vector + vec4<u32>(0u, 1u, 2u, 3u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  if (targets[params.first_row + row] < 0) {
    if (thread == 0u) { row_loss[params.first_row + row] = 0.0; }
//! if GRADIENT
    for (var c = thread; c < params.vectors; c += THREADS) { logits[start + c] = vec4<f32>(); }
//! end
    return;
  }
  let label = u32(targets[params.first_row + row]);

  var largest = LOWEST;
  var total = 0.0;
  for (var c = thread; 4u * c < params.vocab; c += THREADS) {
    let inside = columns_of(c) < vec4<u32>(params.vocab);
    let x = select(vec4<f32>(LOWEST), logits[start + c], inside);
    let grown = max(largest, max(max(x.x, x.y), max(x.z, x.w)));
    total = total * exp(largest - grown) + dot(exp(x - grown), vec4<f32>(1.0));
    largest = grown;
  }
  let row_largest = workgroup_max(largest, thread);
  let row_total = workgroup_sum(total * exp(largest - row_largest), thread);

  // The thread that overwrites the label's logit reads it, so that no other can come before.
  if (thread == label / 4u % THREADS) {
    row_loss[params.first_row + row] = log(row_total) - (logits[start + label / 4u][label % 4u] - row_largest);
  }

//! if GRADIENT
  for (var c = thread; c < params.vectors; c += THREADS) {
    let columns = columns_of(c);
    let inside = columns < vec4<u32>(params.vocab);
    let x = select(vec4<f32>(LOWEST), logits[start + c], inside);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    let gradient = (exp(x - row_largest) / row_total - one_hot) * inputs.loss_scale;
    logits[start + c] = select(vec4<f32>(), gradient, inside);
  }
//! end
}
`,
  "dequantize_rows.wgsl": `// out[r][c] = decode(codes[r][c]) / scales[r]: FP8 back to f32; less the original (SUBTRACT), the quantisation error.
// One thread a vec4.
//! include fp8.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row; the pitch is the same on both sides
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if SUBTRACT
@group(0) @binding(4) var<storage, read> subtract: array<vec4<f32>>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 64u + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
//! if E4M3
  var value = unpack4_e4m3(codes[item]) / scales[row];
//! else
  var value = unpack4_e5m2(codes[item]) / scales[row];
//! end
//! if SUBTRACT
  value -= subtract[item];
//! end
  out[item] = value;
}
`,
  "embedding.wgsl": `// Embedding: output[t] = table[ids[t]].
//
// Shapes: ids [tokens], table [vocab, cols] in f32 or f16, output [tokens, cols] f32. Ids below vocab are the caller's duty.
// Idea: one thread four columns; neighbours read and write side by side. f16 is unpacked from u32, which needs no f16
// feature. Columns up to the pitch are copied along, as they are zero in the table.

struct Params {
  tokens: u32,
  vectors: u32, // vec4s from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
//! if F16
@group(0) @binding(2) var<storage, read> table: array<vec2<u32>>;
//! else
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
//! end
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let values = table[ids[token] * params.vectors + item % params.vectors];
//! if F16
  output[item] = vec4<f32>(unpack2x16float(values.x), unpack2x16float(values.y));
//! else
  output[item] = values;
//! end
}
`,
  "embedding_backward.wgsl": `// Gradient of the embedding table: d_table[v] += Σ_{t: ids[t] = v} d_output[t], in the order of t.
//
// Shapes: ids [tokens], d_output [tokens, cols], d_table [vocab, cols], f32. What d_table holds stays in the sum: with
// tied weights, the gradient of the lm_head.
// Idea: scattering would need float atomics and lose the order. Instead a workgroup owns THREADS vec4 columns of one
// vocabulary row and looks through all ids, THREADS at a time: every thread compares one id and sets a bit if it
// matches, then all walk the set bits. Most rows match nothing and only read the ids, which stay in the cache.

const WORDS = THREADS / 32;

struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  blocks: u32,  // workgroups a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_table: array<vec4<f32>>;

var<workgroup> matches: array<atomic<u32>, WORDS>; // bit t of the tile: token t has this row's id

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = group.y * groups.x + group.x;
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
`,
  "falqon_flush.wgsl": `// Bookkeeping of written rows. For row i = selected[p]:
//   RESIDUE   b[i][j] −= residue[p][j] / (column_factors[j] · row_factors[i])    the share that rounding realized
//   else      flushed[i] = b[i], delta[i] = 0                                    nothing of the row is pending
// One thread an element.

struct Params {
  count: u32,
  rank: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
//! if RESIDUE
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
@group(0) @binding(3) var<storage, read> residue: array<f32>;
@group(0) @binding(4) var<storage, read> row_factors: array<f32>;
@group(0) @binding(5) var<storage, read> column_factors: array<f32>;
//! else
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> flushed: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 64u + thread;
  let p = item / params.rank;
  let j = item % params.rank;
  if (p >= params.count) { return; }
  let row = selected[p];
  let at = row * params.pitch + j;
//! if RESIDUE
  b[at] -= residue[p * params.pitch + j] / (column_factors[j] * row_factors[row]);
//! else
  flushed[at] = b[at];
  delta[at] = 0.0;
//! end
}
`,
  "falqon_row.wgsl": `// How a row of the FP8 weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// src/reference/falqon_update.ts. Include-only.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to 20 significant bits: an e4m3 value has at most 4, so the product
// is exact in f32 and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.

const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal

// β of one j for four rows.
fn coefficients(b: vec4<f32>, column: f32, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * column) * rows);
  let vanishes = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
  return bitcast<vec4<f32>>(select(bits & vec4<u32>(0xfffffff0u), vec4<u32>(), vanishes));
}
`,
  "falqon_scores.wgsl": `// What is pending in each row of B, and how much: delta[i][j] = b[i][j] − flushed[i][j], score[i] = Σ_j |delta[i][j]|,
// summed in f32 in the order of j. Without FLUSHED all of b is pending. One thread a row.

struct Params {
  rows: u32,
  rank: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
//! if FLUSHED
@group(0) @binding(3) var<storage, read> flushed: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= params.rows) { return; }
  var score = 0.0;
  for (var j = 0u; j < params.rank; j++) {
    let at = row * params.pitch + j;
//! if FLUSHED
    let pending = b[at] - flushed[at];
    delta[at] = pending;
//! else
    let pending = b[at];
//! end
    score += abs(pending);
  }
  scores[row] = score;
}
`,
  "falqon_select.wgsl": `// The \`count\` rows with the largest scores, the lower index first among equals: selected[p] = the row of rank p.
//
// A row's rank is the number of rows that come before it: each thread counts those of its row over all scores, which pass
// through workgroup memory. rows² comparisons, no sort, no order of execution to depend on.

struct Params {
  rows: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;

const THREADS = 128u;

var<workgroup> others: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * THREADS + thread;
  let mine = scores[min(row, params.rows - 1u)];
  var rank = 0u;
  for (var first = 0u; first < params.rows; first += THREADS) {
    others[thread] = scores[min(first + thread, params.rows - 1u)];
    workgroupBarrier();
    let count = min(THREADS, params.rows - first);
    for (var i = 0u; i < count; i++) {
      let other = others[i];
      rank += select(0u, 1u, other > mine || (other == mine && first + i < row));
    }
    workgroupBarrier();
  }
  if (row < params.rows && rank < params.count) { selected[rank] = row; }
}
`,
  "falqon_statistics.wgsl": `// Measures what the next update will do, before it does it; nothing is changed. For row i of the weight:
// statistics[i] = (codes that will differ, values beyond ±448, ⟨U, U⟩, ⟨R, U⟩), with U the change that is asked for,
// U = c · pending · A in units of the weight, and R the change that the decoded weight will make.
//
// One workgroup a row; every row is measured, also those that are not written, since U counts all of them.
// On request only: it costs as much as an update of all rows.
//! include fp8.wgsl
//! include falqon_row.wgsl

const LANES = 64u; // threads of a workgroup; each takes vec4s of columns

struct Params {
  rows: u32,
  count: u32,      // rows that will be written
  vectors: u32,
  w_row: u32,
  base_row: u32,
  a_row: u32,
  rank: u32,
  b_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if !ALL_ROWS
@group(0) @binding(5) var<storage, read> selected: array<u32>;
//! end
//! if !IN_PLACE
@group(0) @binding(6) var<storage, read> base: array<u32>;
@group(0) @binding(7) var<storage, read> pending: array<f32>;
//! end
@group(0) @binding(8) var<storage, read_write> statistics: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, LANES>;
var<workgroup> written: u32;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
//! if ALL_ROWS
  let is_written = true;
//! else
  if (lane == 0u) {
    written = 0u;
    for (var p = 0u; p < params.count; p++) { if (selected[p] == row) { written = 1u; } }
  }
  let is_written = workgroupUniformLoad(&written) == 1u;
//! end
  var mine = vec4<f32>();
  for (var vector = lane; vector < params.vectors; vector += LANES) {
    var asked = vec4<f32>();
    var sum = vec4<f32>();
    for (var j = 0u; j < params.rank; j++) {
      let a = unpack4_e4m3_scaled(weight[(params.a_row + j) * params.vectors + vector]) * 256.0;
      let b_value = b[row * params.b_pitch + j];
      sum += coefficients(vec4<f32>(b_value), column_factors[j], vec4<f32>(row_factors[row])) * a;
//! if IN_PLACE
      asked += b_value * column_factors[j] * row_factors[row] * a;
//! else
      asked += pending[row * params.b_pitch + j] * column_factors[j] * row_factors[row] * a;
//! end
    }
    mine.z += dot(asked, asked);
    if (is_written) {
      let old = weight[(params.w_row + row) * params.vectors + vector];
//! if IN_PLACE
      let value = unpack4_e4m3_scaled(old) * 256.0 + sum;
//! else
      let value = unpack4_e4m3_scaled(base[(params.base_row + row) * params.vectors + vector]) * 256.0 + sum;
//! end
      let code = pack4_e4m3(value);
      let change = (unpack4_e4m3_scaled(code) - unpack4_e4m3_scaled(old)) * 256.0;
      for (var c = 0u; c < 4u; c++) {
        mine.x += select(0.0, 1.0, (((code ^ old) >> (8u * c)) & 0xffu) != 0u);
        mine.y += select(0.0, 1.0, abs(value[c]) > 448.0);
      }
      mine.w += dot(change, asked);
    }
  }
  partial[lane] = mine;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  if (lane == 0u) { statistics[row] = partial[0]; }
}
`,
  "falqon_update.wgsl": `// Writes rows of the FP8 weight: weight[i] = encode(base[i] + β_i · A~) in code units (falqon_row.wgsl).
//
// Shapes: weight e4m3 codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on; base codes
// [outputs, inputs], the frozen reference or (IN_PLACE) the weight itself; b f32 [outputs, rank], its columns up to the
// pitch zero; selected lists the rows to write, ALL_ROWS takes each.
// CHANGE also writes decode(new) − decode(old) of row \`selected[p]\` to change[p]: what rounding left of the update.
//
// Idea: a matrix product of short contraction (the rank) whose result is encoded where it is made. A workgroup makes
// BM rows × BN columns, a thread TM × TN of them in registers; coefficients and decoded A pass through workgroup memory
// BK of the rank at a time, the next ones fetched meanwhile. The codes to start from are fetched before all that. Beyond
// the rank the coefficients are zero, which leaves sums as they are, so the contraction is a whole number of steps.
//! include fp8.wgsl
//! include falqon_row.wgsl

struct Params {
  count: u32,      // rows to write
  vectors: u32,    // u32s in a row of codes
  w_row: u32,
  base_row: u32,
  a_row: u32,
  rank: u32,
  b_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if !ALL_ROWS
@group(0) @binding(5) var<storage, read> selected: array<u32>;
//! end
//! if !IN_PLACE
@group(0) @binding(6) var<storage, read> base: array<u32>;
//! end
//! if CHANGE
@group(0) @binding(7) var<storage, read_write> change: array<vec4<f32>>;
//! end

const THREADS = (BM / TM) * (BN / TN);
const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const A_TASKS = BK * BN / 4;    // one u32 of codes each
const BETA_TASKS = BK * BM / 4; // one j of four rows each

// [j][row / 4] and [j][column / 4]. Stores to the first walk j, and the surplus vector keeps them apart in the banks.
var<workgroup> beta: array<array<vec4<f32>, BM / 4 + 1>, BK>;
var<workgroup> a_tile: array<array<vec4<f32>, BN / 4>, BK>;

fn row_of(p: u32) -> u32 {
//! if ALL_ROWS
  return min(p, params.count - 1u);
//! else
  return selected[min(p, params.count - 1u)];
//! end
}

fn rows_of(p: u32) -> vec4<u32> {
  return vec4<u32>(row_of(p), row_of(p + 1u), row_of(p + 2u), row_of(p + 3u));
}

// Four codes of A~: row j of the rank (beyond it, any) and vector v of the columns.
fn a_codes(j: u32, v: u32) -> u32 {
  return weight[(params.a_row + min(j, params.rank - 1u)) * params.vectors + min(v, params.vectors - 1u)];
}

// Element j of four rows of b: zero beyond the rank.
fn b_values(rows: vec4<u32>, j: u32) -> vec4<f32> {
  let at = rows * params.b_pitch + min(j, params.rank - 1u);
  return select(vec4<f32>(), vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]), j < params.rank);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let p0 = group.y * BM;
  let v0 = group.x * (BN / 4u);
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // This thread's rows (counted by p) and vectors of columns, and the codes there.
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_\${i}_$c = row_of(p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u);
//! unroll n 0 TN/4
  let v_\${i}_\${c}_$n = min(v0 + tn + \${n}u * COLUMN_LANES, params.vectors - 1u);
//! if IN_PLACE
  let from_\${i}_\${c}_$n = weight[(params.w_row + row_\${i}_$c) * params.vectors + v_\${i}_\${c}_$n];
//! else
  let from_\${i}_\${c}_$n = base[(params.base_row + row_\${i}_$c) * params.vectors + v_\${i}_\${c}_$n];
//! end
  var sum_\${i}_\${c}_$n = vec4<f32>();
//! end
//! end
//! end

//! unroll t 0 BETA_LOADS
  let b_j_$t = (thread + \${t}u * THREADS) % BK;
  let b_p_$t = (thread + \${t}u * THREADS) / BK;
  let b_rows_$t = rows_of(p0 + b_p_$t * 4u);
  let factors_$t = vec4<f32>(row_factors[b_rows_$t.x], row_factors[b_rows_$t.y], row_factors[b_rows_$t.z],
                             row_factors[b_rows_$t.w]);
  var b_next_$t = b_values(b_rows_$t, b_j_$t);
  var column_next_$t = column_factors[min(b_j_$t, params.rank - 1u)];
//! end
//! unroll t 0 A_LOADS
  let a_v_$t = (thread + \${t}u * THREADS) % (BN / 4u);
  let a_j_$t = (thread + \${t}u * THREADS) / (BN / 4u);
  var a_next_$t = a_codes(a_j_$t, v0 + a_v_$t);
//! end
  for (var j0 = 0u; j0 < params.rank; j0 += BK) {
    workgroupBarrier();
//! unroll t 0 BETA_LOADS
    if (thread + \${t}u * THREADS < BETA_TASKS) {
      beta[b_j_$t][b_p_$t] = coefficients(b_next_$t, column_next_$t, factors_$t);
    }
//! end
//! unroll t 0 A_LOADS
    if (thread + \${t}u * THREADS < A_TASKS) { a_tile[a_j_$t][a_v_$t] = unpack4_e4m3_scaled(a_next_$t) * 256.0; }
//! end
    workgroupBarrier();
    let j1 = j0 + BK;
    if (j1 < params.rank) {
//! unroll t 0 BETA_LOADS
      b_next_$t = b_values(b_rows_$t, j1 + b_j_$t);
      column_next_$t = column_factors[min(j1 + b_j_$t, params.rank - 1u)];
//! end
//! unroll t 0 A_LOADS
      a_next_$t = a_codes(j1 + a_j_$t, v0 + a_v_$t);
//! end
    }
//! unroll j 0 BK
    {
//! unroll i 0 TM/4
      let beta_$i = beta[$j][tm + \${i}u * ROW_LANES];
//! end
//! unroll n 0 TN/4
      let a_$n = a_tile[$j][tn + \${n}u * COLUMN_LANES];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
      sum_\${i}_\${c}_$n = fma(vec4<f32>(beta_$i[$c]), a_$n, sum_\${i}_\${c}_$n);
//! end
//! end
//! end
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
  if (p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u < params.count && v0 + tn + \${n}u * COLUMN_LANES < params.vectors) {
    let at = (params.w_row + row_\${i}_$c) * params.vectors + v_\${i}_\${c}_$n;
    let code = pack4_e4m3(unpack4_e4m3_scaled(from_\${i}_\${c}_$n) * 256.0 + sum_\${i}_\${c}_$n);
//! if CHANGE
    let p = p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u;
    change[p * params.vectors + v_\${i}_\${c}_$n] = (unpack4_e4m3_scaled(code) - unpack4_e4m3_scaled(weight[at])) * 256.0;
//! end
    weight[at] = code;
  }
//! end
//! end
//! end
}
`,
  "fp8.wgsl": `// The FP8 codec of src/fp8/codec.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding gives the codes of the TypeScript, bit for bit, in a third of the operations: the adder rounds.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

// max_value: the largest finite value; mantissa: stored mantissa bits; bias: exponent of 1.
//
// A magnitude m in [2^e, 2^(e+1)) plus 2^(e + 23 - mantissa) is rounded by the f32 adder, to nearest even, to steps of
// 2^(e - mantissa), and what the sum's bits are above the power's is the number of those steps: mantissa and implicit
// bit of the code, a carry into the exponent included. With e no less than the smallest normal exponent this holds for
// subnormal codes too, whose implicit bit is missing by itself. The steps are counted on the bits, since a compiler may
// simplify (m + power) - power but not the difference of integers.
fn pack4_fp8(v: vec4<f32>, max_value: f32, mantissa: u32, bias: u32) -> u32 {
  let bits = bitcast<vec4<u32>>(v);
  let magnitude = min(abs(v), vec4<f32>(max_value));
  let smallest = vec4<u32>((128u - bias) << 23u);
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), smallest) + vec4<u32>((23u - mantissa) << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power;
  // Exponent field of the code, less the implicit bit: (e + bias - 1) << mantissa.
  let exponent = (power >> vec4<u32>(23u - mantissa)) - vec4<u32>((151u - mantissa - bias) << mantissa);
  let finite = (steps + exponent) | ((bits >> vec4<u32>(24u)) & vec4<u32>(0x80u));
  let codes = select(finite, vec4<u32>(0x7fu), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

fn pack4_e4m3(v: vec4<f32>) -> u32 { return pack4_fp8(v, 448.0, 3u, 7u); }
fn pack4_e5m2(v: vec4<f32>) -> u32 { return pack4_fp8(v, 57344.0, 2u, 15u); }

// Four values times 2^-8: an e4m3 code shifted into an f16 is off by the difference of the exponent biases.
// The NaN code comes out as 480 / 256: the GEMM gains nothing from a test, since a NaN in an activation
// also reaches the loss through the residual stream, which is not quantised.
fn unpack4_e4m3_scaled(codes: u32) -> vec4<f32> {
  let odd = codes >> 8u;
  let even_values = unpack2x16float(((codes & 0x00800080u) << 8u) | ((codes & 0x007f007fu) << 7u));
  let odd_values = unpack2x16float(((odd & 0x00800080u) << 8u) | ((odd & 0x007f007fu) << 7u));
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// Four values, NaN included.
fn unpack4_e4m3(codes: u32) -> vec4<f32> {
  let bytes = vec4<u32>(codes, codes >> 8u, codes >> 16u, codes >> 24u) & vec4<u32>(0x7fu);
  let nan = vec4<f32>(bitcast<f32>(0x7fc00000u | (codes & 0u)));
  return select(unpack4_e4m3_scaled(codes) * 256.0, nan, bytes == vec4<u32>(0x7fu));
}

// Four values, infinities and NaN included: e5m2 is the upper byte of an f16.
fn unpack4_e5m2(codes: u32) -> vec4<f32> {
  let even_values = unpack2x16float((codes << 8u) & 0xff00ff00u);
  let odd_values = unpack2x16float(codes & 0xff00ff00u);
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}
`,
  "gemm.wgsl": `// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then each
// thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is multiplied.
// Pitches, columns and shapes are multiples of 4 except m, n, k in the guarded direction (rows); columns between a
// matrix' width and its pitch are zero by invariant, so only row indices need guards.
//
// With SPLITS workgroups in z each takes a share of K and writes a partial product; sum_partials adds them.
//! include fp8.wgsl
//! include gemm_output.wgsl

//! if A_TYPE == f32
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
//! end
//! if A_TYPE == f16
@group(0) @binding(1) var<storage, read> a: array<vec2<u32>>;
//! end
//! if A_FP8
@group(0) @binding(1) var<storage, read> a: array<u32>;
//! end
//! if B_TYPE == f32
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
//! end
//! if B_TYPE == f16
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;
//! end
//! if B_FP8
@group(0) @binding(2) var<storage, read> b: array<u32>;
//! end
const THREADS = (BM / TM) * (BN / TN);
const A_BLOCKS = BM * BK / 16;
const B_BLOCKS = BN * BK / 16;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4 + 1>, BK>;
var<workgroup> b_tile: array<array<vec4<f32>, BN / 4 + 1>, BK>;

// Four elements starting at element \`i\` (a multiple of 4). e4m3 comes times 2^-8, undone by alpha.
fn a4(i: u32) -> vec4<f32> {
//! if A_TYPE == f32
  return a[i / 4u];
//! end
//! if A_TYPE == f16
  let v = a[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if A_TYPE == e4m3
  return unpack4_e4m3_scaled(a[i / 4u]);
//! end
//! if A_TYPE == e5m2
  return unpack4_e5m2(a[i / 4u]);
//! end
}

fn b4(i: u32) -> vec4<f32> {
//! if B_TYPE == f32
  return b[i / 4u];
//! end
//! if B_TYPE == f16
  let v = b[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if B_TYPE == e4m3
  return unpack4_e4m3_scaled(b[i / 4u]);
//! end
//! if B_TYPE == e5m2
  return unpack4_e5m2(b[i / 4u]);
//! end
}

// The 4×4 block at outer index \`row\`, contraction index \`kk\`: column c of the result is k = kk + c, over four rows.
fn a_block(row: u32, kk: u32, k_end: u32) -> mat4x4<f32> {
  var block = mat4x4<f32>();
//! unroll c 0 4
//! if A_BY_K
  if (kk + \${c}u < k_end && row < params.m) { block[$c] = a4((kk + \${c}u) * params.a_pitch + params.a_column + row); }
//! else
  if (row + \${c}u < params.m && kk < k_end) { block[$c] = a4((row + \${c}u) * params.a_pitch + params.a_column + kk); }
//! end
//! end
//! if A_BY_K
  return block;
//! else
  return transpose(block);
//! end
}

fn b_block(row: u32, kk: u32, k_end: u32) -> mat4x4<f32> {
  var block = mat4x4<f32>();
//! unroll c 0 4
//! if B_BY_K
  if (kk + \${c}u < k_end && row < params.n) { block[$c] = b4((kk + \${c}u) * params.b_pitch + params.b_column + row); }
//! else
  if (row + \${c}u < params.n && kk < k_end) { block[$c] = b4((row + \${c}u) * params.b_pitch + params.b_column + kk); }
//! end
//! end
//! if B_BY_K
  return block;
//! else
  return transpose(block);
//! end
}

// Which 4×4 block a task fetches: neighbouring threads walk the direction that is contiguous in memory.
fn a_task(task: u32) -> vec2<u32> {
//! if A_BY_K
  return vec2<u32>(task % (BM / 4u), task / (BM / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

fn b_task(task: u32) -> vec2<u32> {
//! if B_BY_K
  return vec2<u32>(task % (BN / 4u), task / (BN / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
//! if SPLIT
  // Each split takes a whole number of steps of the contraction.
  let share = (params.k + SPLITS * BK - 1u) / (SPLITS * BK) * BK;
  let k_begin = min(group.z * share, params.k);
  let k_end = min(k_begin + share, params.k);
//! else
  let k_begin = 0u;
  let k_end = params.k;
//! end
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

//! unroll p 0 A_LOADS
  let a_at_$p = a_task(thread + \${p}u * THREADS);
  var a_next_$p = mat4x4<f32>();
//! end
//! unroll p 0 B_LOADS
  let b_at_$p = b_task(thread + \${p}u * THREADS);
  var b_next_$p = mat4x4<f32>();
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_\${i}_\${c}_$j = vec4<f32>();
//! end
//! end
//! end

//! unroll p 0 A_LOADS
  if (thread + \${p}u * THREADS < A_BLOCKS) { a_next_$p = a_block(m0 + a_at_$p.x * 4u, k_begin + a_at_$p.y * 4u, k_end); }
//! end
//! unroll p 0 B_LOADS
  if (thread + \${p}u * THREADS < B_BLOCKS) { b_next_$p = b_block(n0 + b_at_$p.x * 4u, k_begin + b_at_$p.y * 4u, k_end); }
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    if (thread + \${p}u * THREADS < A_BLOCKS) {
//! unroll c 0 4
      a_tile[a_at_$p.y * 4u + \${c}u][a_at_$p.x] = a_next_$p[$c];
//! end
    }
//! end
//! unroll p 0 B_LOADS
    if (thread + \${p}u * THREADS < B_BLOCKS) {
//! unroll c 0 4
      b_tile[b_at_$p.y * 4u + \${c}u][b_at_$p.x] = b_next_$p[$c];
//! end
    }
//! end
    workgroupBarrier();
    let k1 = k0 + BK;
    if (k1 < k_end) {
//! unroll p 0 A_LOADS
      if (thread + \${p}u * THREADS < A_BLOCKS) { a_next_$p = a_block(m0 + a_at_$p.x * 4u, k1 + a_at_$p.y * 4u, k_end); }
//! end
//! unroll p 0 B_LOADS
      if (thread + \${p}u * THREADS < B_BLOCKS) { b_next_$p = b_block(n0 + b_at_$p.x * 4u, k1 + b_at_$p.y * 4u, k_end); }
//! end
    }
//! unroll kk 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][tm + \${i}u * (BM / TM)];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][tn + \${j}u * (BN / TN)];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
      sum_\${i}_\${c}_$j = fma(vec4<f32>(a_$i[$c]), b_$j, sum_\${i}_\${c}_$j);
//! end
//! end
//! end
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  store(group.z, m0 + (tm + \${i}u * (BM / TM)) * 4u + \${c}u, n0 + (tn + \${j}u * (BN / TN)) * 4u, sum_\${i}_\${c}_$j);
//! end
//! end
//! end
}
`,
  "gemm_f16.wgsl": `// Matrix product with packed half-precision arithmetic: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], both from pack.wgsl.
//
// a, b: f16 [k / 2][m or n][2], rounded up with zeros: k to BK, m to BM, n to BN.
// Idea: a pair (k, k + 1) of one operand is multiplied by a pair of the other, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. The two halves of a sum are joined when it
// is promoted to f32, every PROMOTE steps of BK: f16 sums stay short. k is a multiple of BK · PROMOTE.
// A step's values wait in workgroup memory, the next step's are fetched into registers meanwhile.
enable f16;
//! include gemm_output.wgsl
//! include gemm_tile.wgsl

alias Pairs = array<vec4<f16>, 2>; // four neighbours along m or n, each a pair along k

@group(0) @binding(1) var<storage, read> a: array<Pairs>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;

const THREADS = (BM / TM) * (BN / TN);
const STEP_PAIRS = BK / 2;

var<workgroup> a_tile: array<array<Pairs, BM / 4>, STEP_PAIRS>;
var<workgroup> b_tile: array<array<Pairs, BN / 4>, STEP_PAIRS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
//! if SPLIT
  let share = (params.k + SPLITS * BK * PROMOTE - 1u) / (SPLITS * BK * PROMOTE) * BK * PROMOTE;
  let k_begin = min(group.z * share, params.k);
  let k_end = min(k_begin + share, params.k);
//! else
  let k_begin = 0u;
  let k_end = params.k;
//! end
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  let a_pair = thread / (BM / 4u);
  let a_quad = thread % (BM / 4u);
  let b_pair = thread / (BN / 4u);
  let b_quad = thread % (BN / 4u);
  let a_row = params.a_pitch / 4u;
  let b_row = params.b_pitch / 4u;
  let a_from = a_pair * a_row + m0 / 4u + a_quad;
  let b_from = b_pair * b_row + n0 / 4u + b_quad;
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_from + (k_begin / 2u + \${p}u * (THREADS / (BM / 4u))) * a_row];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_from + (k_begin / 2u + \${p}u * (THREADS / (BN / 4u))) * b_row];
//! end

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
  var sum_\${i}\${c}_$j$h = vec2<f32>();
  var half_\${i}\${c}_$j$h = vec4<f16>();
//! end
//! end
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    a_tile[a_pair + \${p}u * (THREADS / (BM / 4u))][a_quad] = a_next_$p;
//! end
//! unroll p 0 B_LOADS
    b_tile[b_pair + \${p}u * (THREADS / (BN / 4u))][b_quad] = b_next_$p;
//! end
    workgroupBarrier();
    let next = min(k0 + BK, k_end - BK) / 2u;
//! unroll p 0 A_LOADS
    a_next_$p = a[a_from + (next + \${p}u * (THREADS / (BM / 4u))) * a_row];
//! end
//! unroll p 0 B_LOADS
    b_next_$p = b[b_from + (next + \${p}u * (THREADS / (BN / 4u))) * b_row];
//! end
//! unroll kk 0 BK/2
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][tm + \${i}u * (BM / TM)];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][tn + \${j}u * (BN / TN)];
//! end
//! unroll i 0 TM/4
//! unroll j 0 TN/4
//! unroll h 0 2
      half_\${i}0_$j$h = fma(a_$i[0].xyxy, b_$j[$h], half_\${i}0_$j$h);
      half_\${i}1_$j$h = fma(a_$i[0].zwzw, b_$j[$h], half_\${i}1_$j$h);
      half_\${i}2_$j$h = fma(a_$i[1].xyxy, b_$j[$h], half_\${i}2_$j$h);
      half_\${i}3_$j$h = fma(a_$i[1].zwzw, b_$j[$h], half_\${i}3_$j$h);
//! end
//! end
//! end
    }
//! end
//! if PROMOTE != 1
    if ((k0 - k_begin) / BK % PROMOTE == PROMOTE - 1u) {
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    {
      let wide = vec4<f32>(half_\${i}\${c}_$j$h);
      sum_\${i}\${c}_$j$h += wide.xz + wide.yw;
      half_\${i}\${c}_$j$h = vec4<f16>();
    }
//! end
//! end
//! end
//! end
//! if PROMOTE != 1
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  store(group.z, m0 + (tm + \${i}u * (BM / TM)) * 4u + \${c}u, n0 + (tn + \${j}u * (BN / TN)) * 4u,
    vec4<f32>(sum_\${i}\${c}_\${j}0, sum_\${i}\${c}_\${j}1));
//! end
//! end
//! end
}
`,
  "gemm_matrix.wgsl": `// Matrix product on tensor cores: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], f16 operands from pack.wgsl, f32 sums.
//
// a, b: f16 [k][m or n], rounded up with zeros: k to BK, m to BM, n to BN.
// Idea: a workgroup is 2 × 2 subgroups of 32, each of which keeps (BM / 2) × (BN / 2) sums in fragments of 16 × 16.
// A step of BK waits in workgroup memory, the next one is fetched into registers meanwhile. k outermost makes both the
// fetches and the stores whole vectors; fragments are loaded transposed at no cost. A pad of 8 halves a row spreads the
// rows over the banks. More than about 22 KB a workgroup would leave room for only one of them on a core.
// A fragment's elements have no known place, so sums go through workgroup memory on their way out.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! include gemm_output.wgsl
//! include gemm_tile.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const THREADS = 128u;
// Rows of the tiles in vectors of 8 halves.
const A_ROW = BM / 8u + 1u;
const B_ROW = BN / 8u + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// Rows of the outgoing sums of a subgroup in vectors of 4 floats.
const OUT_ROW = BN / 8u + 1u;

var<workgroup> tile: array<vec4<u32>, B_TILE + BK * B_ROW>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
//! if SPLIT
  let share = (params.k + SPLITS * BK - 1u) / (SPLITS * BK) * BK;
  let k_begin = min(group.z * share, params.k);
  let k_end = min(k_begin + share, params.k);
//! else
  let k_begin = 0u;
  let k_end = params.k;
//! end
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  let a_k = thread / (BM / 8u);
  let a_vector = thread % (BM / 8u);
  let b_k = thread / (BN / 8u);
  let b_vector = thread % (BN / 8u);
  let a_row = params.a_pitch / 8u;
  let b_row = params.b_pitch / 8u;
  let a_from = a_k * a_row + m0 / 8u + a_vector;
  let b_from = b_k * b_row + n0 / 8u + b_vector;
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_from + (k_begin + \${p}u * (THREADS / (BM / 8u))) * a_row];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_from + (k_begin + \${p}u * (THREADS / (BN / 8u))) * b_row];
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_\${i}_$j = Sum();
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    tile[(a_k + \${p}u * (THREADS / (BM / 8u))) * A_ROW + a_vector] = a_next_$p;
//! end
//! unroll p 0 B_LOADS
    tile[B_TILE + (b_k + \${p}u * (THREADS / (BN / 8u))) * B_ROW + b_vector] = b_next_$p;
//! end
    workgroupBarrier();
    let next = min(k0 + BK, k_end - BK);
//! unroll p 0 A_LOADS
    a_next_$p = a[a_from + (next + \${p}u * (THREADS / (BM / 8u))) * a_row];
//! end
//! unroll p 0 B_LOADS
    b_next_$p = b[b_from + (next + \${p}u * (THREADS / (BN / 8u))) * b_row];
//! end
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = subgroupMatrixLoad<Left, col_major>(&tile,
        16u * \${kk}u * A_ROW + half_m * (BM / 16u) + 2u * \${i}u, A_ROW);
//! end
//! unroll j 0 BN/32
      let b_$j = subgroupMatrixLoad<Right, row_major>(&tile,
        B_TILE + 16u * \${kk}u * B_ROW + half_n * (BN / 16u) + 2u * \${j}u, B_ROW);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
      sum_\${i}_$j = subgroupMatrixMultiplyAccumulate(a_$i, b_$j, sum_\${i}_$j);
//! end
//! end
    }
//! end
  }

  // 16 rows at a time: a subgroup's 16 × (BN / 2) sums, then its lanes write them row by row.
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
//! unroll i 0 BM/32
  workgroupBarrier();
//! unroll j 0 BN/32
  subgroupMatrixStore<row_major>(&tile, mine + 4u * \${j}u, sum_\${i}_$j, OUT_ROW);
//! end
  workgroupBarrier();
//! unroll q 0 BN/16
  {
    let item = lane + 32u * \${q}u;
    let row = item / (BN / 8u);
    let quad = item % (BN / 8u);
    store(group.z, m0 + half_m * (BM / 2u) + 16u * \${i}u + row, n0 + half_n * (BN / 2u) + 4u * quad,
      bitcast<vec4<f32>>(tile[mine + row * OUT_ROW + quad]));
  }
//! end
//! end
}
`,
  "gemm_output.wgsl": `// What every GEMM kernel is told, and how it writes a result. Include-only.
//
// A sum is divided by the scale of its row and of its column (quantised operands), plus an addend, plus the old value
// (ACCUMULATE). Output columns from tail_from on go to a second matrix (FALQON's O_A = x·Aᵀ behind O).

struct Params {
  m: u32, n: u32, k: u32,
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
  out_pitch: u32, out_column: u32,
  tail_from: u32, tail_pitch: u32,
  addend_pitch: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if TAIL
@group(0) @binding(4) var<storage, read_write> tail: array<vec4<f32>>;
//! end
//! if ROW_SCALES
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if ADDEND
@group(0) @binding(7) var<storage, read> addend: array<vec4<f32>>;
//! end

// Four sums of a row, from a column that is a multiple of 4. \`part\` counts the partial products before this one.
fn store(part: u32, row: u32, column: u32, sum: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  var value = sum * params.alpha;
//! if ROW_SCALES
  value /= row_scales[row];
//! end
//! if COLUMN_SCALES
  value /= column_scales[column / 4u];
//! end
//! if TAIL
  if (column >= params.tail_from) {
    tail[(row * params.tail_pitch + column - params.tail_from) / 4u] = value;
    return;
  }
//! end
//! if ADDEND
  value += addend[(row * params.addend_pitch + column) / 4u];
//! end
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
//! if ACCUMULATE
  value += out[at];
//! end
  out[at] = value;
}
`,
  "gemm_tile.wgsl": `// Which tile of the output a workgroup makes. Include-only.
//
// Workgroups that run at the same time should need few rows of both operands, so that these stay in the cache: tiles go
// down in bands of BAND rows of tiles, column by column, instead of along the whole width.

fn output_tile(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
  let index = group.y * groups.x + group.x;
  let band = index / (BAND * groups.x);
  let height = min(u32(BAND), groups.y - band * BAND);
  let within = index - band * BAND * groups.x;
  return vec2<u32>(within / height, band * BAND + within % height);
}
`,
  "grad_norm.wgsl": `// Second stage of the global gradient norm: adds the partial sums of squares in a fixed order and writes
//   grad_norm = sqrt(Σ partials),   clip = min(1, max_norm / (grad_norm + 1e-6))   (1 if max_norm is 0),
//   finite = 1 where the norm is a number, else 0.
// The clip factor is that of torch.nn.utils.clip_grad_norm_.
//! include workgroup_reduce.wgsl
//! include step_state.wgsl

struct Params {
  count: u32,
  max_norm: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> results: StepResults;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var i = thread; i < params.count; i += THREADS) { sum += partials[i]; }
  let norm = sqrt(workgroup_sum(sum, thread));
  if (thread != 0u) { return; }
  results.grad_norm = norm;
  results.clip = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
  // By its bits: compilers may assume that comparisons never meet NaN.
  results.finite = select(1u, 0u, (bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u);
}
`,
  "grad_norm_partial.wgsl": `// First stage of the global gradient norm: partials[k] = Σ gradients[i]² over the share of workgroup k.
//
// Shapes: gradients f32 [count], read as vec4s (what fills the last one is zero), partials [workgroups].
// Idea: the number of workgroups depends on count alone, so sums repeat; each walks the whole vector in strides, so that
// neighbouring workgroups read neighbouring memory.
//! include workgroup_reduce.wgsl

struct Params {
  vectors: u32, // vec4s in gradients
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var i = group.x * THREADS + thread; i < params.vectors; i += groups.x * THREADS) {
    let g = gradients[i];
    sum += dot(g, g);
  }
  let total = workgroup_sum(sum, thread);
  if (thread == 0u) { partials[group.x] = total; }
}
`,
  "metrics.wgsl": `// Writes what this step did into its slot of a ring, which the host reads once in many steps.
//! include step_state.wgsl

struct Entry {
  step: u32,
  target_count: u32,
  finite: u32,
  loss_sum: f32,
  grad_norm: f32,
  clip: f32,
  learning_rate: f32,
}

struct Params {
  capacity: u32, // entries in the ring
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: StepInputs;
@group(0) @binding(2) var<storage, read> results: StepResults;
@group(0) @binding(3) var<storage, read_write> ring: array<Entry>;

@compute @workgroup_size(1)
fn main() {
  ring[(inputs.step - 1u) % params.capacity] = Entry(
    inputs.step,
    inputs.target_count,
    results.finite,
    results.loss_sum,
    results.grad_norm,
    results.clip,
    inputs.learning_rate,
  );
}
`,
  "pack.wgsl": `// Packs an operand of a matrix product for the half-precision kernels: any narrow type → f16, contraction outermost.
//
// in:  TYPE e4m3, e5m2 or f16, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: f16, PAIRS: [k / 2][x][2], neighbours along k side by side, for packed arithmetic (gemm_f16.wgsl);
//           else   [k][x], for matrix fragments (gemm_matrix.wgsl).
// x and k are rounded up to whole tiles and k is filled with zeros, so that the product needs no bounds.
//
// An e4m3 code shifted into an f16 is worth value · 2^-8, an e5m2 code its value; FACTOR multiplies either.
// Every thread turns vectors into words of two f16 along k. Where the storage must be transposed, 64 x by 64 k of them
// wait in workgroup memory, so that reads and writes both are vectors along what is contiguous.
enable f16;

struct Params {
  x: u32,
  k: u32,          // rows (BY_K) or columns that hold values; columns up to a multiple of 16 are zero
  in_pitch: u32,   // elements
  in_column: u32,
  out_x: u32,      // x rounded up: elements in a row of the output
  out_k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<u32>>;

fn scaled(halves: u32) -> u32 {
//! if FACTOR == 1
  return halves;
//! else
  return pack2x16float(unpack2x16float(halves) * f32(FACTOR));
//! end
}

// FP8 codes in bytes 0 and 2 as two f16.
fn widen2(bytes: u32) -> u32 {
//! if TYPE == e4m3
  return scaled(((bytes & 0x00800080u) << 8u) | ((bytes & 0x007f007fu) << 7u));
//! else
  return scaled((bytes & 0x00ff00ffu) << 8u);
//! end
}

// Four FP8 codes as four f16 in two words, in order.
fn widen4(word: u32) -> vec2<u32> {
  return vec2<u32>(
    widen2((word & 0xffu) | ((word & 0xff00u) << 8u)),
    widen2(((word >> 16u) & 0xffu) | ((word >> 8u) & 0xff0000u)),
  );
}

// The lower and the upper halves of two vectors of f16, side by side.
fn lower_halves(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
  return (a & vec4<u32>(0xffffu)) | (b << vec4<u32>(16u));
}
fn upper_halves(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
  return (a >> vec4<u32>(16u)) | (b & vec4<u32>(0xffff0000u));
}

// Vector i of the input, or zeros.
fn fetch(inside: bool, i: u32) -> vec4<u32> {
  return select(vec4<u32>(), codes[select(0u, i, inside)], inside);
}

//! if BY_K
const ROW_VECTORS = 128u / PER_VECTOR; // vectors of a row that a workgroup reads

// One vector of two neighbouring rows.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pair = group.y * (256u / ROW_VECTORS) + thread / ROW_VECTORS;
  let x = group.x * 128u + (thread % ROW_VECTORS) * PER_VECTOR;
  if (2u * pair >= params.out_k) { return; }
  let row = params.in_pitch / PER_VECTOR;
  let at = 2u * pair * row + (params.in_column + x) / PER_VECTOR;
  let fits = x < ((params.x + 15u) & ~15u);
  let even = fetch(fits && 2u * pair < params.k, at);
  let odd = fetch(fits && 2u * pair + 1u < params.k, at + row);
//! if PER_VECTOR == 16
//! unroll h 0 2
  let even_$h = vec4<u32>(widen4(even[2 * $h]), widen4(even[2 * $h + 1]));
  let odd_$h = vec4<u32>(widen4(odd[2 * $h]), widen4(odd[2 * $h + 1]));
//! end
//! else
  let even_0 = even;
  let odd_0 = odd;
//! end
//! unroll h 0 PER_VECTOR/8
//! if PAIRS
  {
    let low = lower_halves(even_$h, odd_$h);
    let high = upper_halves(even_$h, odd_$h);
    let to = (pair * params.out_x + x) / 4u + 2u * \${h}u;
    packed[to] = vec4<u32>(low.x, high.x, low.y, high.y);
    packed[to + 1u] = vec4<u32>(low.z, high.z, low.w, high.w);
  }
//! else
  {
    let to = (2u * pair * params.out_x + x) / 8u + \${h}u;
    packed[to] = even_$h;
    packed[to + params.out_x / 8u] = odd_$h;
  }
//! end
//! end
}
//! else
const ROW_VECTORS = 64u / PER_VECTOR;

// [k / 2][x], with one more so that walking down a column meets all banks.
var<workgroup> tile: array<array<u32, 65>, 32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * 64u;
  let k0 = group.y * 64u;
//! unroll p 0 16/PER_VECTOR
  {
    let task = thread + \${p}u * 256u;
    let x = task / ROW_VECTORS;
    let k = (task % ROW_VECTORS) * PER_VECTOR;
    let inside = x0 + x < params.x && k0 + k < params.k;
    let v = fetch(inside, ((x0 + x) * params.in_pitch + params.in_column + k0 + k) / PER_VECTOR);
//! unroll c 0 4
//! if PER_VECTOR == 16
    {
      let words = widen4(v[$c]);
      tile[k / 2u + 2u * \${c}u][x] = words.x;
      tile[k / 2u + 2u * \${c}u + 1u][x] = words.y;
    }
//! else
    tile[k / 2u + \${c}u][x] = v[$c];
//! end
//! end
  }
//! end
  workgroupBarrier();
//! if PAIRS
//! unroll p 0 2
  {
    let pair = thread / 16u + \${p}u * 16u;
    let x = thread % 16u * 4u;
    packed[((k0 / 2u + pair) * params.out_x + x0 + x) / 4u] =
      vec4<u32>(tile[pair][x], tile[pair][x + 1u], tile[pair][x + 2u], tile[pair][x + 3u]);
  }
//! end
//! else
  let pair = thread / 8u;
  let x = thread % 8u * 8u;
  let even = vec4<u32>(tile[pair][x], tile[pair][x + 2u], tile[pair][x + 4u], tile[pair][x + 6u]);
  let odd = vec4<u32>(tile[pair][x + 1u], tile[pair][x + 3u], tile[pair][x + 5u], tile[pair][x + 7u]);
  let to = ((k0 + 2u * pair) * params.out_x + x0 + x) / 8u;
  packed[to] = lower_halves(even, odd);
  packed[to + params.out_x / 8u] = upper_halves(even, odd);
//! end
}
//! end
`,
  "quantize_rows.wgsl": `// FP8 quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] = max / amax(row r).
//
// One workgroup a row, two passes over it; the second finds the row in cache. A lane holds vec4s, so every load is
// 16 bytes and every store one u32 of four codes. With GIVEN_SCALES the scales are inputs and one pass is enough.
//! include fp8.wgsl
//! include row_values.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  tail_vectors: u32,
  codes_pitch: u32, // u32s in a row of codes
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
//! if GIVEN_SCALES
@group(0) @binding(3) var<storage, read> scales: array<f32>;
//! else
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
//! if GIVEN_SCALES
  let scale = scales[row];
//! else
  let scale = scale_of(row_amax(row, thread));
  if (thread == 0u) { scales[row] = scale; }
//! end
  for (var v = thread; v < params.vectors + params.tail_vectors; v += THREADS) {
//! if E4M3
    codes[row * params.codes_pitch + v] = pack4_e4m3(row_value(row, v) * scale);
//! else
    codes[row * params.codes_pitch + v] = pack4_e5m2(row_value(row, v) * scale);
//! end
  }
}
`,
  "random_normal.wgsl": `// Random numbers, close to normal: out[r][c] = mean + deviation · z(r · cols + c).
//
// Shapes: out [rows, cols] in f32 or f16, by rows with a pitch; the columns beyond cols become zero.
// Idea: counter-based, so that an element depends on nothing but its index and the key, whatever the grid. z is the sum
// of eight uniform 16-bit integers, centred and scaled to variance 1 (kurtosis 2.85 instead of 3, none beyond 4.9):
// integer arithmetic, so that every GPU and the twin src/reference/random.ts give the same bits.

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // groups of four columns from one row to the next
  key_low: u32,
  key_high: u32,
  mean: f32,
  step: f32, // deviation / standard deviation of the integer sum
}

@group(0) @binding(0) var<uniform> params: Params;
//! if F16
@group(0) @binding(1) var<storage, read_write> out: array<vec2<u32>>;
//! else
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
//! end

// As mix32 in src/data/random.ts.
fn mix(word: u32) -> u32 {
  var z = word;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}

// The two uniform 16-bit integers in a word, added.
fn halves(word: u32) -> u32 {
  return (word & 0xffffu) + (word >> 16u);
}

fn element(row: u32, col: u32) -> f32 {
  if (col >= params.cols) { return 0.0; }
  let start = mix(row * params.cols + col + params.key_low) + params.key_high;
  let sum = halves(mix(start)) + halves(mix(start + 0x9e3779b9u)) + halves(mix(start + 0x3c6ef372u)) +
    halves(mix(start + 0xdaa66d2bu));
  return params.mean + params.step * f32(i32(sum) - 262140);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let col = 4u * (item % params.vectors);
  let values = vec4<f32>(
    element(row, col),
    element(row, col + 1u),
    element(row, col + 2u),
    element(row, col + 3u),
  );
//! if F16
  out[item] = vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
//! else
  out[item] = values;
//! end
}
`,
  "rms_norm.wgsl": `// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass.
// Idea: a workgroup takes a row and walks it twice, for the mean square and for the output; the second walk is served
// by the cache. Columns up to the pitch take part: they are zero in the input, so they add nothing and stay zero.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;

  var squares = 0.0;
  for (var c = thread; c < params.vectors; c += THREADS) {
    let x = input[start + c];
    squares += dot(x, x);
  }
  let mean_square = workgroup_sum(squares, thread) / f32(params.cols);
  let row_rstd = 1.0 / sqrt(mean_square + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }

  // The weight ends before the pitch: past it there is nothing to read, and zero is due.
  let weights = (params.cols + 3u) / 4u;
  for (var c = thread; c < params.vectors; c += THREADS) {
    var y = vec4<f32>();
    if (c < weights) { y = input[start + c] * row_rstd * weight[c]; }
    output[start + c] = y;
  }
}
`,
  "rms_norm_backward.wgsl": `// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight:
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With params.accumulate the result
// is added to d_input: the gradient of the residual stream that runs past the norm.
// Idea: as in rms_norm.wgsl, a workgroup walks its row twice.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let weights = (params.cols + 3u) / 4u;

  var partial = 0.0;
  for (var c = thread; c < weights; c += THREADS) {
    partial += dot(d_output[start + c] * weight[c], input[start + c]);
  }
  let mean = workgroup_sum(partial, thread) / f32(params.cols);
  let row_rstd = rstd[row];
  let pull = row_rstd * row_rstd * row_rstd * mean;

  for (var c = thread; c < params.vectors; c += THREADS) {
    var dx = vec4<f32>();
    if (c < weights) {
      dx = row_rstd * d_output[start + c] * weight[c] - pull * input[start + c];
      if (params.accumulate != 0u) { dx += d_input[start + c]; }
    }
    d_input[start + c] = dx;
  }
}
`,
  "rms_norm_weight_gradient.wgsl": `// Partial sums of the gradient of RMSNorm's weight: one row of \`partials\` a chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_output[r][c] · input[r][c] · rstd[r]
//
// Shapes: d_output, input [rows, cols], rstd [rows], partials [chunks, cols], all f32. sum_partials.wgsl adds the chunks.
// Idea: one thread a vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough threads.

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  chunk_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  if (column >= params.vectors) { return; }
  let first = group.y * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
    let at = row * params.vectors + column;
    sum += d_output[at] * input[at] * rstd[row];
  }
  partials[group.y * params.vectors + column] = sum;
}
`,
  "rope.wgsl": `// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a plane
// that is turned by the angle  position · inverseFrequency[i]  (backwards for the gradient: direction −1).
//
// Shapes: matrix f32 [tokens, ·], of which \`heads\` heads of 2 · half columns are turned: the query heads from column 0 on,
// the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2]. One thread turns one
// plane of one head.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any sine
// is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in turns a
// position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied by a position
// below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the exact fraction of a
// turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn either way, goes into
// Taylor polynomials that are exact to f32 there.

const THREADS = 128u;
const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

struct Params {
  tokens: u32,
  heads: u32, // query and key heads together
  query_heads: u32,
  key_column: u32,
  half: u32,
  pitch: u32,
  direction: f32, // 1 or -1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> matrix: array<f32>;

// (cos, sin) of a fraction of a turn.
fn turn(phase: u32) -> vec2<f32> {
  let quadrant = (phase + 0x20000000u) >> 30u;
  let x = f32(bitcast<i32>(phase - (quadrant << 30u))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let swapped = select(vec2<f32>(cosine, sine), vec2<f32>(-sine, cosine), (quadrant & 1u) == 1u);
  return select(swapped, -swapped, quadrant >= 2u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let plane = item % params.half;
  let head = item / params.half % params.heads;
  let token = item / params.half / params.heads;
  if (token >= params.tokens) { return; }

  let position = positions[token];
  let frequency = frequencies[plane];
  let rotation = turn(position * frequency.x + ((position * frequency.y) >> 12u));
  let cosine = rotation.x;
  let sine = rotation.y * params.direction;

  let column = select(params.key_column + (head - params.query_heads) * 2u * params.half, head * 2u * params.half,
                      head < params.query_heads);
  let at = token * params.pitch + column + plane;
  let a = matrix[at];
  let b = matrix[at + params.half];
  matrix[at] = a * cosine - b * sine;
  matrix[at + params.half] = b * cosine + a * sine;
}
`,
  "row_values.wgsl": `// The rows that are quantised: x, optionally divided by a scale a column, optionally followed by a second matrix.
// Include-only. The including file's Params must have \`vectors\` (vec4s in a row of x: its pitch / 4) and \`tail_vectors\`.
//   COLUMN_SCALES   x[r][c] is divided by column_scales[c]: the contraction of a following GEMM runs over columns whose
//                   other operand carries one scale a row, which must be folded in before rounding
//   TAIL            the row goes on with the columns of a second matrix (FALQON's pending term)

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if TAIL
@group(0) @binding(5) var<storage, read> tail: array<vec4<f32>>;
//! end

const SMALLEST_AMAX = 0x1p-100; // below counts as zero: the scale would leave f32's range

var<workgroup> partial_amax: array<f32, THREADS>;

fn row_value(row: u32, v: u32) -> vec4<f32> {
//! if TAIL
  var q: vec4<f32>;
  if (v < params.vectors) { q = x[row * params.vectors + v]; }
  else { q = tail[row * params.tail_vectors + v - params.vectors]; }
//! else
  var q = x[row * params.vectors + v];
//! end
//! if COLUMN_SCALES
  q /= column_scales[v];
//! end
  return q;
}

// The largest of all threads' values, to all of them.
fn workgroup_largest(thread: u32, mine: f32) -> f32 {
  partial_amax[thread] = mine;
  workgroupBarrier();
  for (var width = u32(THREADS) / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial_amax[thread] = max(partial_amax[thread], partial_amax[thread + width]); }
    workgroupBarrier();
  }
  return partial_amax[0];
}

fn row_amax(row: u32, thread: u32) -> f32 {
  var amax = 0.0;
  for (var v = thread; v < params.vectors + params.tail_vectors; v += THREADS) {
    let q = abs(row_value(row, v));
    amax = max(amax, max(max(q.x, q.y), max(q.z, q.w)));
  }
  return workgroup_largest(thread, amax);
}

fn scale_of(amax: f32) -> f32 {
  return select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
}
`,
  "silu.wgsl": `// sigmoid(g) = 1 / (1 + e^−g), the gate of silu(g) = g · sigmoid(g).

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}
`,
  "step_state.wgsl": `// What the host sets before an optimizer step, and what the step's kernels find out. The layout of src/optim/state.ts.

struct StepInputs {
  step: u32,          // counted from 1
  target_count: u32,  // of the whole step, all micro-batches together
  loss_scale: f32,    // 1 / target_count: makes the sum of losses their mean
  learning_rate: f32,
  step_size: f32,     // learning_rate / (1 − beta1^step)
  second_scale: f32,  // 1 / sqrt(1 − beta2^step)
}

struct StepResults {
  loss_sum: f32,
  grad_norm: f32, // before clipping
  clip: f32,      // factor that brings the gradient to the allowed norm
  finite: u32,    // 0 where the norm is NaN or infinite: such a step must change nothing
}
`,
  "sum.wgsl": `// out[index] += Σ values[0 … count), by a single workgroup, so that the order is fixed.
// For sums as long as a batch has tokens, not for whole models.
//! include workgroup_reduce.wgsl

struct Params {
  count: u32,
  index: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var partial = 0.0;
  for (var i = thread; i < params.count; i += THREADS) { partial += values[i]; }
  let total = workgroup_sum(partial, thread);
  if (thread == 0u) { out[params.index] += total; }
}
`,
  "sum_partials.wgsl": `// out[r][c] (+)= Σ_s partials[s][r][c]: joins the partial products of a GEMM that was split along K.
// The shares are added in order, so the result does not depend on scheduling. One thread a vec4.

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row
  pitch: u32,
  out_pitch: u32,
  out_column: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 64u + thread;
  let row = item / params.vectors;
  let column = item % params.vectors;
  if (row >= params.rows) { return; }
  let at = (row * params.out_pitch + params.out_column) / 4u + column;
  var sum = vec4<f32>();
//! if ACCUMULATE
  sum = out[at];
//! end
  for (var s = 0u; s < params.splits; s++) {
    sum += partials[(s * params.rows + row) * (params.pitch / 4u) + column];
  }
  out[at] = sum;
}
`,
  "swiglu.wgsl": `// SwiGLU: output[t][c] = silu(gate[t][c]) · up[t][c], with silu(g) = g / (1 + e^−g).
//
// Shapes: gate_up [rows, 2·pitch] with the gate in columns 0 … width and the up projection in pitch … pitch + width, where
// pitch is the output's (the merged linear starts each part at a multiple of 16); output [rows, width], both f32.
// Idea: one thread a vec4 of the output, up to the pitch: zeros between give zeros.
//! include silu.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  let gate = gate_up[at];
  output[item] = gate * sigmoid(gate) * gate_up[at + params.vectors];
}
`,
  "swiglu_backward.wgsl": `// Gradient of SwiGLU. With s = sigmoid(gate):
//   d_gate = d_output · up · s · (1 + gate · (1 − s)),   d_up = d_output · gate · s
//
// Shapes: gate_up, d_gate_up [rows, 2·pitch] and d_output [rows, width] as in swiglu.wgsl, all f32. s is computed again
// rather than kept. Idea: one thread a vec4 of gate and up together.
//! include silu.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  let dy = d_output[item];
  let gate = gate_up[at];
  let s = sigmoid(gate);
  d_gate_up[at] = dy * gate_up[at + params.vectors] * s * (1.0 + gate * (1.0 - s));
  d_gate_up[at + params.vectors] = dy * gate * s;
}
`,
  "tensor_amax.wgsl": `// The largest magnitude of each row, the first half of finding one scale for a whole matrix. One workgroup a row.
//! include row_values.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  tail_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> amax: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let largest = row_amax(row, thread);
  if (thread == 0u) { amax[row] = largest; }
}
`,
  "tensor_scale.wgsl": `// Replaces the largest magnitudes of the rows by the one scale of the whole matrix, max / (the largest of them), written
// once a row: everything behind sees row scales. One workgroup.

struct Params {
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;

const THREADS = 256u;
const SMALLEST_AMAX = 0x1p-100; // as in row_values.wgsl

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = 0.0;
  for (var i = thread; i < params.rows; i += THREADS) { mine = max(mine, scales[i]); }
  partial[thread] = mine;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  let scale = select($MAX / partial[0], 1.0, partial[0] < SMALLEST_AMAX);
  for (var i = thread; i < params.rows; i += THREADS) { scales[i] = scale; }
}
`,
  "workgroup_reduce.wgsl": `// Reductions over the THREADS invocations of a workgroup (a power of two). The tree has a fixed shape, so results
// repeat bit for bit. Every invocation gets the result.

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] += reduce_scratch[thread + stride]; }
  }
  workgroupBarrier();
  let total = reduce_scratch[0];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] = max(reduce_scratch[thread], reduce_scratch[thread + stride]); }
  }
  workgroupBarrier();
  let largest = reduce_scratch[0];
  workgroupBarrier();
  return largest;
}
`,
};
