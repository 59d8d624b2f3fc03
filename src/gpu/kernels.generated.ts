// Generated from wgsl/ by `deno task bundle`. Do not edit.
// deno-fmt-ignore-file

/** The kernels: files of wgsl/ that have an entry point. */
export type KernelName =
  | "adamw"
  | "add"
  | "attention_backward_delta"
  | "attention_backward_keys_values"
  | "attention_backward_queries"
  | "attention_decode"
  | "attention_forward"
  | "attention_gradient_scale"
  | "attention_half_forward"
  | "attention_half_gradient"
  | "attention_half_keys_values"
  | "attention_half_queries"
  | "attention_tensor_forward"
  | "attention_tensor_keys_values"
  | "attention_tensor_queries"
  | "cache_append"
  | "column_sums"
  | "columns"
  | "copy_codes"
  | "count"
  | "cross_entropy"
  | "delta_conv"
  | "delta_conv_backward"
  | "delta_conv_history"
  | "delta_conv_slope"
  | "delta_conv_weight_gradient"
  | "delta_gate_gradients"
  | "delta_gates"
  | "delta_gates_backward"
  | "delta_key_gradients"
  | "delta_norm"
  | "delta_norm_backward"
  | "delta_scan"
  | "delta_scan_backward"
  | "dequantize_rows"
  | "dropout"
  | "embedding"
  | "embedding_backward"
  | "falqon_codes_of_b"
  | "falqon_flush"
  | "falqon_product"
  | "falqon_scores"
  | "falqon_select"
  | "falqon_statistics"
  | "falqon_update"
  | "falqon_update_tensor"
  | "gated_norm"
  | "gated_norm_backward"
  | "gated_norm_weight_gradient"
  | "gemm"
  | "gemm_f16"
  | "gemm_int8"
  | "gemm_int8_rows"
  | "gemm_int8_tensor"
  | "gemm_tensor"
  | "grad_norm"
  | "grad_norm_partial"
  | "gradient_scale"
  | "low_rank_gradient"
  | "low_rank_gradient_tensor"
  | "metrics"
  | "nf4_absmax"
  | "nf4_dequantize"
  | "nf4_quantize"
  | "nf4_quantize_absmax"
  | "output_gate"
  | "output_gate_backward"
  | "pack"
  | "pack_codes"
  | "qk_norm"
  | "qk_norm_backward"
  | "qk_norm_weight_gradient"
  | "quantize_rows"
  | "random"
  | "rms_norm"
  | "rms_norm_backward"
  | "rms_norm_weight_gradient"
  | "rope"
  | "rotate"
  | "row_norm_factors"
  | "scale"
  | "scale_columns"
  | "soft_cap"
  | "sum"
  | "sum_partials"
  | "swiglu"
  | "swiglu_backward"
  | "swiglu_backward_quantized"
  | "swiglu_quantized"
  | "tensor_amax"
  | "tensor_scale"
  | "transpose_int8"
  | "widen";

/** Texts of kernels, and of what they include, by file name. */
export const kernelSources: Readonly<Record<string, string>> = {
  "adamw.wgsl": `// AdamW with bias correction and decoupled weight decay, as torch.optim.AdamW. With g = gradient · clip:
//   first  := beta1 · first + (1 − beta1) · g
//   second := beta2 · second + (1 − beta2) · g²
//   value  := value · (1 − learning_rate · weight_decay) − step_size · first / (sqrt(second) · second_scale + eps)
//
// CHANGES writes over the gradient what is added to the value.
//
// Shapes: values, gradients, first, second f32 [count], updated as whole vec4s; elements below decay_end decay.
// A step whose gradient is not finite changes nothing: CHANGES are zero.
// Idea: one thread per vec4; bound by memory. 1 − beta comes from the host, as in f32 it would lose four digits.
//! include linear_grid.wgsl
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
//! if CHANGES
@group(0) @binding(3) var<storage, read_write> gradients: array<vec4<f32>>;
//! else
@group(0) @binding(3) var<storage, read> gradients: array<vec4<f32>>;
//! end
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> second: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let i = linear_index(group, groups) * THREADS + thread;
  if (i >= params.vectors) { return; }
  if (results.finite == 0u) {
//! if CHANGES
    gradients[i] = vec4<f32>();
//! end
    return;
  }
  let g = gradients[i] * results.clip;
  let m = params.beta1 * first[i] + params.one_minus_beta1 * g;
  let v = params.beta2 * second[i] + params.one_minus_beta2 * g * g;
  first[i] = m;
  second[i] = v;
  let change = -inputs.step_size * m / (sqrt(v) * inputs.second_scale + params.eps);
  let decays = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.decay_end);
  let kept = select(vec4<f32>(1.0), vec4<f32>(1.0 - inputs.learning_rate * params.weight_decay), decays);
  let value = values[i];
  let updated = value * kept + change;
  values[i] = updated;
//! if CHANGES
  gradients[i] = updated - value; // what rounding left of it
//! end
}
`,
  "add.wgsl": `// Sum of two matrices: output += input.
//
// Shapes: input, output f32 [rows, cols], by rows with a pitch. Idea: one thread per vec4, up to the pitch.
//! include linear_grid.wgsl

struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = linear_index(group, groups) * THREADS + thread;
  if (at < params.vectors) { output[at] += input[at]; }
}
`,
  "attention_backward.wgsl": `// What the two tiled kernels of the attention backward share: operands, and how they write a row of a gradient.
// With ROTATED, q and k came out of rope.wgsl, and their gradients are rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=2 BACKWARD=true

// A row's results: DIM_VECTORS quads of dims, COLUMN_THREADS apart.
alias Dims = array<vec4<f32>, DIM_VECTORS>;

//! if ROTATED
// A dim of the row that row group y has in \`right\`.
fn exchanged(y: u32, dim: u32) -> f32 {
  let quad = dim / 4u;
  //! if DIM_GROUPS == 1
  return right[y / UNROLL][y % UNROLL][quad][dim % 4u];
  //! elif DIM_GROUPS == 4
  let slice = y % 4u + quad / RIGHT_SLOTS * 4u;
  return right[slice / UNROLL][slice % UNROLL][quad % RIGHT_SLOTS][dim % 4u];
  //! else
  let slice = y + quad / RIGHT_SLOTS * ROW_GROUPS;
  return right[slice / UNROLL][slice % UNROLL][quad % RIGHT_SLOTS][dim % 4u];
  //! end
}

// Rotates a row of the gradient of q or k back by the position of its token. Both dims of a plane meet in \`right\`, where
// each of the ROW_GROUPS has a place for one row: as many of the DEPTH slices as there are DIM_GROUPS. For the 4 of the
// widest heads, half of the groups take turns. To be called by the whole workgroup.
fn rotated_back(dims: Dims, token: u32, thread: u32) -> Dims {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  //! if DIM_GROUPS == 4
  var rotated: Dims;
  for (var turn = 0u; turn < 2u; turn += 1u) {
  let mine = y / 4u == turn;
  workgroupBarrier();
  if (mine) {
  //! unroll g 0 DIM_GROUPS
  //! unroll j 0 GROUP_VECTORS
  right[(y % 4u + \${g}u * 4u) / UNROLL][(y % 4u + \${g}u * 4u) % UNROLL][x + \${j}u * COLUMN_THREADS] =
    dims[$g * GROUP_VECTORS + $j];
  //! end
  //! end
  }
  workgroupBarrier();
  if (mine) {
  //! else
  workgroupBarrier();
  //! unroll g 0 DIM_GROUPS
  //! unroll j 0 GROUP_VECTORS
  right[(y + \${g}u * ROW_GROUPS) / UNROLL][(y + \${g}u * ROW_GROUPS) % UNROLL][x + \${j}u * COLUMN_THREADS] =
    dims[$g * GROUP_VECTORS + $j];
  //! end
  //! end
  workgroupBarrier();
  var rotated: Dims;
  //! end
  let half = params.head_pairs;
  let position = positions[token];
  //! unroll j 0 DIM_VECTORS
  {
    // Dims past the head mean nothing: they take the last plane.
    let dim = min(4u * (x + \${j}u * COLUMN_THREADS) + LANES, vec4<u32>(2u * half - 1u));
    let first = dim < vec4<u32>(half);
    let other = select(dim - half, dim + half, first);
    let others = vec4<f32>(exchanged(y, other.x), exchanged(y, other.y), exchanged(y, other.z), exchanged(y, other.w));
    let angle = rotation(position, min(dim, other));
    rotated[$j] = dims[$j] * angle.cosine + others * select(-angle.sine, angle.sine, first);
    //! if QUERY_BETA
    rotated[$j] *= query_scale(position);
    //! end
  }
  //! end
  //! if DIM_GROUPS == 4
  }
  }
  //! end
  return rotated;
}
//! end

// Writes four dims of a head whose first column is given.
fn store_gradient(token: u32, column: u32, quad: u32, value: vec4<f32>) {
  let at = token * params.d_qkv_pitch + column + 2u * quad;
  if (2u * quad < params.head_pairs) { d_qkv[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { d_qkv[at + 1u] = value.zw; }
}
`,
  "attention_backward_delta.wgsl": `// First step of the attention backward: delta[t, h] = Σ_dim d_output[t, h, dim] · output[t, h, dim].
//
// With P the probabilities and dP = dO·Vᵀ, the softmax passes dS = P ∘ (dP − rowsum(P ∘ dP)) back, and that row sum
// equals rowsum(dO ∘ O): one number per query and head that needs no keys.
//
// Shapes: output, f32 or f16 (OUTPUT), and d_output [tokens, heads · head size], delta [tokens, heads], both f32.
// Idea: LANES neighbours read one head together, each LOADS vectors of it (4 elements with VEC4, else 2) at once;
// their partial sums are added in a fixed order. One item is an element of delta, columns up to the pitch included,
// which become zero. Memory-bound: every element is read once. With MAXIMA a workgroup also writes the largest
// magnitude of the elements of d_output that it read.
//! include linear_grid.wgsl

const THREADS = 128u;
const LANES = 8u;
const ITEMS = THREADS / LANES;

//! if VEC4
alias Values = vec4<f32>;
//! else
alias Values = vec2<f32>;
//! end

struct Params {
  tokens: u32, heads: u32, head_vectors: u32,
  output_pitch: u32, d_output_pitch: u32, // in vectors
  statistics_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUTPUT == f32
@group(0) @binding(1) var<storage, read> output: array<Values>;

fn output_at(at: u32) -> Values { return output[at]; }
//! elif VEC4
@group(0) @binding(1) var<storage, read> output: array<vec2<u32>>;

fn output_at(at: u32) -> Values { return vec4<f32>(unpack2x16float(output[at].x), unpack2x16float(output[at].y)); }
//! else
@group(0) @binding(1) var<storage, read> output: array<u32>;

fn output_at(at: u32) -> Values { return unpack2x16float(output[at]); }
//! end
@group(0) @binding(2) var<storage, read> d_output: array<Values>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

var<workgroup> partial: array<array<f32, LANES>, ITEMS>;
//! if MAXIMA
@group(0) @binding(4) var<storage, read_write> maxima: array<f32>; // by workgroup
var<workgroup> partial_maxima: array<f32, THREADS>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let first_item = linear_index(group, groups) * ITEMS;
  let item = first_item + thread / LANES;
  let token = item / params.statistics_pitch;
  let head = item % params.statistics_pitch;
  var sum = 0.0;
//! if MAXIMA
  var magnitude = Values();
//! end
  if (token < params.tokens && head < params.heads) {
    let output_start = token * params.output_pitch + head * params.head_vectors;
    let d_output_start = token * params.d_output_pitch + head * params.head_vectors;
//! unroll n 0 LOADS
    let vector_$n = thread % LANES + \${n}u * LANES;
    let known_$n = min(vector_$n, params.head_vectors - 1u);
    let value_$n = output_at(output_start + known_$n);
    let gradient_$n = select(Values(), d_output[d_output_start + known_$n], vector_$n < params.head_vectors);
//! end
//! unroll n 0 LOADS
    sum += dot(value_$n, gradient_$n);
//! if MAXIMA
    magnitude = max(magnitude, abs(gradient_$n));
//! end
//! end
  }
  partial[thread / LANES][thread % LANES] = sum;
//! if MAXIMA
//! if VEC4
  partial_maxima[thread] = max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
//! else
  partial_maxima[thread] = max(magnitude.x, magnitude.y);
//! end
//! end
  workgroupBarrier();
  if (thread < ITEMS && first_item + thread < params.tokens * params.statistics_pitch) {
    var total = 0.0;
    //! unroll i 0 8
    total += partial[thread][$i];
    //! end
    delta[first_item + thread] = total;
  }
//! if MAXIMA
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    if (thread < step) { partial_maxima[thread] = max(partial_maxima[thread], partial_maxima[thread + step]); }
    workgroupBarrier();
  }
  if (thread == 0u) { maxima[linear_index(group, groups)] = partial_maxima[0]; }
//! end
}
`,
  "attention_backward_keys_values.wgsl": `// Attention backward, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over the query heads that
// share a key head. P and dS as in attention_backward_queries.wgsl, made transposed: rows are keys, columns queries.
//
// Shapes: as there; dk and dv somewhere in the columns of d_qkv [tokens, ·].
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Nobody else adds to its rows, so there are no atomics and the
// order is fixed.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products. Two sets of results live in registers,
// so for heads over 64 a tile has half the rows of the other kernels.
//! include attention_tiles.wgsl
//! include attention_backward.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = min(documents[last_key].y, params.tokens);
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
      //! if SOFT_CAP
      var slopes: Scores;
      //! end
      add_products(&p, Rows(K, kv_head, first_key), Rows(Q, head, first_query), thread);
      //! unroll v 0 ROW_VECTORS
      //! unroll c 0 4
      {
        let key = min(first_key + 4u * (row_slot + \${v}u) + \${c}u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        //! if SOFT_CAP
        let score = capped(p[4 * $v + $c] * (params.scale * LOG2_E));
        slopes[4 * $v + $c] = cap_slope(score);
        p[4 * $v + $c] = select(vec4<f32>(), exp2(score - statistics * LOG2_E), visible);
        //! else
        p[4 * $v + $c] = select(vec4<f32>(), exp2((p[4 * $v + $c] * params.scale - statistics) * LOG2_E), visible);
        //! end
      }
      //! end
      //! end
      add_combinations(&dv, &p, Rows(D_OUTPUT, head, first_query), thread);

      var ds = Scores();
      add_products(&ds, Rows(V, kv_head, first_key), Rows(D_OUTPUT, head, first_query), thread);
      //! unroll r 0 4*ROW_VECTORS
      ds[$r] = p[$r] * (ds[$r] - deltas);
      //! if SOFT_CAP
      ds[$r] *= slopes[$r];
      //! end
      //! end
      add_combinations(&dk, &ds, Rows(Q, head, first_query), thread);
    }
  }

  //! unroll v 0 ROW_VECTORS
  //! unroll c 0 4
  {
    let key = first_key + 4u * (row_slot + \${v}u) + \${c}u;
    var dims: Dims;
    //! unroll j 0 DIM_VECTORS
    dims[$j] = dk[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale;
    //! end
    //! if ROTATED
    dims = rotated_back(dims, min(key, last_key), thread);
    //! end
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      let quad$j = x + \${j}u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad$j, dims[$j]);
      store_gradient(key, params.dv_column + head_start, quad$j, dv[(4 * $v + $c) * DIM_VECTORS + $j]);
      //! end
    }
  }
  //! end
  //! end
}
`,
  "attention_backward_queries.wgsl": `// Attention backward, gradient of the queries: dQ = scale · dS·K with dS = P ∘ (dO·Vᵀ − delta), and P = 2^(scores −
// log_sum_exp) made again tile by tile. With SOFT_CAP the cap's slope is a factor of dS.
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
      //! if SOFT_CAP
      let score = capped(p[4 * $v + $c] * (params.scale * LOG2_E));
      let probability = exp2(score - log_sum_exp[at] * LOG2_E) * cap_slope(score);
      //! else
      let probability = exp2((p[4 * $v + $c] * params.scale - log_sum_exp[at]) * LOG2_E);
      //! end
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
    var dims: Dims;
    //! unroll j 0 DIM_VECTORS
    dims[$j] = dq[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale;
    //! end
    //! if ROTATED
    dims = rotated_back(dims, min(query, last_query), thread);
    //! end
    if (query <= last_query) {
      let column = params.dq_column + head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      store_gradient(query, column, x + \${j}u * COLUMN_THREADS, dims[$j]);
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
// head size]; length u32 [1]: cached keys, those of the new token included; output [1, heads · head size]. q and both
// caches are f32, or all f16 (QKV), the output is f32 or f16 (OUTPUT), and sums are f32. With SOFT_CAP scores go through
// c · tanh(score / c); with WINDOW the token sees only the last params.window keys.
// The length is read from a buffer, so that one recorded program serves every token.
//
// Idea: a workgroup takes a query head and walks over THREADS keys at a time with an online softmax, and adds up in the
// order of attention_forward.wgsl: generating a text gives the bits of evaluating it, unless a compiler joins a multiplication with an
// addition in one of the two only. For that it keeps to the tiles of that kernel, COLUMNS keys each, which share a maximum:
// - a thread makes the score of one key, even dims before odd ones in each slice of 16;
// - a thread for each pair of dims adds up the values, key after key;
// - COLUMN_THREADS threads behind these add up the weights, each every COLUMN_THREADS-th key, and are added up in the end.
// With WIDE, for heads over 256, a thread has a second pair of dims, FIRST_SUMMING further.
// With WINDOW its first tile is that kernel's as well: the first key that the first of a tile of ROWS queries sees.
// Memory-bound: 2 · length · head size elements per head are read once, 4 operations for each two.

struct Params {
  heads: u32, kv_heads: u32, head_pairs: u32, max_length: u32,
  q_column: u32, cache_pitch: u32, output_pitch: u32, // in pairs
  scale: f32,
//! if SOFT_CAP
  soft_cap: f32, // in units of log 2
//! end
//! if WINDOW
  window: u32,
//! end
}

//! if QKV == f32
alias Pair = vec2<f32>;
fn wide(pair: Pair) -> vec2<f32> { return pair; }
//! else
alias Pair = u32;
fn wide(pair: Pair) -> vec2<f32> { return unpack2x16float(pair); }
//! end

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Pair>;
@group(0) @binding(2) var<storage, read> key_cache: array<Pair>;
@group(0) @binding(3) var<storage, read> value_cache: array<Pair>;
@group(0) @binding(4) var<storage, read> length: array<u32>;
//! include attention_output.wgsl WIDTH=2 BINDING=5

const LOG2_E = 1.44269504088896;
const MASKED = -3e38; // below every score
//! if SOFT_CAP
//! include attention_scores.wgsl
//! end

const COLUMNS = 4u * COLUMN_THREADS; // keys of a tile
const TILES = THREADS / COLUMNS;
const PAIRS = 8u; // pairs of dims in a slice
const FIRST_SUMMING = THREADS / 2u; // the first thread that adds up weights: there are no more pairs of dims

//! if WIDE
var<workgroup> query: array<vec2<f32>, THREADS>; // zeros behind the head
//! else
var<workgroup> query: array<vec2<f32>, FIRST_SUMMING>; // zeros behind the head
//! end
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> tile_maxima: array<f32, TILES>;
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> sums: array<f32, COLUMN_THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let head_start = head * params.kv_heads / params.heads * params.head_pairs;
  let end = min(length[0], params.max_length);
  if (thread < params.head_pairs) { query[thread] = wide(q[params.q_column + head * params.head_pairs + thread]); }
  let scale = params.scale * LOG2_E;
  let column = head_start + min(thread, params.head_pairs - 1u);
  //! if WIDE
  let other_column = head_start + min(thread + FIRST_SUMMING, params.head_pairs - 1u);
  var other = vec2<f32>();
  //! end
  let x = (thread - FIRST_SUMMING) % COLUMN_THREADS;
  let tile = thread / COLUMNS;

  var maximum = MASKED;
  var sum = 0.0;
  var result = vec2<f32>();
  //! if WINDOW
  let first_seen = max(end, params.window) - params.window;
  let tile_query = (max(end, 1u) - 1u) / ROWS * ROWS;
  let first_tile = max(tile_query + 1u, params.window) - params.window;
  for (var first = first_tile; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    let visible = first + thread >= first_seen && first + thread < end;
  //! else
  for (var first = 0u; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    let visible = first + thread < end;
  //! end
    var score = 0.0;
    if (visible) {
      let start = (first + thread) * params.cache_pitch + head_start;
      for (var pair = 0u; pair < params.head_pairs; pair += PAIRS) {
        //! unroll i 0 8
        let key$i = wide(key_cache[start + min(pair + \${i}u, params.head_pairs - 1u)]);
        //! end
        //! unroll i 0 8
        score = fma(query[pair + \${i}u].x, key$i.x, score);
        //! end
        //! unroll i 0 8
        score = fma(query[pair + \${i}u].y, key$i.y, score);
        //! end
      }
    }
    //! if SOFT_CAP
    score = select(MASKED, capped(vec4<f32>(score * scale)).x, visible);
    //! else
    score = select(MASKED, score * scale, visible);
    //! end
    scores[thread] = score;
    workgroupBarrier();
    if (thread % COLUMNS == 0u) {
      var tile_maximum = score;
      for (var i = 1u; i < COLUMNS; i += 1u) { tile_maximum = max(tile_maximum, scores[thread + i]); }
      tile_maxima[tile] = tile_maximum;
    }
    workgroupBarrier();
    var running = maximum;
    for (var t = 0u; t <= tile; t += 1u) { running = max(running, tile_maxima[t]); }
    weights[thread] = select(exp2(score - running), 0.0, score == MASKED);
    workgroupBarrier();

    for (var t = 0u; t < TILES && first + t * COLUMNS < end; t += 1u) {
      let before = maximum;
      maximum = max(maximum, tile_maxima[t]);
      let decay = exp2(before - maximum);
      let first_weight = t * COLUMNS;
      //! if WIDE
      if (thread < FIRST_SUMMING) {
      //! else
      if (thread < params.head_pairs) {
      //! end
        result *= decay;
        //! if WIDE
        other *= decay;
        //! end
        for (var i = 0u; i < COLUMNS; i += 8u) {
          let key = first + first_weight + i;
          //! unroll k 0 8
          let value$k = wide(value_cache[min(key + \${k}u, end - 1u) * params.cache_pitch + column]);
          //! end
          //! unroll k 0 8
          result = fma(vec2<f32>(weights[first_weight + i + \${k}u]), value$k, result);
          //! end
          //! if WIDE
          //! unroll k 0 8
          let further$k = wide(value_cache[min(key + \${k}u, end - 1u) * params.cache_pitch + other_column]);
          //! end
          //! unroll k 0 8
          other = fma(vec2<f32>(weights[first_weight + i + \${k}u]), further$k, other);
          //! end
          //! end
        }
      } else if (thread >= FIRST_SUMMING) {
        let at = first_weight + x;
        sum *= decay; // beside the sum, as there: a compiler that joins the two here does so there
        sum += (weights[at] + weights[at + COLUMN_THREADS]) +
          (weights[at + 2u * COLUMN_THREADS] + weights[at + 3u * COLUMN_THREADS]);
      }
    }
  }

  if (thread >= FIRST_SUMMING && thread - FIRST_SUMMING < COLUMN_THREADS) { sums[x] = sum; }
  workgroupBarrier();
  //! if WIDE
  if (thread < FIRST_SUMMING) {
  //! else
  if (thread < params.head_pairs) {
  //! end
    var total = 0.0;
    for (var i = 0u; i < COLUMN_THREADS; i += 1u) { total += sums[i]; }
    put_output(head * params.head_pairs + thread, result / total);
    //! if WIDE
    if (thread + FIRST_SUMMING < params.head_pairs) {
      put_output(head * params.head_pairs + thread + FIRST_SUMMING, other / total);
    }
    //! end
  }
  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var c = columns + thread; c < params.output_pitch; c += THREADS) { put_output(c, vec2<f32>()); }
  }
}
`,
  "attention_forward.wgsl": `// Attention forward, tiled with an online softmax: output = softmax(scale · Q·Kᵀ, visible keys) · V for every query head,
// and logSumExp, from which the backward rebuilds the probabilities. No tokens × tokens array exists anywhere.
//
// Shapes: q [tokens, heads · head size], k and v [tokens, kv_heads · head size], each somewhere in the columns of the
// matrix qkv; documents (start, end) per token: token t sees keys start … t; output [tokens, heads · head size];
// log_sum_exp [tokens, heads]. All f32. Query head h reads key head ⌊h · kv_heads / heads⌋.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query (starts do not decrease, so no query sees more).
//
// Online softmax: with the running maximum m and sum l of a row, a new tile of scores s first scales l and the results by
// 2^(m_old − m_new), then adds p = 2^(s − m_new) to l and p·V to the results. l stays split over the invocations of a
// row until the end.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products; for documents of n tokens about
// 2 · n · tokens · heads · head size, plus what the tiles on the diagonal and at document starts compute in vain.
//! include attention_operands.wgsl WIDTH=2 BACKWARD=false
//! include attention_tiles.wgsl

const MASKED = -3e38; // below every score

// Gives the invocations of a row each other's numbers: row slots of slice x.
fn exchange(numbers: ptr<function, RowVectors>, x: u32, row_slot: u32) {
  workgroupBarrier();
  //! unroll v 0 ROW_VECTORS
  left[x / UNROLL][x % UNROLL][row_slot + \${v}u] = (*numbers)[$v];
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
      //! if SOFT_CAP
      let s = select(vec4<f32>(MASKED), capped(scores[4 * $v + $c] * scale), visible);
      //! else
      let s = select(vec4<f32>(MASKED), scores[4 * $v + $c] * scale, visible);
      //! end
      scores[4 * $v + $c] = s;
      tile_maxima[$v][$c] = max(max(s.x, s.y), max(s.z, s.w));
    }
    //! end
    //! end
    exchange(&tile_maxima, x, row_slot);
    //! unroll v 0 ROW_VECTORS
    {
      let before = maxima[$v];
      //! unroll i 0 COLUMN_THREADS
      maxima[$v] = max(maxima[$v], left[$i / UNROLL][$i % UNROLL][row_slot + \${v}u]);
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

  exchange(&sums, x, row_slot);
  //! unroll v 0 ROW_VECTORS
  {
    var total = vec4<f32>();
    //! unroll i 0 COLUMN_THREADS
    total += left[$i / UNROLL][$i % UNROLL][row_slot + \${v}u];
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
        put_output(query * params.output_pitch + c, vec2<f32>());
      }
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

fn store_results(query: u32, head: u32, quad: u32, value: vec4<f32>) {
  let at = query * params.output_pitch + head * params.head_pairs + 2u * quad;
  if (2u * quad < params.head_pairs) { put_output(at, value.xy); }
  if (2u * quad + 1u < params.head_pairs) { put_output(at + 1u, value.zw); }
}
`,
  "attention_gradient_scale.wgsl": `// The power of two by which the attention backward multiplies d_output before it rounds it to f16, and its inverse, from
// the maxima that attention_backward_delta.wgsl left. They go to scales[at] and scales[at + 1].
//
// The largest magnitude becomes 2^exponent to 2^(exponent + 1): room for sums of products with values above, and more than
// the range of a gradient's elements that matter below (f16 goes down to 2^-24). Zero and infinite maxima get a finite scale
// as well.
// Grid: 1. The maximum does not depend on the order, so the result does not either.

const THREADS = 256u;

struct Params { count: u32, at: u32, exponent: i32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> maxima: array<f32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var maximum = 0.0;
  for (var first = thread; first < params.count; first += 8u * THREADS) {
    //! unroll n 0 8
    maximum = max(maximum, maxima[min(first + \${n}u * THREADS, params.count - 1u)]);
    //! end
  }
  partial[thread] = maximum;
  workgroupBarrier();
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    if (thread < step) { partial[thread] = max(partial[thread], partial[thread + step]); }
    workgroupBarrier();
  }
  if (thread == 0u) {
    // Exponents as they are stored, 127 above their value; both the scale's and its inverse's must be 1 … 253.
    let exponent = clamp(127 + params.exponent + 127 - i32(bitcast<u32>(partial[0]) >> 23u), 1, 253);
    scales[params.at] = bitcast<f32>(u32(exponent) << 23u);
    scales[params.at + 1u] = bitcast<f32>(u32(254 - exponent) << 23u);
  }
}
`,
  "attention_half.wgsl": `// The two tile products that attention is made of, in packed half-precision arithmetic, for GPUs without tensor cores.
// A workgroup owns 64 rows (queries, or keys in the gradient of keys and values) and walks over tiles of 64 columns (keys,
// or queries).
//
//   add_products       scores[row, column] += Σ_dim left[row, dim] · right[column, dim]        contraction over the head
//   add_combinations   results[row, dim]   += Σ_column weights[row, column] · right[column, dim]     ... over the columns
//
// Idea, as in gemm_f16.wgsl: a pair of neighbours along the contraction is multiplied by a pair, so no value has to be
// broadcast into both halves of a register, which would halve the rate of the packed multiply-add. f16 sums are short: a
// product's go to f32 after one run of 16 pairs, as scores must be exact, a combination's after the two of a tile.
//
// Who holds what: 128 invocations form a grid, x in 0 … 16 and y in 0 … 8. Invocation (x, y) keeps in registers, for the
// rows 4y … 4y + 3 and 32 more,
//   the scores of the columns 2x, 2x + 1 and 32 more: pairs, as the weights of the second product must be, and
//   the results of the dims 4x … 4x + 3 and half a head more: both dims of a plane that rope turned.
// In workgroup memory is a run of 16 pairs along the contraction (32 dims, or 32 columns), of which each vector has four
// rows, columns or dims; the next run is fetched into registers meanwhile. Two vectors more per pair keep the stores of
// four pairs at once apart, and so does the order of lanes: eight x beside four y, neighbours in y first.
//
// With two ROLES, 128 invocations each multiply tiles of their own. Runs are multiplied in params.parts parts of UNROLL
// pairs: a driver that knew their number would write them all out, and compile for longer.
// The including kernel has included attention_operands.wgsl with a WIDTH of 8. HEAD_DIM is a multiple of 16 from 80 to 128;
// tokens past the end repeat the last one: the caller masks them.
enable f16;

const ROWS = 64u;
const COLUMNS = 64u;
const PAIRS = 16u;
const PARTS = PAIRS / UNROLL;
const HEAD_EIGHTS = HEAD_DIM / 8u;
const HALF_QUADS = HEAD_DIM / 8u; // vec4s of half a head

// What q·k is divided by while it is f16, about the root of the head size: it then ends where scores end. Where outliers of
// q and k meet, as in Qwen2, q·k itself leaves f16's range. A power of two changes nothing else.
const DIVISOR = 8.0h;

alias RowNumbers = array<vec4<f32>, 2>; // one number per row
alias Scores = array<vec4<f32>, 8>;     // [row]
alias Weights = array<vec4<f16>, 8>;    // [row]
alias Results = array<vec4<f32>, 16>;   // [row][half]

// Pair s of a run is [s / UNROLL][s % UNROLL].
var<workgroup> left: array<array<array<array<Eight, 18>, UNROLL>, PARTS>, $ROLES>;
var<workgroup> right: array<array<array<array<Eight, 34>, UNROLL>, PARTS>, $ROLES>;

// Tokens from \`first\` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// An invocation's place in the grid of its role.
struct Place { role: u32, thread: u32, x: u32, y: u32 }

fn place_of(thread: u32) -> Place {
  let lane = thread % 32u;
  let warp = thread / 32u % 4u;
  return Place(
    thread / 128u, thread % 128u, lane / 2u % 8u + warp % 2u * 8u, lane % 2u + lane / 16u * 2u + warp / 2u * 4u);
}

// The columns of an invocation, and the rows that come together as a vector.
fn columns_of(place: Place) -> vec4<u32> { return 2u * place.x + vec4<u32>(0u, 1u, 32u, 33u); }
fn row_of(place: Place, v: u32, c: u32) -> u32 { return 4u * place.y + 32u * v + c; }

// Where a head of a token begins.
fn start_of(rows: Rows, token: u32) -> u32 {
  let inside = min(rows.first + token, params.tokens - 1u);
  //! if BACKWARD
  if (rows.source == D_OUTPUT) { return inside * params.d_output_pitch + rows.head * HEAD_EIGHTS; }
  //! end
  return qkv_index(rows.source, inside, rows.head, 0u);
}

fn load_eights(source: u32, at: vec4<u32>) -> array<Eight, 4> {
  //! if BACKWARD
  if (source == D_OUTPUT) {
    return array<Eight, 4>(d_output[at.x], d_output[at.y], d_output[at.z], d_output[at.w]);
  }
  //! end
  return array<Eight, 4>(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
}

// \`factor\`: what the rows are multiplied by before.
fn add_products(scores: ptr<function, Scores>, a: Rows, b: Rows, factor: f16, place: Place) {
  // Half of the invocations bring rows, half columns: four of them, four pairs of each.
  let brings_left = place.thread < 64u;
  let eight = place.thread % 4u;
  let slot = place.thread / 4u % 16u;
  var brought = b;
  var tokens = 2u * slot + vec4<u32>(0u, 1u, 32u, 33u);
  if (brings_left) {
    brought = a;
    tokens = 4u * slot + vec4<u32>(0u, 1u, 2u, 3u);
  }
  let at = eight + vec4<u32>(
    start_of(brought, tokens.x), start_of(brought, tokens.y), start_of(brought, tokens.z), start_of(brought, tokens.w));
  var next = array<Eight, 4>();
  if (HEAD_DIM % 32u == 0u || eight < HEAD_EIGHTS) { next = load_eights(brought.source, at); }
  for (var step = 0u; step < params.steps; step += 1u) {
    workgroupBarrier();
    //! for c,half,parts in 0,0,xy 1,0,zw 2,1,xy 3,1,zw
    {
      let four = Eight(
        vec4<f16>(next[0][$half].$parts, next[1][$half].$parts),
        vec4<f16>(next[2][$half].$parts, next[3][$half].$parts));
      let pair = eight + 4u * $c;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    //! end
    workgroupBarrier();
    if (step + 1u < params.steps) {
      next = array<Eight, 4>();
      // Past the head there are zeros.
      if (HEAD_DIM % 32u == 0u || 4u * (step + 1u) + eight < HEAD_EIGHTS) {
        next = load_eights(brought.source, at + 4u * (step + 1u));
      }
    }
    var sums = array<vec4<f16>, 16>(); // [row][columns]: pairs of sums
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        let columns = right[place.role][part][$k][place.x];
        //! unroll v 0 2
        let rows$v = left[place.role][part][$k][place.y + 8u * $v];
        //! for c,half,parts in 0,0,xyxy 1,0,zwzw 2,1,xyxy 3,1,zwzw
        {
          let row = rows$v[$half].$parts;
          sums[2 * (4 * $v + $c)] = fma(row, columns[0], sums[2 * (4 * $v + $c)]);
          sums[2 * (4 * $v + $c) + 1] = fma(row, columns[1], sums[2 * (4 * $v + $c) + 1]);
        }
        //! end
        //! end
      }
      //! end
    }
    //! unroll r 0 8
    (*scores)[$r] += joined(sums[2 * $r], sums[2 * $r + 1]);
    //! end
  }
}

// The two parts of four sums, added in f32.
fn joined(low: vec4<f16>, high: vec4<f16>) -> vec4<f32> {
  let a = vec4<f32>(low);
  let b = vec4<f32>(high);
  return vec4<f32>(a.xz + a.yw, b.xz + b.yw);
}

// What an invocation brings of a run of columns: eight dims of four of them.
fn load_columns(b: Rows, first: u32, place: Place) -> array<Eight, 4> {
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  let half = chunk / 8u;
  var values = array<Eight, 4>();
  if (chunk % 8u < HEAD_EIGHTS / 2u) {
    let eight = half * (HEAD_EIGHTS / 2u) + chunk % 8u;
    let token = first + 2u * pair;
    values = load_eights(b.source, eight + vec4<u32>(
      start_of(b, token), start_of(b, token + 1u), start_of(b, token + 16u), start_of(b, token + 17u)));
  }
  return values;
}

// Turns \`weights\` after each half of the columns; in the end they are as they were.
fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Weights>, b: Rows, place: Place) {
  let x = place.x;
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  // Eight invocations that store, or load, vectors at once need eight places of different remainders.
  let low = 2u * chunk + chunk / 4u % 2u;
  let high = 2u * chunk + 1u - chunk / 4u % 2u;
  let slot = x ^ (x / 8u);
  var next = load_columns(b, 0u, place);
  var sums = array<vec4<f16>, 32>(); // [row][half][dims]: pairs of sums
  for (var step = 0u; step < params.halves; step += 1u) {
    workgroupBarrier();
    //! unroll v 0 2
    left[place.role][x / UNROLL][x % UNROLL][place.y + 8u * $v] = Eight(
      vec4<f16>((*weights)[4 * $v].xy, (*weights)[4 * $v + 1].xy),
      vec4<f16>((*weights)[4 * $v + 2].xy, (*weights)[4 * $v + 3].xy));
    //! end
    //! unroll n 0 2
    //! for quad,to in 0,low 1,high
    right[place.role][(pair + 8u * $n) / UNROLL][(pair + 8u * $n) % UNROLL][$to] = Eight(
      vec4<f16>(next[2 * $n][$quad].x, next[2 * $n + 1][$quad].x, next[2 * $n][$quad].y, next[2 * $n + 1][$quad].y),
      vec4<f16>(next[2 * $n][$quad].z, next[2 * $n + 1][$quad].z, next[2 * $n][$quad].w, next[2 * $n + 1][$quad].w));
    //! end
    //! end
    workgroupBarrier();
    if (step + 1u < params.halves) { next = load_columns(b, 32u * (step + 1u), place); }
    //! unroll r 0 8
    (*weights)[$r] = (*weights)[$r].zwxy;
    //! end
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        //! unroll j 0 2
        let dims$j = right[place.role][part][$k][slot + 16u * $j];
        //! end
        //! unroll v 0 2
        let rows$v = left[place.role][part][$k][place.y + 8u * $v];
        //! for c,half,parts in 0,0,xyxy 1,0,zwzw 2,1,xyxy 3,1,zwzw
        {
          let row = rows$v[$half].$parts;
          //! unroll j 0 2
          //! unroll h 0 2
          sums[4 * (4 * $v + $c) + 2 * $j + $h] = fma(row, dims$j[$h], sums[4 * (4 * $v + $c) + 2 * $j + $h]);
          //! end
          //! end
        }
        //! end
        //! end
      }
      //! end
    }
  }
  //! unroll i 0 16
  (*results)[$i] += joined(sums[2 * $i], sums[2 * $i + 1]);
  //! end
}
`,
  "attention_half_backward.wgsl": `// What the two kernels of the attention backward in packed half-precision arithmetic share: operands, the power of two in
// d_output, and how they write rows of a gradient. With ROTATED, q and k came out of rope.wgsl, and their gradients are
// rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=8 BACKWARD=true

// The power of two that d_output was multiplied by (attention_half_gradient.wgsl), and its inverse.
fn gradient_scale() -> vec2<f32> {
  let at = params.tokens * params.statistics_pitch;
  return vec2<f32>(delta[at], delta[at + 1u]);
}

// Writes the gradient of a tile's rows from token \`first\` on to \`last\`, times a factor. \`column\`: where their head begins.
// A loop over the rows of an invocation, so that the rotation is compiled once: row by row the results move up.
fn write_gradient(
  given: Results, first: u32, last: u32, column: u32, factor: f32, rotated: bool, place: Place,
) {
  if (place.x >= HALF_QUADS) { return; }
  var results = given;
  for (var r = 0u; r < 4u * params.halves; r += 1u) {
    let token = first + row_of(place, r / 4u, r % 4u);
    if (token > last) { break; }
    var low = results[0] * factor;
    var high = results[1] * factor;
    //! if ROTATED
    if (rotated) {
      let angle = rotation(positions[token], 4u * place.x + LANES);
      let turned = low * angle.cosine + high * angle.sine;
      high = high * angle.cosine - low * angle.sine;
      low = turned;
      //! if QUERY_BETA
      low *= query_scale(positions[token]);
      high *= query_scale(positions[token]);
      //! end
    }
    //! end
    let at = token * params.d_qkv_pitch + column + place.x;
    d_qkv[at] = low;
    d_qkv[at + HALF_QUADS] = high;
    //! unroll i 0 14
    results[$i] = results[$i + 2];
    //! end
  }
}
`,
  "attention_half_forward.wgsl": `// Attention forward in packed half-precision arithmetic, tiled with an online softmax: what attention_forward.wgsl
// computes, for q, k and v in f16.
//
// Shapes: as there, qkv f16; probabilities are rounded to f16 before they meet v.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query.
//
// Online softmax: the running maximum of a row is kept in f16. It need not be the maximum to the last bit, only the same
// number in all invocations of the row, so they tell each other half the bytes.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products.
//! include attention_operands.wgsl WIDTH=8 BACKWARD=false
//! include attention_half.wgsl ROLES=1 BACKWARD=false

const THREADS = 128u;
const MASKED = -3e38; // below every score
const LOWEST = -65504.0; // of f16

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let last_start = documents[last_query].x;
  let scale = params.scale * f32(DIVISOR) * LOG2_E;

  var results = Results();
  var sums = RowNumbers();
  var maxima = Eight(vec4<f16>(LOWEST), vec4<f16>(LOWEST));
  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), 1.0h / DIVISOR, place);
    //! unroll r 0 8
    scores[$r] *= scale;
    //! if SOFT_CAP
    scores[$r] = capped(scores[$r]);
    //! end
    //! end
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      let keys = first_key + columns_of(place);
      //! unroll v 0 2
      //! unroll c 0 4
      {
        let query = first_query + row_of(place, \${v}u, \${c}u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * $v + $c] = select(vec4<f32>(MASKED), scores[4 * $v + $c], visible);
      }
      //! end
      //! end
    }
    let before = maxima;
    //! unroll v 0 2
    {
      var tile: vec4<f32>;
      //! unroll c 0 4
      {
        let s = scores[4 * $v + $c];
        tile[$c] = max(max(s.x, s.y), max(s.z, s.w));
      }
      //! end
      maxima[$v] = vec4<f16>(clamp(tile, vec4<f32>(LOWEST), vec4<f32>(-LOWEST)));
    }
    //! end
    workgroupBarrier();
    left[0][part][pair][place.y] = maxima;
    workgroupBarrier();
    maxima = before;
    //! unroll i 0 16
    {
      let others = left[0][$i / UNROLL][$i % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    //! end
    var weights: Weights;
    //! unroll v 0 2
    {
      let maximum = vec4<f32>(maxima[$v]);
      let decay = exp2(vec4<f32>(before[$v]) - maximum);
      sums[$v] *= decay;
      //! unroll c 0 4
      {
        let p = exp2(scores[4 * $v + $c] - maximum[$c]);
        sums[$v][$c] += (p.x + p.y) + (p.z + p.w);
        weights[4 * $v + $c] = vec4<f16>(p);
        results[2 * (4 * $v + $c)] *= decay[$c];
        results[2 * (4 * $v + $c) + 1] *= decay[$c];
      }
      //! end
    }
    //! end
    add_combinations(&results, &weights, Rows(V, kv_head, first_key), place);
  }

  // The sums of a row's invocations, as f16 and what that leaves over: 22 bits.
  workgroupBarrier();
  let rounded = Eight(vec4<f16>(sums[0]), vec4<f16>(sums[1]));
  left[0][part][pair][place.y] = rounded;
  left[0][part][pair][place.y + 8u] =
    Eight(vec4<f16>(sums[0] - vec4<f32>(rounded[0])), vec4<f16>(sums[1] - vec4<f32>(rounded[1])));
  workgroupBarrier();
  //! unroll v 0 2
  {
    var total = vec4<f32>();
    //! unroll i 0 16
    total += vec4<f32>(left[0][$i / UNROLL][$i % UNROLL][place.y][$v])
      + vec4<f32>(left[0][$i / UNROLL][$i % UNROLL][place.y + 8u][$v]);
    //! end
    let statistics = (vec4<f32>(maxima[$v]) + log2(total)) * LN_2;
    //! unroll c 0 4
    {
      let query = first_query + row_of(place, \${v}u, \${c}u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[$c]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * $v + $c)] / total[$c]);
          put_output(at + HALF_QUADS, results[2 * (4 * $v + $c) + 1] / total[$c]);
        }
      }
    }
    //! end
  }
  //! end

  // The columns up to the pitch are zero. The output has none: heads are multiples of 16.
  if (head + 1u == params.heads) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}
`,
  "attention_half_gradient.wgsl": `// d_output in f16 for the attention backward in packed half-precision arithmetic, times the power of two at scales[at]
// that attention_gradient_scale.wgsl found.
//
// Shapes: d_output f32, halves f16, of the same pitch, seen as \`count\` vectors of eight elements.
// Memory-bound; a thread takes one vector.
//! include linear_grid.wgsl
enable f16;

const THREADS = 256u;

struct Params { count: u32, at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<array<vec4<f32>, 2>>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> halves: array<array<vec4<f16>, 2>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  if (item >= params.count) { return; }
  let scale = scales[params.at];
  halves[item] = array<vec4<f16>, 2>(vec4<f16>(d_output[item][0] * scale), vec4<f16>(d_output[item][1] * scale));
}
`,
  "attention_half_keys_values.wgsl": `// Attention backward in packed half-precision arithmetic, gradients of keys and values: dV = Pᵀ·dO and
// dK = scale · dSᵀ·Q, summed over the query heads that share a key head, as attention_backward_keys_values.wgsl.
//
// Shapes: as there; qkv and d_output f16, the latter times a power of two; P and dS are rounded to f16.
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its first
// key to the end of its last key's document. Nobody else adds to its rows, so the order is fixed.
//
// Roles: two gradients of 64 rows are more than 128 invocations have registers for. The first half makes the scores, P and
// dV; the second dP, dS and dK, to which the first lends P through workgroup memory, times the cap's slope with SOFT_CAP.
// Both walk through the same code.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products.
//! include attention_half_backward.wgsl
//! include attention_half.wgsl ROLES=2 BACKWARD=true

const THREADS = 256u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let second = place.role == 1u;
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let first_end = documents[first_key].y;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let gradient = gradient_scale();
  let scale = params.scale * f32(DIVISOR) * LOG2_E;
  var results = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + columns_of(place);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      var statistics: vec4<f32>;
      if (second) {
        statistics = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]) * gradient.x;
      } else {
        statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]) * LOG2_E;
      }
      var scores = Scores();
      add_products(
        &scores, Rows(select(K, V, second), kv_head, first_key), Rows(select(Q, D_OUTPUT, second), head, first_query),
        select(1.0h / DIVISOR, 1.0h, second), place);

      var weights: Weights;
      if (!second) {
        let cut = first_query < last_key || first_query + COLUMNS > first_end;
        //! unroll v 0 2
        //! unroll c 0 4
        {
          //! if SOFT_CAP
          let score = capped(scores[4 * $v + $c] * scale);
          var p = exp2(score - statistics);
          scores[4 * $v + $c] = cap_slope(score);
          //! else
          var p = exp2(scores[4 * $v + $c] * scale - statistics);
          //! end
          if (cut) {
            let key = min(first_key + row_of(place, \${v}u, \${c}u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * $v + $c] = vec4<f16>(p);
        }
        //! end
        //! end
      }
      workgroupBarrier();
      if (!second) {
        //! unroll n 0 4
        //! if SOFT_CAP
        right[$n / 2][part][pair][place.y + 8u * ($n % 2)] = Eight(
          weights[2 * $n] * vec4<f16>(scores[2 * $n]), weights[2 * $n + 1] * vec4<f16>(scores[2 * $n + 1]));
        //! else
        right[$n / 2][part][pair][place.y + 8u * ($n % 2)] = Eight(weights[2 * $n], weights[2 * $n + 1]);
        //! end
        //! end
      }
      workgroupBarrier();
      if (second) {
        //! unroll n 0 4
        {
          let p = right[$n / 2][part][pair][place.y + 8u * ($n % 2)];
          weights[2 * $n] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * $n] - statistics));
          weights[2 * $n + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * $n + 1] - statistics));
        }
        //! end
      }
      add_combinations(&results, &weights, Rows(select(D_OUTPUT, Q, second), head, first_query), place);
    }
  }
  let column = select(params.dv_column, params.dk_column, second) + kv_head * (HEAD_DIM / 4u);
  let factor = select(gradient.y, params.scale * gradient.y, second);
  write_gradient(results, first_key, last_key, column, factor, second, place);
}
`,
  "attention_half_queries.wgsl": `// Attention backward in packed half-precision arithmetic, gradient of the queries: dQ = scale · dS·K, as
// attention_backward_queries.wgsl.
//
// Shapes: as there; qkv and d_output f16, the latter times a power of two; P and dS are rounded to f16.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys that the forward walked over.
// The first head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//
// Operations: 6 · head size for each visible (query, key, head), 3 products.
//! include attention_half_backward.wgsl
//! include attention_half.wgsl ROLES=1 BACKWARD=true

const THREADS = 128u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let last_start = documents[last_query].x;
  let gradient = gradient_scale();
  let scale = params.scale * f32(DIVISOR) * LOG2_E;
  var dq = Results();

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), 1.0h / DIVISOR, place);
    let keys = first_key + columns_of(place);
    let cut = first_key < last_start || first_key + COLUMNS > first_query + 1u;
    var weights: Weights;
    //! unroll v 0 2
    //! unroll c 0 4
    {
      let query = min(first_query + row_of(place, \${v}u, \${c}u), last_query);
      //! if SOFT_CAP
      let score = capped(scores[4 * $v + $c] * scale);
      var p = exp2(score - log_sum_exp[query * params.statistics_pitch + head] * LOG2_E) * cap_slope(score);
      //! else
      var p = exp2(scores[4 * $v + $c] * scale - log_sum_exp[query * params.statistics_pitch + head] * LOG2_E);
      //! end
      if (cut) {
        p = select(vec4<f32>(), p, (keys >= vec4<u32>(documents[query].x)) & (keys <= vec4<u32>(query)));
      }
      weights[4 * $v + $c] = vec4<f16>(p);
    }
    //! end
    //! end
    var dp = Scores();
    add_products(&dp, Rows(D_OUTPUT, head, first_query), Rows(V, kv_head, first_key), 1.0h, place);
    //! unroll v 0 2
    //! unroll c 0 4
    {
      let query = min(first_query + row_of(place, \${v}u, \${c}u), last_query);
      let mean = delta[query * params.statistics_pitch + head] * gradient.x;
      weights[4 * $v + $c] = vec4<f16>(vec4<f32>(weights[4 * $v + $c]) * (dp[4 * $v + $c] - mean));
    }
    //! end
    //! end
    add_combinations(&dq, &weights, Rows(K, kv_head, first_key), place);
  }
  let column = params.dq_column + head * (HEAD_DIM / 4u);
  write_gradient(dq, first_query, last_query, column, params.scale * gradient.y, true, place);

  if (head == 0u) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[query * params.d_qkv_pitch + c] = vec4<f32>();
      }
    }
  }
}
`,
  "attention_operands.wgsl": `// Parameters and bindings of the attention kernels, in f32, in packed f16 and on tensor cores, and how they read q, k, v
// and the gradient of the output: vectors of WIDTH components (2, 8 or 4) of a head. BACKWARD: those of the gradients.
// qkv is f32 or f16 (QKV), and so is the output (OUTPUT); all else is f32. With a WIDTH of 8 d_output is f16 as well, and
// what is written are vectors of 4. Include-only.
//
// With ROTATED, q and k came out of rope.wgsl: positions and frequencies rotate their gradients back. With SOFT_CAP scores
// go through c · tanh(score / c) before they are masked.

struct Params {
  tokens: u32, heads: u32, kv_heads: u32,
//! if WIDTH == 2
  head_pairs: u32, // half the head size; elsewhere it is HEAD_DIM
//! end
//! if WIDTH != 4
  parts: u32,      // of a tile's slices: see attention_tiles.wgsl, attention_half.wgsl
//! end
//! if WIDTH == 8
  steps: u32,      // runs of 32 dims of a head
  halves: u32,     // 2: of a tile's columns, and of the rows of an invocation
//! end
  // All pitches and columns except those of the statistics count vectors: those that are read or written.
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
//! if BACKWARD
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
//! else
  output_pitch: u32, statistics_pitch: u32,
//! end
  scale: f32,
//! if SOFT_CAP
  soft_cap: f32, // in units of log 2
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
//! if WIDTH == 8
// Eight neighbours of a row.
alias Eight = array<vec4<f16>, 2>;

@group(0) @binding(1) var<storage, read> qkv: array<Eight>;
//! elif QKV == f32
@group(0) @binding(1) var<storage, read> qkv: array<vec$WIDTH<f32>>;
//! elif WIDTH == 2
@group(0) @binding(1) var<storage, read> qkv: array<u32>;
//! else
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
//! end
//! if BACKWARD
//! if WIDTH == 8
@group(0) @binding(2) var<storage, read> d_output: array<Eight>;
//! else
@group(0) @binding(2) var<storage, read> d_output: array<vec$WIDTH<f32>>;
//! end
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
//! if WIDTH == 2
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec2<f32>>;
//! else
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4<f32>>;
//! end
//! if ROTATED
//! include rotation.wgsl
@group(0) @binding(7) var<storage, read> positions: array<u32>;
@group(0) @binding(8) var<storage, read> frequencies: array<vec2<u32>>;
//! end
//! else
@group(0) @binding(2) var<storage, read> documents: array<vec2<u32>>;
//! if WIDTH == 2
//! include attention_output.wgsl WIDTH=2 BINDING=3
//! else
//! include attention_output.wgsl WIDTH=4 BINDING=3
//! end
@group(0) @binding(4) var<storage, read_write> log_sum_exp: array<f32>;
//! end

// What load_vector reads.
const Q = 0u;
const K = 1u;
const V = 2u;
const D_OUTPUT = 3u;

// Scores are kept in units of log 2, as exp2 is what the hardware has.
const LOG2_E = 1.44269504088896;
const LN_2 = 0.693147180559945;
//! if SOFT_CAP
//! include attention_scores.wgsl
//! end

// Where a vector of q, k or v is.
fn qkv_index(source: u32, token: u32, head: u32, vector: u32) -> u32 {
  let column = select(select(params.v_column, params.k_column, source == K), params.q_column, source == Q);
//! if WIDTH == 2
  return token * params.qkv_pitch + column + head * params.head_pairs + vector;
//! else
  return token * params.qkv_pitch + column + head * (HEAD_DIM / \${WIDTH}u) + vector;
//! end
}

//! if WIDTH == 2
fn load_vector(source: u32, token: u32, head: u32, vector: u32) -> vec2<f32> {
//! if BACKWARD
  if (source == D_OUTPUT) { return d_output[token * params.d_output_pitch + head * params.head_pairs + vector]; }
//! end
//! if QKV == f32
  return qkv[qkv_index(source, token, head, vector)];
//! else
  return unpack2x16float(qkv[qkv_index(source, token, head, vector)]);
//! end
}
//! end
`,
  "attention_output.wgsl": `// What attention writes, f32 or f16 (OUTPUT), vectors of WIDTH components (2 or 4) of a head. Include-only.
//! if OUTPUT == f32
@group(0) @binding($BINDING) var<storage, read_write> output: array<vec$WIDTH<f32>>;

fn put_output(at: u32, value: vec$WIDTH<f32>) { output[at] = value; }
//! else
//! include saturated_f16.wgsl
//! if WIDTH == 2
@group(0) @binding($BINDING) var<storage, read_write> output: array<u32>;

fn put_output(at: u32, value: vec2<f32>) { output[at] = saturated_halves(value.xyxy).x; }
//! else
@group(0) @binding($BINDING) var<storage, read_write> output: array<vec2<u32>>;

fn put_output(at: u32, value: vec4<f32>) { output[at] = saturated_halves(value); }
//! end
//! end
`,
  "attention_scores.wgsl": `// The soft cap of attention scores: c · tanh(score / c), with c in params.soft_cap, and all in units of log 2. Include-only.
//! include tanh.wgsl

fn capped(scores: vec4<f32>) -> vec4<f32> { return params.soft_cap * accurate_tanh(scores / params.soft_cap); }

// By what a gradient of capped scores is multiplied to be one of the scores: 1 − tanh².
fn cap_slope(capped: vec4<f32>) -> vec4<f32> {
  let tangent = capped / params.soft_cap;
  return 1.0 - tangent * tangent;
}
`,
  "attention_tensor.wgsl": `// What attention on tensor cores, forward and backward, is made of. A workgroup owns rows (queries, or keys in the
// gradient of keys and values) and walks over tiles of COLUMNS columns (keys, or queries). Operands are f32 in
// memory, or f16 (QKV), f16 in workgroup memory and in products, sums are f32.
//
//   store_scores  scores[16 rows, COLUMNS] = left · tileᵀ   contraction over the head; left stays in fragments
//   add_weighted  sums[rows, dims] += weights · tile        contraction over the columns
//
// Each of the SUBGROUPS subgroups of 32 has 16 rows, or 16 rows of one of two products. What happens to single scores
// (mask, exponential, statistics) happens in workgroup memory, as the elements of fragments have no known place.
//
// Workgroup memory, in vectors of 8 f16 values or 4 floats: TILES tiles [COLUMNS][HEAD_DIM] of f16, then 16 rows of
// COLUMNS f32 scores per subgroup. The scores' place later takes the weights made of them (f16), and sums on their
// way out. An odd number of vectors per row spreads rows over the banks.
//
// Vector n of a tile's row holds the quads n and HEAD_CHUNKS + n of the head: products do not care, neighbours load
// neighbouring quads, and both dims of a plane of rotary embedding stay together.
//
// Barriers, and waiting at them, take most of the time. An invocation leaves weights where it alone took scores, so that
// none stands between. Tiles that every row sees whole are not masked.
//
// The host chooses HEAD_DIM (a multiple of 16), SUBGROUPS and COLUMNS (a multiple of 32), and tells FETCHES, the
// chunks of 8 elements of a tile that an invocation brings, LEFT_TILES, the tiles that a workgroup's rows fill, and
// of the sums that a subgroup keeps the blocks of 16 rows, ROW_BLOCKS, and of 16 dims, SUM_BLOCKS: more rows in place
// of dims take fewer fragments of the tile. The including kernel declares TILES, and has included
// attention_operands.wgsl with a WIDTH of 4.
//! include fragments.wgsl

const THREADS = 32u * SUBGROUPS;
const HEAD_BLOCKS = HEAD_DIM / 16u;
const HEAD_CHUNKS = HEAD_DIM / 8u;
const TILE_ROW = HEAD_CHUNKS + 1u;
const TILE = COLUMNS * TILE_ROW;
const SCORE_ROW = COLUMNS / 4u + 1u;
const STRIP = 16u * SCORE_ROW; // the scores of a subgroup
const SCORES = TILES * TILE;

alias Fetched = array<vec4<f32>, 2 * FETCHES>;
//! if QKV == f32
alias FetchedQkv = Fetched;
//! else
alias FetchedQkv = array<vec4<u32>, FETCHES>;
//! end
alias LeftRows = array<Left, HEAD_BLOCKS>;
alias Sums = array<Sum, ROW_BLOCKS * SUM_BLOCKS>;

// The weights of 16 columns lie together in a row of scores, and those of the next 16 this many vectors further on.
const WEIGHT_BLOCK = 4u;

var<workgroup> tile: array<vec4<u32>, SCORES + SUBGROUPS * STRIP>;

// Which token's vector, and which, an invocation brings as its n-th of COLUMNS tokens. Tokens past the end repeat the
// last one: the caller masks them.
fn fetched_place(first: u32, n: u32, thread: u32) -> vec2<u32> {
  let item = min(thread + n * THREADS, COLUMNS * HEAD_CHUNKS - 1u);
  return vec2<u32>(min(first + item / HEAD_CHUNKS, params.tokens - 1u), item % HEAD_CHUNKS);
}

// Fetches what one invocation brings of q, k or v.
fn fetch(source: u32, head: u32, first: u32, thread: u32) -> FetchedQkv {
  var values: FetchedQkv;
  //! unroll n 0 FETCHES
  {
    let place = fetched_place(first, \${n}u, thread);
    let at = qkv_index(source, place.x, head, place.y);
    //! if QKV == f32
    values[2 * $n] = qkv[at];
    values[2 * $n + 1] = qkv[at + HEAD_CHUNKS];
    //! else
    values[$n] = vec4<u32>(qkv[at], qkv[at + HEAD_CHUNKS]);
    //! end
  }
  //! end
  return values;
}

// Brings what was fetched to the tile that begins at \`at\`.
fn place(at: u32, values: FetchedQkv, thread: u32) {
  //! unroll n 0 FETCHES
  {
    let item = thread + \${n}u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      //! if QKV == f32
      let halves = to_seen_f16(values[2 * $n], values[2 * $n + 1]);
      //! else
      let halves = values[$n];
      //! end
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] = halves;
    }
  }
  //! end
}

// 16 rows of a tile.
fn load_rows(at: u32) -> LeftRows {
  var rows: LeftRows;
  //! unroll d 0 HEAD_DIM/16
  rows[$d] = load_left(at + 2u * \${d}u, TILE_ROW);
  //! end
  return rows;
}

fn store_scores(strip: u32, rows: ptr<function, LeftRows>, right: u32) {
  var scores: array<Sum, COLUMNS / 16>;
  //! unroll d 0 HEAD_DIM/16
  //! unroll c 0 COLUMNS/16
  scores[$c] = multiply_add(
    (*rows)[$d], load_right_transposed(right + 16u * \${c}u * TILE_ROW + 2u * \${d}u, TILE_ROW), scores[$c]);
  //! end
  //! end
  //! unroll c 0 COLUMNS/16
  store_sum(strip + 4u * \${c}u, SCORE_ROW, scores[$c]);
  //! end
}

// Sums are those of the vectors from \`first\` on; one past the head means nothing.
fn add_weighted(sums: ptr<function, Sums>, weights_at: u32, right: u32, first: u32) {
  //! unroll c 0 COLUMNS/16
  {
    //! unroll b 0 ROW_BLOCKS
    let weights_$b = load_left(weights_at + 16u * \${b}u * SCORE_ROW + \${c}u * WEIGHT_BLOCK, SCORE_ROW);
    //! end
    //! unroll d 0 SUM_BLOCKS
    {
      let dims = load_right(right + 16u * \${c}u * TILE_ROW + first + 2u * \${d}u, TILE_ROW);
      //! unroll b 0 ROW_BLOCKS
      (*sums)[$b * SUM_BLOCKS + $d] = multiply_add(weights_$b, dims, (*sums)[$b * SUM_BLOCKS + $d]);
      //! end
    }
    //! end
  }
  //! end
}

// Where the elements that sum_elements gives begin: row lane % 16 of a strip, vector lane / 16 of the two in a block.
fn sum_place(strip: u32, thread: u32) -> u32 {
  return strip + thread % 16u * SCORE_ROW + 2u * (thread % 32u / 16u);
}

// Shows 8 elements of a sum, by way of the strip. To be called by the whole workgroup.
fn sum_elements(sum: Sum, strip: u32, thread: u32) -> array<vec4<f32>, 2> {
  workgroupBarrier();
  store_sum(strip, SCORE_ROW, sum);
  workgroupBarrier();
  let at = sum_place(strip, thread);
  return array<vec4<f32>, 2>(bitcast<vec4<f32>>(tile[at]), bitcast<vec4<f32>>(tile[at + 1u]));
}
`,
  "attention_tensor_backward.wgsl": `// What the two kernels of the attention backward on tensor cores share. Half of the subgroups (role 0) make the
// scores, the others (role 1) the gradients of the probabilities, dP: two products of the same form. Then all turn
// both into weights:
//
//   P = 2^(scores − log_sum_exp)        dS = P ∘ (dP − delta)
//
// Role 0 has fragments of q (or k) and takes scores with the tile TILE_0; role 1 has d_output (or v, as ROWS_1 says) and
// takes TILE_1.
// Each row of scores and dP belongs to four invocations, 8 of every 32 columns each.
//
// Gradients are far below what f16 can tell apart, so d_output is multiplied by a power of two, the same for all of it,
// which attention_gradient_scale.wgsl left with its inverse in the row after the last of delta.
//
// With ROTATED, q and k came out of rope.wgsl, and their gradients are rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=4 BACKWARD=true
//! include attention_tensor.wgsl

const ROWS = 8u * SUBGROUPS;
const TILES = 2u;
const TILE_0 = 0u;
const TILE_1 = TILE;
const GRADIENTS = SUBGROUPS / 2u * STRIP; // from the scores to dP

// The power of two that d_output is multiplied by, and its inverse.
fn gradient_scale() -> vec2<f32> {
  let at = params.tokens * params.statistics_pitch;
  return vec2<f32>(delta[at], delta[at + 1u]);
}

// Where the weights of a strip's 16 rows begin, the first of them role 0's.
fn strip_weights(strip_row: u32) -> u32 {
  return SCORES + strip_row * SCORE_ROW + 1u;
}

// Where an invocation puts the weights of the columns 8 · chunk on, of a row: in the scores' place, one of the two
// vectors that it took scores from, such that the weights of 16 columns meet.
fn weights_place(row: u32, chunk: u32) -> u32 {
  return SCORES + row * SCORE_ROW + 2u * chunk + 1u - chunk % 2u;
}

// Fetches what one invocation brings of d_output.
fn fetch_gradient(head: u32, first: u32, thread: u32) -> Fetched {
  var values: Fetched;
  //! unroll n 0 FETCHES
  {
    let place = fetched_place(first, \${n}u, thread);
    let at = place.x * params.d_output_pitch + head * (HEAD_DIM / 4u) + place.y;
    values[2 * $n] = d_output[at];
    values[2 * $n + 1] = d_output[at + HEAD_CHUNKS];
  }
  //! end
  return values;
}

// Brings it to the tile that begins at \`at\`, times its power of two: then it is in f16's range.
fn place_gradient(at: u32, values: Fetched, power: f32, thread: u32) {
  //! unroll n 0 FETCHES
  {
    let item = thread + \${n}u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] =
        to_f16(values[2 * $n] * power, values[2 * $n + 1] * power);
    }
  }
  //! end
}

// What one invocation brings of ROWS tokens of the rows' two sources.
struct FetchedRows {
  first: array<FetchedQkv, LEFT_TILES>,
//! if ROWS_1 == d_output
  second: array<Fetched, LEFT_TILES>,
//! else
  second: array<FetchedQkv, LEFT_TILES>,
//! end
}

fn fetch_rows(head: u32, first: u32, thread: u32) -> FetchedRows {
  var values: FetchedRows;
  //! unroll r 0 LEFT_TILES
  //! if ROWS_1 == d_output
  values.first[$r] = fetch(Q, head, first + \${r}u * COLUMNS, thread);
  values.second[$r] = fetch_gradient(head, first + \${r}u * COLUMNS, thread);
  //! else
  values.first[$r] = fetch(K, head, first + \${r}u * COLUMNS, thread);
  values.second[$r] = fetch(V, head, first + \${r}u * COLUMNS, thread);
  //! end
  //! end
  return values;
}

// Brings them to fragments by way of both tiles: 16 of the first source for a subgroup of role 0, of the second for
// role 1.
fn place_rows(values: FetchedRows, power: f32, thread: u32) -> LeftRows {
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let row = 16u * (subgroup % (SUBGROUPS / 2u));
  var rows: LeftRows;
  //! unroll r 0 LEFT_TILES
  place(TILE_0, values.first[$r], thread);
  //! if ROWS_1 == d_output
  place_gradient(TILE_1, values.second[$r], power, thread);
  //! else
  place(TILE_1, values.second[$r], thread);
  //! end
  workgroupBarrier();
  if (row / COLUMNS == $r) { rows = load_rows(role * TILE_1 + row % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  //! end
  return rows;
}

// Where the first row of sums goes: its token, the last token that is written, and the head's first column, in quads.
struct Rows { token: u32, last: u32, column: u32 }

// Writes a subgroup's sums, the vectors of the head from \`first\` to before \`end\`, times \`factor\`; of 16 rows all is read
// before anything is written. To be called by the whole workgroup.
fn write_gradient(
  sums: ptr<function, Sums>, strip: u32, rows: Rows, first: u32, end: u32, factor: f32, rotates_back: bool, thread: u32,
) {
  let vector = first + thread % 32u / 16u;
  //! unroll b 0 ROW_BLOCKS
  {
    let token = rows.token + 16u * $b + thread % 16u;
    var low: array<vec4<f32>, SUM_BLOCKS>;
    var high: array<vec4<f32>, SUM_BLOCKS>;
    //! unroll d 0 SUM_BLOCKS
    {
      let elements = sum_elements((*sums)[$b * SUM_BLOCKS + $d], strip, thread);
      low[$d] = elements[0] * factor;
      high[$d] = elements[1] * factor;
    }
    //! end
    //! if ROTATED
    if (rotates_back) {
      let position = positions[min(token, rows.last)];
      //! unroll d 0 SUM_BLOCKS
      {
        let angle = rotation(position, 4u * min(vector + 2u * $d, HEAD_CHUNKS - 1u) + LANES);
        let a = low[$d];
        let b = high[$d];
        low[$d] = a * angle.cosine + b * angle.sine;
        high[$d] = b * angle.cosine - a * angle.sine;
        //! if QUERY_BETA
        low[$d] *= query_scale(position);
        high[$d] *= query_scale(position);
        //! end
      }
      //! end
    }
    //! end
    let at = token * params.d_qkv_pitch + rows.column + vector;
    //! unroll d 0 SUM_BLOCKS
    if (token <= rows.last && vector + 2u * $d < end) {
      d_qkv[at + 2u * $d] = low[$d];
      d_qkv[at + 2u * $d + HEAD_CHUNKS] = high[$d];
    }
    //! end
  }
  //! end
}
`,
  "attention_tensor_forward.wgsl": `// Attention forward on tensor cores: what attention_forward.wgsl computes, with products of f16 rounded q, k, v and
// probabilities, summed in f32.
//
// Shapes: as there; columns and pitches are multiples of 4.
// Grid: (⌈tokens / ROWS⌉, heads), the last rows first: in a long document they have the most keys, and would be
// waited for. Each subgroup has 16 of the ROWS queries: their q stays in fragments, their results too.
//
// Online softmax with a lazy reference: a row's probabilities are 2^(s − reference), where the reference is a maximum of
// earlier scores, renewed only when a score exceeds it by GROWTH. Results are then still exact, probabilities at most
// 2^GROWTH, and the results in fragments, whose rows cannot be scaled where they are, need that rarely: they take the way
// through workgroup memory. Two invocations share a row, 16 of every 32 columns each.
//! include attention_operands.wgsl WIDTH=4 BACKWARD=false
//! include attention_tensor.wgsl

const ROWS = 16u * SUBGROUPS;
const TILES = 1u;
const KV_TILE = 0u; // keys and values take turns in it
const GROWTH = 8.0;
const MASKED = -3e38; // below every score

var<workgroup> grown: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let strip = SCORES + subgroup * STRIP;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = (groups.x - 1u - group.x) * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  // What this invocation has of the scores: one row, and of it columns 16 · (column_block + 2 · n) on.
  let row = 16u * subgroup + thread % 16u;
  let column_block = thread % 32u / 16u;
  let scores_at = strip + thread % 16u * SCORE_ROW + 4u * column_block;
  let query = min(first_query + row, last_query);
  let start = documents[query].x;
  let last_start = documents[last_query].x;
  let factor = params.scale * LOG2_E;

  // All that is read before the first scores is fetched at once.
  let first_tile = documents[first_query].x;
  //! unroll r 0 LEFT_TILES
  let rows_$r = fetch(Q, head, first_query + \${r}u * COLUMNS, thread);
  //! end
  let first_k = fetch(K, kv_head, first_tile, thread);
  var queries: LeftRows;
  //! unroll r 0 LEFT_TILES
  place(KV_TILE, rows_$r, thread);
  workgroupBarrier();
  if (16u * subgroup / COLUMNS == $r) { queries = load_rows(KV_TILE + 16u * subgroup % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  //! end

  var results: Sums;
  var reference = MASKED;
  var sum = 0.0;
  let last_row = first_query + 16u * subgroup + 15u;
  place(KV_TILE, first_k, thread);
  for (var first_key = first_tile; first_key <= last_query; first_key += COLUMNS) {
    workgroupBarrier();
    let more = first_key + COLUMNS <= last_query;
    let reaches = first_key <= last_row;
    var next = fetch(V, kv_head, first_key, thread);
    if (reaches) { store_scores(strip, &queries, KV_TILE); }
    workgroupBarrier();
    place(KV_TILE, next, thread);
    if (more) { next = fetch(K, kv_head, first_key + COLUMNS, thread); }

    var scores: array<vec4<f32>, COLUMNS / 8>;
    //! unroll n 0 COLUMNS/32
    //! unroll i 0 4
    scores[4 * $n + $i] = bitcast<vec4<f32>>(tile[scores_at + 8u * $n + $i]) * factor;
    //! if SOFT_CAP
    scores[4 * $n + $i] = capped(scores[4 * $n + $i]);
    //! end
    //! end
    //! end
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      //! unroll n 0 COLUMNS/32
      //! unroll i 0 4
      {
        let keys = first_key + 16u * (column_block + 2u * $n) + 4u * $i + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * $n + $i] = select(vec4<f32>(MASKED), scores[4 * $n + $i], visible);
      }
      //! end
      //! end
    }
    var maxima = scores[0];
    //! unroll i 1 COLUMNS/8
    maxima = max(maxima, scores[$i]);
    //! end
    var maximum = max(max(maxima.x, maxima.y), max(maxima.z, maxima.w));
    maximum = max(maximum, from_other_half(maximum, thread));
    var decay = 1.0;
    if (maximum > reference + GROWTH) {
      // A row that has seen no key yet has nothing to scale.
      if (reference != MASKED) {
        decay = exp2(reference - maximum);
        atomicStore(&grown, 1u);
      }
      reference = maximum;
    }
    sum *= decay;
    let base = max(reference, 0.5 * MASKED); // 2^(MASKED − base) is 0 also before the first key
    var weights: array<vec4<u32>, COLUMNS / 16>;
    //! unroll n 0 COLUMNS/32
    //! unroll h 0 2
    {
      let low = exp2(scores[4 * $n + 2 * $h] - base);
      let high = exp2(scores[4 * $n + 2 * $h + 1] - base);
      sum += (low.x + low.y + low.z + low.w) + (high.x + high.y + high.z + high.w);
      let halves = to_f16(low, high);
      tile[scores_at + 2u * WEIGHT_BLOCK * $n + $h] = halves; // where this invocation took the scores
      weights[2 * $n + $h] = halves;
    }
    //! end
    //! end

    if (workgroupUniformLoad(&grown) != 0u) {
      //! unroll d 0 SUM_BLOCKS
      {
        let elements = sum_elements(results[$d], strip, thread);
        tile[sum_place(strip, thread)] = bitcast<vec4<u32>>(elements[0] * decay);
        tile[sum_place(strip, thread) + 1u] = bitcast<vec4<u32>>(elements[1] * decay);
        workgroupBarrier();
        results[$d] = load_sum(strip, SCORE_ROW);
      }
      //! end
      workgroupBarrier();
      //! unroll n 0 COLUMNS/32
      //! unroll h 0 2
      tile[scores_at + 2u * WEIGHT_BLOCK * $n + $h] = weights[2 * $n + $h];
      //! end
      //! end
      if (thread == 0u) { atomicStore(&grown, 0u); }
      workgroupBarrier();
    }
    if (reaches) { add_weighted(&results, strip, KV_TILE, 0u); }
    workgroupBarrier();
    if (more) { place(KV_TILE, next, thread); }
  }

  sum += from_other_half(sum, thread);
  let inverse = 1.0 / sum;
  let written = first_query + row <= last_query;
  if (written && column_block == 0u) {
    log_sum_exp[query * params.statistics_pitch + head] = (reference + log2(sum)) * LN_2;
  }
  //! unroll d 0 SUM_BLOCKS
  {
    let elements = sum_elements(results[$d], strip, thread);
    if (written) {
      let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + 2u * $d + column_block;
      put_output(at, elements[0] * inverse);
      put_output(at + HEAD_CHUNKS, elements[1] * inverse);
    }
  }
  //! end

  // The columns up to the pitch are zero; output has none.
  if (head + 1u == params.heads) {
    for (var token = first_query; token <= last_query; token += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[token * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}
`,
  "attention_tensor_keys_values.wgsl": `// Attention backward on tensor cores, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over
// the query heads that share a key head, as attention_backward_keys_values.wgsl. Rows are keys, columns queries.
//
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Of the results, a subgroup has rows of dV (role 0) or dK (role 1):
// 16 of them whole, or where ROW_BLOCKS is 2, every second subgroup the first half of the vectors of 32 rows, the
// next one the second.
//! include attention_tensor_backward.wgsl ROWS_1=v

// log_sum_exp and delta of the tile's queries, two per vector.
var<workgroup> statistics: array<vec4<f32>, COLUMNS / 2>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let strip_row = 16u * (subgroup % (SUBGROUPS / 2u));
  let strip = SCORES + subgroup * STRIP;
  // Its part of the results.
  let sum_row = strip_row - strip_row % (16u * ROW_BLOCKS);
  let first_vector = strip_row / 16u % ROW_BLOCKS * HEAD_BLOCKS;
  let end_vector = first_vector + HEAD_CHUNKS / ROW_BLOCKS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let gradient = gradient_scale();
  let score_factor = params.scale * LOG2_E;
  // What this invocation has of scores and dP: one row, and of it columns 8 · (column_chunk + 4 · n) on.
  let row = thread % ROWS;
  let column_chunk = thread / ROWS;
  let row_at = SCORES + row * SCORE_ROW;
  let key = min(first_key + row, last_key);
  let end = min(documents[key].y, params.tokens);
  let first_end = min(documents[first_key].y, params.tokens);
  let weights_at = weights_place(row, column_chunk);

  var head = first_head;
  var first_query = first_key;
  // All that is read before the first scores is fetched at once.
  let fetched_rows = fetch_rows(kv_head, first_key, thread);
  let first_q = fetch(Q, head, first_query, thread);
  let first_d_output = fetch_gradient(head, first_query, thread);
  var first_statistics: vec4<f32>;
  if (thread < COLUMNS / 2u) { first_statistics = load_statistics(head, first_query + 2u * thread, gradient.x); }
  var rows = place_rows(fetched_rows, 1.0, thread);
  var results: Sums;
  place(TILE_0, first_q, thread);
  place_gradient(TILE_1, first_d_output, gradient.x, thread);
  if (thread < COLUMNS / 2u) { statistics[thread] = first_statistics; }
  while (head < end_head) {
    workgroupBarrier();
    var next_head = head;
    var next_query = first_query + COLUMNS;
    if (next_query >= end_query) {
      next_head += 1u;
      next_query = first_key;
    }
    let more = next_head < end_head;
    var next_q: FetchedQkv;
    var next_d_output: Fetched;
    var next_statistics: vec4<f32>;
    if (more) {
      next_q = fetch(Q, next_head, next_query, thread);
      next_d_output = fetch_gradient(next_head, next_query, thread);
      if (thread < COLUMNS / 2u) { next_statistics = load_statistics(next_head, next_query + 2u * thread, gradient.x); }
    }
    if (first_query + COLUMNS > first_key + strip_row) { store_scores(strip, &rows, role * TILE_1); }
    workgroupBarrier();
    let cut = first_query < last_key || first_query + COLUMNS > first_end;
    //! unroll n 0 COLUMNS/32
    {
      var p: array<vec4<f32>, 2>;
      var ds: array<vec4<f32>, 2>;
      let column = 8u * (column_chunk + 4u * $n);
      let at = row_at + column / 4u;
      //! unroll h 0 2
      {
        let low = statistics[column / 2u + 2u * $h];
        let high = statistics[column / 2u + 2u * $h + 1u];
        let log_sum = vec4<f32>(low.xz, high.xz);
        let mean = vec4<f32>(low.yw, high.yw);
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + $h]);
        //! if SOFT_CAP
        let score = capped(bitcast<vec4<f32>>(tile[at + $h]) * score_factor);
        p[$h] = exp2(score - log_sum);
        ds[$h] = p[$h] * cap_slope(score) * (dp - mean);
        //! else
        p[$h] = exp2(bitcast<vec4<f32>>(tile[at + $h]) * score_factor - log_sum);
        ds[$h] = p[$h] * (dp - mean);
        //! end
      }
      //! end
      if (cut) {
        //! unroll h 0 2
        {
          let queries = first_query + column + 4u * $h + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(end));
          p[$h] = select(vec4<f32>(), p[$h], visible);
          ds[$h] = select(vec4<f32>(), ds[$h], visible);
        }
        //! end
      }
      tile[weights_at + 2u * WEIGHT_BLOCK * $n] = to_f16(p[0], p[1]);
      tile[weights_at + GRADIENTS + 2u * WEIGHT_BLOCK * $n] = to_saturated_f16(ds[0], ds[1]);
    }
    //! end
    workgroupBarrier();
    if (first_query + COLUMNS > first_key + sum_row) {
      add_weighted(&results, strip_weights(sum_row) + role * GRADIENTS, (1u - role) * TILE_1, first_vector);
    }
    workgroupBarrier();
    if (more) {
      place(TILE_0, next_q, thread);
      place_gradient(TILE_1, next_d_output, gradient.x, thread);
      if (thread < COLUMNS / 2u) { statistics[thread] = next_statistics; }
    }
    head = next_head;
    first_query = next_query;
  }

  let factor = select(gradient.y, params.scale * gradient.y, role == 1u);
  let column = select(params.dv_column, params.dk_column, role == 1u) + kv_head * (HEAD_DIM / 4u);
  let sums = Rows(first_key + sum_row, last_key, column);
  write_gradient(&results, strip, sums, first_vector, end_vector, factor, role == 1u, thread);
}

// Those of two queries, in the units that scores and dP have.
fn load_statistics(head: u32, query: u32, scale: f32) -> vec4<f32> {
  let at = min(vec2<u32>(query, query + 1u), vec2<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
  return vec4<f32>(
    log_sum_exp[at.x] * LOG2_E, delta[at.x] * scale, log_sum_exp[at.y] * LOG2_E, delta[at.y] * scale);
}
`,
  "attention_tensor_queries.wgsl": `// Attention backward on tensor cores, gradient of the queries: dQ = scale · dS·K, as attention_backward_queries.wgsl.
//
// Grid: (⌈tokens / ROWS⌉, heads), the last rows first as in the forward. A workgroup keeps ROWS queries and walks
// over the keys that the forward walked over; of the results, a subgroup has the 16 rows of its scores and the first
// (role 0) or second half of the vectors, in whole blocks of two, the last of which may be of no use. The first
// head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//! include attention_tensor_backward.wgsl ROWS_1=d_output

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let strip_row = 16u * (subgroup % (SUBGROUPS / 2u));
  let strip = SCORES + subgroup * STRIP;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = (groups.x - 1u - group.x) * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let gradient = gradient_scale();
  let score_factor = params.scale * LOG2_E;
  // What this invocation has of scores and dP: one row, and of it columns 8 · (column_chunk + 4 · n) on.
  let row = thread % ROWS;
  let column_chunk = thread / ROWS;
  let row_at = SCORES + row * SCORE_ROW;
  let query = min(first_query + row, last_query);
  let start = documents[query].x;
  let last_start = documents[last_query].x;
  let weights_at = weights_place(row, column_chunk);
  let log_sum = log_sum_exp[query * params.statistics_pitch + head] * LOG2_E;
  let mean = delta[query * params.statistics_pitch + head] * gradient.x;

  let first_tile = documents[first_query].x;
  let last_row = first_query + strip_row + 15u;
  // All that is read before the first scores is fetched at once.
  let fetched_rows = fetch_rows(head, first_query, thread);
  var next_k = fetch(K, kv_head, first_tile, thread);
  var next_v = fetch(V, kv_head, first_tile, thread);
  var rows = place_rows(fetched_rows, gradient.x, thread);
  var results: Sums;
  place(TILE_0, next_k, thread);
  place(TILE_1, next_v, thread);
  for (var first_key = first_tile; first_key <= last_query; first_key += COLUMNS) {
    workgroupBarrier();
    let more = first_key + COLUMNS <= last_query;
    let reaches = first_key <= last_row;
    if (more) {
      next_k = fetch(K, kv_head, first_key + COLUMNS, thread);
      next_v = fetch(V, kv_head, first_key + COLUMNS, thread);
    }
    if (reaches) { store_scores(strip, &rows, role * TILE_1); }
    workgroupBarrier();
    let cut = first_key < last_start || first_key + COLUMNS > first_query + 1u;
    //! unroll n 0 COLUMNS/32
    {
      var ds: array<vec4<f32>, 2>;
      let at = row_at + 2u * (column_chunk + 4u * $n);
      //! unroll h 0 2
      {
        //! if SOFT_CAP
        let score = capped(bitcast<vec4<f32>>(tile[at + $h]) * score_factor);
        let p = exp2(score - log_sum) * cap_slope(score);
        //! else
        let p = exp2(bitcast<vec4<f32>>(tile[at + $h]) * score_factor - log_sum);
        //! end
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + $h]);
        ds[$h] = p * (dp - mean);
      }
      //! end
      if (cut) {
        //! unroll h 0 2
        {
          let keys = first_key + 8u * (column_chunk + 4u * $n) + 4u * $h + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
          ds[$h] = select(vec4<f32>(), ds[$h], visible);
        }
        //! end
      }
      tile[weights_at + 2u * WEIGHT_BLOCK * $n] = to_saturated_f16(ds[0], ds[1]);
    }
    //! end
    workgroupBarrier();
    if (reaches) { add_weighted(&results, strip_weights(strip_row), TILE_0, role * HEAD_BLOCKS); }
    workgroupBarrier();
    if (more) {
      place(TILE_0, next_k, thread);
      place(TILE_1, next_v, thread);
    }
  }

  let factor = params.scale * gradient.y;
  let column = params.dq_column + head * (HEAD_DIM / 4u);
  let first = role * HEAD_BLOCKS;
  let sums = Rows(first_query + strip_row, last_query, column);
  write_gradient(&results, strip, sums, first, first + HEAD_BLOCKS, factor, true, thread);

  if (head == 0u) {
    for (var token = first_query; token <= last_query; token += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[token * params.d_qkv_pitch + c] = vec4<f32>();
      }
    }
  }
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
//   the scores of columns  x + COLUMN_THREADS · {0, 1, 2, 3}, one vec4 per row, and
//   the results of dims    4 · (x + COLUMN_THREADS · j) … + 3, j < DIM_VECTORS, DIM_VECTORS vec4s per row.
// With that spacing the i-th score of all invocations is COLUMN_THREADS consecutive columns: the weights go to
// workgroup memory by a fixed component, DEPTH columns at a time, and neither tile exists there as a whole.
//
// Both products bring DEPTH slices of the contraction to workgroup memory (left: by slice and row, right: by slice and
// column or dim, all vec4), while the registers of the next slices are already being loaded. An odd number of vec4s per
// slice spreads the stores over the banks. 12.8 KB for heads of 128: more than 16 KB is not there by default, and on an
// NVIDIA GPU costs more in workgroups at a time than it saves in loads. Heads over 192 would need 19 KB: their combinations
// are made in DIM_GROUPS = 2 halves of the dims, one after the other, which also halves the vectors on their way; those of
// heads over 256 in 4 groups.
//
// The host chooses COLUMN_THREADS, DIM_VECTORS, in DIM_GROUPS of GROUP_VECTORS, and ROW_VECTORS for the head size, LEFT_LOADS
// (left vec4 pairs per slice that an invocation brings) and UNROLL (slices multiplied without a loop: code that compiles for longer). Of slices
// there are PARTS times as many, which only params.parts says: a driver that knew would write them all out. The kernel that includes this has
// included attention_operands.wgsl with a WIDTH of 2. Heads are padded with zeros to the dims of the grid; tokens
// past the end repeat the last one: the caller masks them.

const DEPTH = 16u;
const ROW_GROUPS = 8u;
const THREADS = ROW_GROUPS * COLUMN_THREADS;
const ROWS = ROW_GROUPS * ROW_VECTORS * 4u;
const COLUMNS = 4u * COLUMN_THREADS;
const ROW_SLOTS = ROW_GROUPS * ROW_VECTORS; // vec4s of rows
const PAIRS = DEPTH / 2u;
const PARTS = DEPTH / UNROLL;
const RIGHT_SLOTS = GROUP_VECTORS * COLUMN_THREADS;

alias RowVectors = array<vec4<f32>, ROW_VECTORS>;             // one number per row
alias Scores = array<vec4<f32>, 4 * ROW_VECTORS>;             // [row]
alias Results = array<vec4<f32>, 4 * ROW_VECTORS * DIM_VECTORS>; // [row][j]

// Slice s is [s / UNROLL][s % UNROLL].
var<workgroup> left: array<array<array<vec4<f32>, ROW_SLOTS + 1u>, UNROLL>, PARTS>;
var<workgroup> right: array<array<array<vec4<f32>, RIGHT_SLOTS + 1u>, UNROLL>, PARTS>;

// Tokens from \`first\` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// Two dims of four tokens, transposed.
struct Transposed { even: vec4<f32>, odd: vec4<f32> }

struct Slices { left: array<Transposed, LEFT_LOADS>, right: Transposed }

fn guarded_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  let inside = min(pair, params.head_pairs - 1u);
  return select(vec2<f32>(), load_vector(source, min(token, params.tokens - 1u), head, inside), pair < params.head_pairs);
}

fn load_transposed(rows: Rows, token: u32, step: u32, pair: u32) -> Transposed {
  let a = guarded_pair(rows.source, rows.first + token, rows.head, pair);
  let b = guarded_pair(rows.source, rows.first + token + step, rows.head, pair);
  let c = guarded_pair(rows.source, rows.first + token + 2u * step, rows.head, pair);
  let d = guarded_pair(rows.source, rows.first + token + 3u * step, rows.head, pair);
  return Transposed(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

fn load_slices(a: Rows, b: Rows, first_pair: u32, thread: u32) -> Slices {
  let pair = first_pair + thread % PAIRS;
  let slot = thread / PAIRS;
  var slices: Slices;
  //! unroll n 0 LEFT_LOADS
  if (slot + \${n}u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[$n] = load_transposed(a, 4u * (slot + \${n}u * COLUMN_THREADS), 1u, pair);
  }
  //! end
  slices.right = load_transposed(b, slot, COLUMN_THREADS, pair);
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
      left[pair / UNROLL][pair % UNROLL][slot + \${n}u * COLUMN_THREADS] = slices.left[$n].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + \${n}u * COLUMN_THREADS] = slices.left[$n].odd;
    }
    //! end
    right[pair / UNROLL][pair % UNROLL][slot] = slices.right.even;
    right[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot] = slices.right.odd;
    workgroupBarrier();
    if (first_pair + PAIRS < params.head_pairs) { slices = load_slices(a, b, first_pair + PAIRS, thread); }
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        let columns = right[part][$k][x];
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[part][$k][row_slot + \${v}u];
        //! unroll c 0 4
        (*scores)[4 * $v + $c] = fma(vec4<f32>(rows$v[$c]), columns, (*scores)[4 * $v + $c]);
        //! end
        //! end
      }
      //! end
    }
  }
}

// Loads what one invocation brings of DEPTH tokens: 2 tokens, GROUP_VECTORS vec4s each, the first of them at \`slot\`.
fn load_tokens(b: Rows, first: u32, slot: u32, y: u32) -> array<vec4<f32>, 2 * GROUP_VECTORS> {
  var values: array<vec4<f32>, 2 * GROUP_VECTORS>;
  //! unroll n 0 2
  //! unroll j 0 GROUP_VECTORS
  {
    let token = b.first + first + y + \${n}u * ROW_GROUPS;
    let pair = 2u * (slot + \${j}u * COLUMN_THREADS);
    let low = guarded_pair(b.source, token, b.head, pair);
    let high = guarded_pair(b.source, token, b.head, pair + 1u);
    values[$n * GROUP_VECTORS + $j] = vec4<f32>(low, high);
  }
  //! end
  //! end
  return values;
}

//! unroll g 0 DIM_GROUPS
// Turns \`weights\` round and round; in the end they are as they were.
fn add_group_$g(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  let row_slot = y * ROW_VECTORS;
  var values = load_tokens(b, 0u, x + \${g}u * RIGHT_SLOTS, y);
  for (var first = 0u; first < COLUMNS; first += DEPTH) {
    workgroupBarrier();
    //! unroll n 0 16/COLUMN_THREADS
    //! unroll v 0 ROW_VECTORS
    left[(x + \${n}u * COLUMN_THREADS) / UNROLL][(x + \${n}u * COLUMN_THREADS) % UNROLL][row_slot + \${v}u] = vec4<f32>(
      (*weights)[4 * $v][$n], (*weights)[4 * $v + 1][$n], (*weights)[4 * $v + 2][$n], (*weights)[4 * $v + 3][$n]);
    //! end
    //! end
    //! unroll n 0 2
    //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
    right[(y + \${n}u * ROW_GROUPS) / UNROLL][(y + \${n}u * ROW_GROUPS) % UNROLL][x + \${j}u % GROUP_VECTORS * COLUMN_THREADS] =
      values[$n * GROUP_VECTORS + $j % GROUP_VECTORS];
    //! end
    //! end
    workgroupBarrier();
    if (first + DEPTH < COLUMNS) { values = load_tokens(b, first + DEPTH, x + \${g}u * RIGHT_SLOTS, y); }
    //! unroll r 0 4*ROW_VECTORS
    //! if COLUMN_THREADS == 16
    (*weights)[$r] = (*weights)[$r].yzwx;
    //! elif COLUMN_THREADS == 8
    (*weights)[$r] = (*weights)[$r].zwxy;
    //! end
    //! end
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
        let dims$j = right[part][$k][x + \${j}u % GROUP_VECTORS * COLUMN_THREADS];
        //! end
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[part][$k][row_slot + \${v}u];
        //! unroll c 0 4
        //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
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
//! end

fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  //! unroll g 0 DIM_GROUPS
  add_group_$g(results, weights, b, thread);
  //! end
}
`,
  "bounded_below.wgsl": `// Values of which e^(-x) is made, no less than -80, where it would overflow. NaN stays NaN, of which max() may make a
// number. Include-only.

fn bounded_below(x: vec4<f32>) -> vec4<f32> {
  // From the first value below -80 to minus infinity; what NaN is, is beyond.
  let beyond = bitcast<vec4<u32>>(x) - vec4<u32>(0xc2a00001u);
  return select(x, vec4<f32>(-80.0), beyond < vec4<u32>(0x3ce00000u));
}
`,
  "cache_append.wgsl": `// Copies the keys and values of new tokens into the caches of a layer, token t into row positions[t].
//
// Shapes: k, v [tokens, width], each somewhere in the columns of a matrix; positions u32 [tokens]; key_cache, value_cache
// [max_length, width]. All are f32, or all f16 (QKV). Positions past the caches are skipped.
// One thread copies one pair of columns of both; pairs up to the pitch become zero.
//! include linear_grid.wgsl

const THREADS = 128u;

struct Params {
  tokens: u32, width: u32, max_length: u32,
  k_pitch: u32, k_column: u32, v_pitch: u32, v_column: u32, cache_pitch: u32, // in pairs, as is the width
}

//! if QKV == f32
alias Pair = vec2<f32>;
//! else
alias Pair = u32;
//! end

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
`,
  "code_place.wgsl": `// Where the codes of a matrix are, counted in words of four codes: LAYOUT is the format's, see MatrixLayout of
// src/numerics/formats.ts. Include-only.

// Words in a row of the codes, of which \`words\` hold values: the rest are zeros.
fn code_words(words: u32) -> u32 {
//! if LAYOUT == panels
  return (words + 15u) & ~15u;
//! else
  return words;
//! end
}

// Word \`word\` of row \`row\`, where a row has \`words\` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
//! if LAYOUT == panels
  return ((row >> 7u) * (words >> 4u) + (word >> 4u)) * 2048u + (row & 127u) * 16u + (word & 15u);
//! else
  return row * words + word;
//! end
}
`,
  "column_scales.wgsl": `// What is quantised of a row's values: with COLUMN_SCALES, they are divided by a scale per column first. Include-only.

//! if COLUMN_SCALES
@group(0) @binding(8) var<storage, read> column_scales: array<vec4<f32>>;

fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value / column_scales[at]; }
//! else
fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value; }
//! end
`,
  "column_sums.wgsl": `// Partial sums of columns: one row of \`partials\` per chunk of rows,
//   partials[k][c] = alpha · Σ_{r in chunk k} input[r][column + c]
//
// Shapes: input f32 [rows, ·], of which \`cols\` columns from \`column\` on, a multiple of 4, are added; partials f32
// [chunks, cols], zero up to the pitch. sum_partials.wgsl adds the chunks. With PRODUCT the elements are times those of
// \`times\`, a matrix like input, and the sums times factors[column + c].
// Idea: one thread per vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough
// threads.

struct Params {
  rows: u32,
  cols: u32,
  column: u32,
  pitch: u32,
  vectors: u32, // vec4s in a row of partials
  chunk_rows: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;
//! if PRODUCT
@group(0) @binding(3) var<storage, read> times: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> factors: array<vec4<f32>>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.vectors) { return; }
  let first = group.y * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  // Columns behind the last are made zero: the matrix may hold others there.
  let inside = 4u * id.x + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.cols);
  // A vector that is all outside only has to read inside.
  let vector = min(id.x, (params.cols - 1u) / 4u);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
//! if PRODUCT
    let at = (row * params.pitch + params.column) / 4u + vector;
    sum += input[at] * times[at];
//! else
    sum += input[(row * params.pitch + params.column) / 4u + vector];
//! end
  }
//! if PRODUCT
  sum *= factors[params.column / 4u + vector];
//! end
  partials[group.y * params.vectors + id.x] = select(vec4<f32>(), params.alpha * sum, inside);
}
`,
  "columns.wgsl": `// Columns of a matrix, to columns of another one: as they are, times a factor, or added to what is there (MODE copied,
// scaled, added).
//
// Shapes: \`from\` and \`to\` by rows, each with a pitch and a first column; f32, or with MODE copied words of any type: two
// elements of f16. Memory-bound; one thread per element or word, neighbours side by side.
//! include linear_grid.wgsl

//! if MODE == copied
alias Element = u32;
//! else
alias Element = f32;
//! end

struct Params {
  rows: u32,
  cols: u32,
  column: u32, pitch: u32, // of \`from\`
  to_column: u32, to_pitch: u32,
  factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<Element>;
@group(0) @binding(2) var<storage, read_write> target_columns: array<Element>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  if (item >= params.rows * params.cols) { return; }
  let row = item / params.cols;
  let c = item % params.cols;
  let value = source[row * params.pitch + params.column + c];
  let at = row * params.to_pitch + params.to_column + c;
//! if MODE == copied
  target_columns[at] = value;
//! elif MODE == scaled
  target_columns[at] = params.factor * value;
//! else
  target_columns[at] += value;
//! end
}
`,
  "copy_codes.wgsl": `// Copies rows of codes of one byte into panels: to[to_row + r][c] = from[from_row + r][c], zeros past the columns.
//
// The source is in panels too (FROM panels), or row-major with from_words words per row. One thread per word.
//! include linear_grid.wgsl
//! include code_place.wgsl LAYOUT=panels

struct Params {
  rows: u32,
  words: u32,      // in a row of the destination
  from_words: u32, // in a row of the source
  from_row: u32,
  to_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> target_codes: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.words;
  let word = item % params.words;
  if (row >= params.rows) { return; }
//! if FROM == panels
  let codes = source[code_place(params.from_row + row, word, params.from_words)];
//! else
  let inside = word < params.from_words;
  let at = (params.from_row + row) * params.from_words + min(word, params.from_words - 1u);
  let codes = select(0u, source[at], inside);
//! end
  target_codes[code_place(params.to_row + row, word, params.words)] = codes;
}
`,
  "count.wgsl": `// Counts: counter[0] += 1, by a single invocation.

@group(0) @binding(0) var<storage, read_write> counter: array<u32>;

@compute @workgroup_size(1)
fn main() {
  counter[0] += 1u;
}
`,
  "cross_entropy.wgsl": `// Cross-entropy of a chunk of rows, and its gradient:
//   row_loss[first_row + r] = log Σ_c e^logits[r][c] − logits[r][target]            (0 where target < 0: ignored)
//   gradient[r][c] = (softmax(logits[r])[c] − [c = target]) · loss_scale            (zeros where ignored)
// which goes nowhere (GRADIENT none), in place of the logits (logits), or goes out as codes (codes): codes of CODES with
// one scale per row, as quantize_rows.wgsl writes them.
//
// Shapes: logits f32 [rows, vocab]; targets i32 and row_loss f32 for all rows of the batch, of which this chunk begins at
// first_row; codes [rows, vocab], scales [rows]. Targets are below vocab, and taken as the last class if not.
// With SOFT_CAP the logits above are cap · tanh(x / cap) of those that are read, and the gradient is that of these.
// Idea: one workgroup per row. Every thread keeps a running maximum and the sum of exponentials relative to it, rescaled
// when the maximum grows, so that logits are read once for the loss and once for the gradient. The largest magnitude of
// the gradient needs no look at the row: it is the target's, 1 − p, which all other probabilities share between them. The
// slope of a cap only makes it less.
//! include linear_grid.wgsl
//! include workgroup_max.wgsl

const LOWEST = -3.4028234e38;
const LEAST_MASS = 0x1p-24; // of the classes besides the target: what rounding of 1 − p may hide

struct Params {
  rows: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  first_row: u32,
//! if SOFT_CAP
  soft_cap: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> row_loss: array<f32>;
//! if GRADIENT != none
//! include step_state.wgsl
@group(0) @binding(4) var<storage, read> inputs: StepInputs;
//! end
//! if GRADIENT == logits
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;

fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  logits[at] = gradient;
}
//! else
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
//! end
//! if GRADIENT == codes
//! include row_codes.wgsl

fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  write_codes(at, gradient * scale);
}
//! end

fn columns_of(vector: u32) -> vec4<u32> {
  return 4u * vector + vec4<u32>(0u, 1u, 2u, 3u);
}

//! if SOFT_CAP
//! include tanh.wgsl
//! end

// Four logits; what lies beyond the classes is too low to count.
fn logits_of(row: u32, vector: u32) -> vec4<f32> {
  //! if SOFT_CAP
  let x = params.soft_cap *
    accurate_tanh(logits[row * params.vectors + min(vector, params.vectors - 1u)] / params.soft_cap);
  //! else
  let x = logits[row * params.vectors + min(vector, params.vectors - 1u)];
  //! end
  return select(vec4<f32>(LOWEST), x, columns_of(vector) < vec4<u32>(params.vocab));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let token = params.first_row + row;
  if (targets[token] < 0) {
    if (thread == 0u) {
      row_loss[token] = 0.0;
//! if GRADIENT == codes
      scales[row] = 1.0;
//! end
    }
//! if GRADIENT != none
    for (var v = thread; v < params.vectors; v += THREADS) { write_gradient(start + v, vec4<f32>(), 1.0); }
//! end
    return;
  }
  let label = min(u32(targets[token]), params.vocab - 1u);

  var largest_logit = LOWEST;
  var total = 0.0;
  for (var v = thread; v < params.vectors; v += 2u * THREADS) {
    let x = logits_of(row, v);
    let y = logits_of(row, v + THREADS);
    let both = max(x, y);
    let grown = max(largest_logit, max(max(both.x, both.y), max(both.z, both.w)));
    total = total * exp(largest_logit - grown) + dot(exp(x - grown) + exp(y - grown), vec4<f32>(1.0));
    largest_logit = grown;
  }
  let row_largest = workgroup_max(largest_logit, thread);
  let row_total = workgroup_sum(total * exp(largest_logit - row_largest), thread);

  //! if SOFT_CAP
  let label_logit = logits_of(row, label / 4u)[label % 4u] - row_largest;
  //! else
  let label_logit = logits[start + label / 4u][label % 4u] - row_largest;
  //! end
  if (thread == 0u) { row_loss[token] = log(row_total) - label_logit; }

//! if GRADIENT != none
  let inverse_total = 1.0 / row_total;
//! if GRADIENT == codes
  let scale = scale_of(bitcast<u32>(max(1.0 - exp(label_logit) * inverse_total, LEAST_MASS) * inputs.loss_scale));
  if (thread == 0u) { scales[row] = scale; }
//! else
  let scale = 1.0;
  storageBarrier(); // the label's logit is read before it is overwritten
//! end
  for (var v = thread; v < params.vectors; v += THREADS) {
    let columns = columns_of(v);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    //! if SOFT_CAP
    let capped = logits_of(row, v);
    let tangent = capped / params.soft_cap;
    let gradient = (exp(capped - row_largest) * inverse_total - one_hot) * inputs.loss_scale * (1.0 - tangent * tangent);
    //! else
    let gradient = (exp(logits_of(row, v) - row_largest) * inverse_total - one_hot) * inputs.loss_scale;
    //! end
    write_gradient(start + v, select(vec4<f32>(), gradient, columns < vec4<u32>(params.vocab)), scale);
  }
//! end
}
`,
  "delta_chunk.wgsl": `// The gates of a chunk of tokens of a value head in workgroup memory. Include-only.

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
`,
  "delta_conv.wgsl": `// output[t][c] = silu(Σ_tap weight[c][tap] · input[t − (WIDTH − 1) + tap][c]): see delta_conv_sums.wgsl.
//
// Shapes: input f32 [tokens, ·], the merged output of a linear layer; output f32 [tokens, channels]. One thread per
// element of the output up to its pitch, whose last columns become zero.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32, // channels of q, and of k
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32,
//! if HISTORY
  history_pitch: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
//! if HISTORY
@group(0) @binding(4) var<storage, read> history: array<f32>;
//! else
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
//! end
//! include delta_conv_sums.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens) { return; }
  var y = 0.0;
  if (channel < params.channels) {
    let sum = conv_sum(token, channel);
    y = sum * sigmoid(sum);
  }
  output[item] = y;
}
`,
  "delta_conv_backward.wgsl": `// The gradient of the input of delta_conv.wgsl from that of its sums:
//   d_input[t][c] = Σ_back weight[c][WIDTH − 1 − back] · d[t + back][c], over the tokens of the document.
//
// Shapes: d f32 [tokens, channels]; d_input f32 [tokens, ·], of which the columns of q, k and v are written. One thread
// per element of d.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_input: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;

//! include delta_conv_columns.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens || channel >= params.channels) { return; }
  let end = min(documents[token].y, params.tokens);
  var sum = 0.0;
  for (var back = 0u; back < WIDTH; back++) {
    if (token + back < end) {
      sum += weight[channel * WIDTH + (WIDTH - 1 - back)] * d[item + back * params.output_pitch];
    }
  }
  d_input[token * params.input_pitch + column_of(channel)] = sum;
}
`,
  "delta_conv_columns.wgsl": `// Where the channels of a delta net's convolution, q, k and v beside each other, are in the merged output of the linear
// layer before it: each of the three begins at a column of its own. Include-only.

fn column_of(channel: u32) -> u32 {
  if (channel < params.keys) { return channel; }
  if (channel < 2u * params.keys) { return channel - params.keys + params.k_column; }
  return channel - 2u * params.keys + params.v_column;
}
`,
  "delta_conv_history.wgsl": `// Moves the history of delta_conv.wgsl on: its last WIDTH − 1 tokens become those of the history and the input together.
//
// Shapes: input f32 [tokens, ·], history f32 [WIDTH − 1, channels]. One thread per channel, which reads each row of the
// history before it writes it, as rows only move to the front.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, history_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> history: array<f32>;

//! include delta_conv_columns.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let channel = linear_index(group, groups) * THREADS + thread;
  if (channel >= params.channels) { return; }
  for (var row = 0u; row < WIDTH - 1; row++) {
    let at = params.tokens + row; // counted from the first token of the old history
    var x = 0.0;
    if (at < WIDTH - 1) { x = history[at * params.history_pitch + channel]; }
    else { x = input[(at - (WIDTH - 1)) * params.input_pitch + column_of(channel)]; }
    history[row * params.history_pitch + channel] = x;
  }
}
`,
  "delta_conv_slope.wgsl": `// The gradient of the activation of delta_conv.wgsl, in place: d[t][c] *= silu'(sum[t][c]), with the sums made again.
//
// Shapes: input f32 [tokens, ·], d f32 [tokens, channels]. One thread per element.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;
//! include delta_conv_sums.wgsl HISTORY=false

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.output_pitch;
  let channel = item % params.output_pitch;
  if (token >= params.tokens || channel >= params.channels) { return; }
  let sum = conv_sum(token, channel);
  let s = sigmoid(sum);
  d[item] *= s * (1.0 + sum * (1.0 - s));
}
`,
  "delta_conv_sums.wgsl": `// The causal convolution of a delta net, each channel by itself, before its activation. Include-only.
//
// Channels are q, k and v beside each other; in the merged output of the linear layer before them each begins at a column
// of its own. The weight is f32 [channels, WIDTH], of which the last tap is the token itself. A token sees no token of
// another document; with HISTORY all are of one, and those before the first are in history, f32 [WIDTH − 1, channels].

//! include delta_conv_columns.wgsl

fn conv_sum(token: u32, channel: u32) -> f32 {
  let column = column_of(channel);
  var sum = 0.0;
//! if HISTORY
  for (var tap = 0u; tap < WIDTH; tap++) {
    let at = token + tap; // counted from the first token of the history
    var x = 0.0;
    if (at < WIDTH - 1) { x = history[at * params.history_pitch + channel]; }
    else { x = input[(at - (WIDTH - 1)) * params.input_pitch + column]; }
    sum += weight[channel * WIDTH + tap] * x;
  }
//! else
  let start = documents[token].x;
  for (var tap = 0u; tap < WIDTH; tap++) {
    let back = WIDTH - 1 - tap;
    if (token >= start + back) {
      sum += weight[channel * WIDTH + tap] * input[(token - back) * params.input_pitch + column];
    }
  }
//! end
  return sum;
}

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-max(x, -80.0))); }
`,
  "delta_conv_weight_gradient.wgsl": `// The gradient of the weight of delta_conv.wgsl from that of its sums, in shares of the tokens:
//   partials[share][c · WIDTH + tap] = Σ_t d[t][c] · input[t − (WIDTH − 1) + tap][c], over tokens whose document has both.
//
// Shapes: d f32 [tokens, channels], input f32 [tokens, ·], partials f32 [shares, channels · WIDTH], zero up to the pitch.
// One thread per weight and share.

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32, partials_pitch: u32,
  share_tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;

//! include delta_conv_columns.wgsl

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.partials_pitch) { return; }
  let channel = id.x / WIDTH;
  let back = WIDTH - 1 - id.x % WIDTH;
  let first = group.y * params.share_tokens;
  // Columns behind the last have no tokens.
  let last = select(first, min(first + params.share_tokens, params.tokens), channel < params.channels);
  let column = column_of(channel);
  var sum = 0.0;
  for (var token = first; token < last; token++) {
    if (token >= documents[token].x + back) {
      sum += d[token * params.output_pitch + channel] * input[(token - back) * params.input_pitch + column];
    }
  }
  partials[group.y * params.partials_pitch + id.x] = sum;
}
`,
  "delta_gate_gradients.wgsl": `// The gradients of delta_scan.wgsl with respect to its gates, for CHUNK tokens of a value head at a time, from what both
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
//! include workgroup_reduce.wgsl
//! include delta_chunk.wgsl

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
`,
  "delta_gate_values.wgsl": `// The functions that gates of a delta net are made of. Include-only.

//! include bounded_below.wgsl

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-bounded_below(vec4<f32>(x)).x)); }

// log(1 + e^x), without an overflow. NaN stays NaN.
fn softplus(x: f32) -> f32 {
  let value = max(x, 0.0) + log(1.0 + exp(-min(abs(x), 80.0)));
  return select(value, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
`,
  "delta_gates.wgsl": `// The gates of a delta net, from columns of the linear layer before it:
//   gates[t][h] = −exp(a_log[h]) · softplus(a[t][h] + dt_bias[h]), the log of what a state is multiplied by,
//   gates[t][heads + h] = sigmoid(b[t][h]), how far it is corrected.
//
// Shapes: input f32 [tokens, ·], gates f32 [tokens, 2 · heads], a_log and dt_bias f32 [heads]. One thread per gate pair.
//! include linear_grid.wgsl
//! include delta_gate_values.wgsl

struct Params {
  tokens: u32,
  heads: u32,
  a_column: u32, b_column: u32,
  input_pitch: u32, gates_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> a_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> gates: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.heads;
  let head = item % params.heads;
  if (token >= params.tokens) { return; }
  let at = token * params.input_pitch + head;
  let out = token * params.gates_pitch + head;
  gates[out] = -exp(a_log[head]) * softplus(input[at + params.a_column] + dt_bias[head]);
  gates[out + params.heads] = sigmoid(input[at + params.b_column]);
}
`,
  "delta_gates_backward.wgsl": `// The gradient of delta_gates.wgsl: from d_gates, laid out like gates, to the columns of a and b in d_input. With DECAYS
// also decays[t][h] = d_gates[t][h] · gates[t][h], whose sums over the tokens are the gradient of a_log; that of dt_bias
// are the sums of the columns of a.
//
// Shapes: as there; decays f32 [tokens, heads]. One thread per gate pair.
//! include linear_grid.wgsl
//! include delta_gate_values.wgsl

struct Params {
  tokens: u32,
  heads: u32,
  a_column: u32, b_column: u32,
  input_pitch: u32, gates_pitch: u32,
//! if DECAYS
  decays_pitch: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> a_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read> gates: array<f32>;
@group(0) @binding(5) var<storage, read> d_gates: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_input: array<f32>;
//! if DECAYS
@group(0) @binding(7) var<storage, read_write> decays: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.heads;
  let head = item % params.heads;
  if (token >= params.tokens) { return; }
  let at = token * params.input_pitch + head;
  let from_at = token * params.gates_pitch + head;
  let d_decay = d_gates[from_at];
  let beta = gates[from_at + params.heads];
  d_input[at + params.a_column] = -d_decay * exp(a_log[head]) * sigmoid(input[at + params.a_column] + dt_bias[head]);
  d_input[at + params.b_column] = d_gates[from_at + params.heads] * beta * (1.0 - beta);
//! if DECAYS
  decays[token * params.decays_pitch + head] = d_decay * gates[from_at];
//! end
}
`,
  "delta_key_gradients.wgsl": `// The gradients of delta_scan.wgsl with respect to queries and keys, for CHUNK tokens of a key head at a time, from what
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
            dq_$n += s * values[\${n}u * TILE + j];
            dk_$n += s * values[(TOKENS + \${n}u) * TILE + j];
            to_$n += d * values[(2u * TOKENS + \${n}u) * TILE + j];
//! end
          }
        }
//! unroll n 0 TOKENS
        let at_$n = (first + min(t0 + \${n}u, count - 1u)) * params.pitch + row;
        let from_$n = qkv[at_$n + q_column] * dq_$n + qkv[at_$n + k_column] * dk_$n;
        terms[\${n}u * THREADS + thread] = select(vec2<f32>(), vec2<f32>(from_$n, qkv[at_$n + k_column] * to_$n), known);
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
          dq_$n += of_pairs[(t0 + \${n}u) * CHUNK + s] * k;
          dk_$n += of_pairs[s * CHUNK + t0 + \${n}u] * q + of_keys[(t0 + \${n}u) * CHUNK + s] * k;
//! end
        }
//! unroll n 0 TOKENS
        if (known && t0 + \${n}u < count) {
          let at = (first + t0 + \${n}u) * params.pitch + i;
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
`,
  "delta_norm.wgsl": `// Divides every query and key of a delta net by its norm, in place: y = x · rstd, and queries · query_scale too, with
// rstd = 1 / sqrt(Σ x² + 1e-6). With STATISTICS rstd f32 [tokens, 2 · key_heads] is kept for the gradient.
//
// Shapes: qkv f32 [tokens, ·], of which the first columns are the heads of q, then those of k, key_dim each. One
// workgroup per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32, // heads of all tokens
  key_heads: u32,
  key_dim: u32,
  pitch: u32,
  query_scale: f32,
  rstd_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
//! if STATISTICS
@group(0) @binding(2) var<storage, read_write> rstd: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / (2u * params.key_heads);
  let head = row % (2u * params.key_heads);
  let at = token * params.pitch + head * params.key_dim;
  var squares = 0.0;
  for (var i = thread; i < params.key_dim; i += THREADS) { squares += qkv[at + i] * qkv[at + i]; }
  let row_rstd = 1.0 / sqrt(workgroup_sum(squares, thread) + 1e-6);
//! if STATISTICS
  if (thread == 0u) { rstd[token * params.rstd_pitch + head] = row_rstd; }
//! end
  let factor = row_rstd * select(1.0, params.query_scale, head < params.key_heads);
  for (var i = thread; i < params.key_dim; i += THREADS) { qkv[at + i] *= factor; }
}
`,
  "delta_norm_backward.wgsl": `// The gradient of delta_norm.wgsl, in place: with s the factor of a row (query_scale, or 1) and y what it became,
//   d = rstd · (s · d − y · (y · d) / s).
//
// Shapes: as there; d f32 [tokens, ·] has the columns of qkv. One workgroup per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  key_heads: u32,
  key_dim: u32,
  pitch: u32,
  query_scale: f32,
  rstd_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / (2u * params.key_heads);
  let head = row % (2u * params.key_heads);
  let at = token * params.pitch + head * params.key_dim;
  var product = 0.0;
  for (var i = thread; i < params.key_dim; i += THREADS) { product += qkv[at + i] * d[at + i]; }
  let scale = select(1.0, params.query_scale, head < params.key_heads);
  let pull = workgroup_sum(product, thread) / scale;
  let row_rstd = rstd[token * params.rstd_pitch + head];
  for (var i = thread; i < params.key_dim; i += THREADS) {
    d[at + i] = row_rstd * (scale * d[at + i] - qkv[at + i] * pull);
  }
}
`,
  "delta_scan.wgsl": `// The gated delta rule, token by token: of every value head a state S [key_dim, value_dim], zero where a document begins,
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
  var s_$i = states[state_at + \${i}u];
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
      states[at + \${i}u] = s_$i;
//! end
    }
//! end
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
//! unroll i 0 VECTORS
    let q_$i = staged[q_at + \${i}u];
    let k_$i = staged[k_at + \${i}u];
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
    states[state_at + \${i}u] = s_$i;
//! end
  }
//! end
}
`,
  "delta_scan_backward.wgsl": `// The gradient of delta_scan.wgsl with respect to its states, token by token from the last. With D that of the state
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
      states[at + \${i}u] = d_$i;
//! end
    }
    let q_at = stage(token, head, thread) + part * VECTORS;
    let k_at = q_at + KEY_VECTORS;
    var sums = vec3<f32>();
//! unroll i 0 VECTORS
    let q_$i = staged[q_at + \${i}u];
    let k_$i = staged[k_at + \${i}u];
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
`,
  "delta_scan_shared.wgsl": `// What the scans of a delta net along the tokens share. Include-only.
//
// A state [key_dim, value_dim] has columns that do not depend on each other: a workgroup has COLUMNS of them, each in the
// registers of PARTS threads with VECTORS vec4s of its rows, KEY_VECTORS together; rows behind key_dim are zero. In memory
// a column is KEY_VECTORS vec4s. Tokens come one after another; queries and keys of a token, and the sums of the parts, go
// through workgroup memory, of which there are two so that a token needs two barriers.
//
// Documents do not depend on each other either: a workgroup has those that begin among \`segment\` tokens.

var<workgroup> staged: array<vec4<f32>, STAGED>; // of two tokens: query, key
var<workgroup> parts: array<vec3<f32>, SUMMED>; // of two tokens

// Four components of a query or key that begins at \`at\`.
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
  sum += parts[first + \${p}u * COLUMNS + thread % COLUMNS];
//! end
  return sum;
}
`,
  "dequantize_rows.wgsl": `// out[r][c] = decode(codes[r][c]) / scales[r]: codes back to f32; less the original (SUBTRACT), the quantisation error.
// The codes begin at row first_row of theirs. One thread per vec4.
//! include linear_grid.wgsl
//! include code_place.wgsl
//! include $CODES_INCLUDE

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the output
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<$CODES_WORD>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if SUBTRACT
@group(0) @binding(4) var<storage, read> subtract: array<vec4<f32>>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let four = codes[code_place(params.first_row + row, item % params.vectors, code_words(params.vectors))];
//! if CODES == f16
  var value = vec4<f32>(unpack2x16float(four.x), unpack2x16float(four.y)) / scales[row];
//! else
  var value = unpack4_$CODES(four) / scales[row];
//! end
//! if SUBTRACT
  value -= subtract[item];
//! end
  out[item] = value;
}
`,
  "dot4.wgsl": `// Exact sums a[i] · b[i] of four signed bytes each, packed in a u32, the first in the lowest bits. Include-only.
//
// PACKED_DOT: WGSL has it built in (language feature packed_4x8_integer_dot_product), and GPUs as one instruction.

fn dot4(a: u32, b: u32) -> i32 {
//! if PACKED_DOT
  return dot4I8Packed(a, b);
//! else
  const UP = vec4<u32>(24u, 16u, 8u, 0u);
  const DOWN = vec4<u32>(24u);
  let products = ((vec4<i32>(bitcast<i32>(a)) << UP) >> DOWN) * ((vec4<i32>(bitcast<i32>(b)) << UP) >> DOWN);
  return products.x + products.y + products.z + products.w;
//! end
}

// The same of sixteen.
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}
`,
  "dropout.wgsl": `// Dropout: out[r][c] (+)= kept ? scale · input[r][c] : 0, where an element is kept if its random word is not below
// \`threshold\`.
//
// Shapes: input, out f32 [rows, cols], by rows with a pitch; the columns beyond cols become or stay zero. state u32:
// the number of the micro-batch and the two words of the key. ACCUMULATE adds to what is there.
// Idea: counter-based as random.wgsl: a word depends on the key, the micro-batch, the tensor and the place only, so the
// backward pass, and a forward pass that is computed again, make the same mask without storing it.
//! include linear_grid.wgsl
//! include mix.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  tensor: u32,
  threshold: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let first = mix(mix(state[0] + state[1]) + state[2] + params.tensor * 0x9e3779b9u);
  let second = mix(first ^ state[1]);
  let col = 4u * (item % params.vectors);
  let place = vec4<u32>(row * params.cols + col) + vec4<u32>(0u, 1u, 2u, 3u);
  var value = vec4<f32>();
  let x = input[item];
//! unroll i 0 4
  if (col + \${i}u < params.cols && mix(mix(place[$i] + first) + second) >= params.threshold) {
    value[$i] = params.scale * x[$i];
  }
//! end
//! if ACCUMULATE
  out[item] += value;
//! else
  out[item] = value;
//! end
}
`,
  "embedding.wgsl": `// Embedding: output[t] = table[ids[t]], with SCALED times params.scale. With SLAB the table is a slab of the embedding,
// rows from params.first on, and tokens whose row is in another slab are left alone.
//
// Shapes: ids [tokens], table [vocab, cols] in f32 or f16, output [tokens, cols] f32. Ids are below vocab, and taken
// as the last if not.
// Idea: one thread per four columns; neighbours read and write side by side. f16 is unpacked from u32, which needs no f16
// feature. Columns up to the pitch are copied along, as they are zero in the table.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
//! if SLAB
  first: u32,
  rows: u32,
//! end
//! if SCALED
  scale: f32,
//! end
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
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
//! if SLAB
  let id = min(ids[token], params.vocab - 1u) - params.first; // of slabs behind: wraps around
  if (id >= params.rows) { return; }
  let values = table[id * params.vectors + item % params.vectors];
//! else
  let values = table[min(ids[token], params.vocab - 1u) * params.vectors + item % params.vectors];
//! end
//! if F16
  let row = vec4<f32>(unpack2x16float(values.x), unpack2x16float(values.y));
//! else
  let row = values;
//! end
//! if SCALED
  output[item] = params.scale * row;
//! else
  output[item] = row;
//! end
}
`,
  "embedding_backward.wgsl": `// Gradient of the embedding table: d_table[v] += Σ_{t: ids[t] = v} d_output[t], in the order of t; with SCALED the sum is
// multiplied by params.scale. With SLAB d_table is a slab: v counts from params.first.
//
// Shapes: ids [tokens], d_output [tokens, cols], d_table [vocab, cols], f32. What d_table holds stays in the sum: with
// tied weights, the gradient of the lm_head.
// Idea: scattering would need float atomics and lose the order. Instead a workgroup owns THREADS vec4 columns of one
// vocabulary row and looks through all ids, THREADS at a time: every thread compares one id and sets a bit if it
// matches, then all walk the set bits. Most rows match nothing and only read the ids, which stay in the cache.
//! include linear_grid.wgsl

const WORDS = THREADS / 32;

struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  blocks: u32,  // workgroups per row
//! if SLAB
  first: u32,
//! end
//! if SCALED
  scale: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_table: array<vec4<f32>>;

var<workgroup> matches: array<atomic<u32>, WORDS>; // bit t of the tile: token t has this row's id

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups);
  let row = item / params.blocks;
  if (row >= params.vocab) { return; }
  let column = item % params.blocks * THREADS + thread;
  var sum = vec4<f32>();
  var found = false;
  for (var first = 0u; first < params.tokens; first += THREADS) {
    if (thread < WORDS) { atomicStore(&matches[thread], 0u); }
    workgroupBarrier();
    let token = first + thread;
//! if SLAB
    if (token < params.tokens && ids[token] == params.first + row) { atomicOr(&matches[thread / 32u], 1u << (thread % 32u)); }
//! else
    if (token < params.tokens && ids[token] == row) { atomicOr(&matches[thread / 32u], 1u << (thread % 32u)); }
//! end
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
//! if SCALED
  sum *= params.scale;
//! end
  if (found && column < params.vectors) { d_table[row * params.vectors + column] += sum; }
}
`,
  "falqon_codes_of_b.wgsl": `// B of one part of a merged layer as codes, for the gradient of x·Aᵀ, G·B, from the codes of G: its columns are divided
// by the scales of W's rows, so B's rows are multiplied by them, and by one scale s for the part.
//
// codes[first + j][i] = encode(s · s_W[i] · b[i][j]) for a row i of the merged layer that is of this part, else 0.
// Transposed, and zero outside the part, so that all parts are the right operand of one product.
//
// Shapes: b f32 [rows, rank], columns up to a multiple of 16 zero; scales f32 of all rows of the merged weight, this
// part's from w_row on; largest f32 [blocks], see falqon_product.wgsl; codes [rows of all A, width of the layer];
// column_scales f32 [rows of all A] receives s for this part's rows, or INVERSE 1 / s.
// Idea: a workgroup of 256 makes 64 columns of up to 64 rows of codes. Invocations side by side read along j.
//! include $CODES_INCLUDE
//! include code_place.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  b_pitch: u32,
  w_row: u32,
  first: u32,  // row of codes
  words: u32,  // of four codes in a row of codes, those beyond the width included
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> column_scales: array<f32>;

// An element of b times the scale of its row; 0 outside the part.
fn scaled(column: u32, j: u32) -> f32 {
  if (column < params.w_row || column - params.w_row >= params.rows) { return 0.0; }
  return b[(column - params.w_row) * params.b_pitch + j] * scales[column];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.blocks; i += THREADS) { mine = max(mine, bitcast<u32>(largest[i])); }
  let bits = workgroup_max_bits(mine, thread);
  let amax = bitcast<f32>(bits);
  // NaN where B has NaN or infinity, as in row_scale.wgsl.
  let finite = select($CODES_TOP / amax, 1.0, amax < 0x1p-100);
  let scale = bitcast<f32>(select(bitcast<u32>(finite), bits | 0x7fc00000u, bits >= 0x7f800000u));
  let j = group.y * 64u + thread % 64u;
  if (j >= params.b_pitch) { return; }
  let row = params.first + j;
  if (group.x == 0u && thread < 64u) {
//! if INVERSE
    column_scales[row] = 1.0 / scale;
//! else
    column_scales[row] = scale;
//! end
  }
  for (var w = thread / 64u; w < 16u; w += THREADS / 64u) {
    let word = group.x * 16u + w;
    if (word < params.words) {
      let column = 4u * word;
      let values = vec4<f32>(scaled(column, j), scaled(column + 1u, j), scaled(column + 2u, j), scaled(column + 3u, j));
      codes[code_place(row, word, params.words)] = pack4_$CODES(values * scale);
    }
  }
}
`,
  "falqon_flush.wgsl": `// Bookkeeping of written rows. For row i = selected[p]:
//   RESIDUE   b[i][j] −= residue[p][j] / (column_factors[j] · row_factors[i])    the share that rounding realized
//   else      flushed[i] = b[i], delta[i] = 0                                    nothing of the row is pending
// One thread per element.
//! include linear_grid.wgsl

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
  let item = linear_index(group, groups) * 64u + thread;
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
  "falqon_part.wgsl": `// Parameters and bindings of the kernels that write rows of the weight, or measure what writing them will do
// (MEASURES). Include-only.
//
// Shapes: weight codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on, with HALVES the
// second half of A's rows from second_row on; base codes [outputs, inputs], the frozen reference or (IN_PLACE) the
// weight itself; b and b_change f32 [outputs, rank], columns up to the pitch zero; selected lists the rows to write, ALL_ROWS
// takes each.
//! include code_place.wgsl

struct Params {
//! if MEASURES
  rows: u32,
//! end
  count: u32,      // rows to write
  vectors: u32,    // u32s in a row of codes
  w_row: u32,
  base_row: u32,
  a_row: u32,
//! if HALVES
  second_row: u32,
//! end
  rank: u32,
  b_pitch: u32,
//! if CHANGE
  change_vectors: u32, // vectors of columns in a row of change
//! end
//! if STOCHASTIC
  row_words: u32,  // eights of columns in a row
  key_low: u32,    // of the tensor
  key_high: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
//! if MEASURES
@group(0) @binding(1) var<storage, read> weight: array<u32>;
//! else
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;
//! end
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if STOCHASTIC
//! include falqon_rounding.wgsl
//! end
//! if RECOVERS
@group(0) @binding(6) var<storage, read> b_change: array<f32>;
//! end
//! if !ALL_ROWS
@group(0) @binding(5) var<storage, read> selected: array<u32>;
//! end

fn place_of(row: u32, vector: u32) -> u32 { return code_place(row, vector, params.vectors); }

// Row j of the factor on the right; with HALVES the second half of them lies elsewhere.
fn adapter_row(j: u32) -> u32 {
//! if HALVES
  let half = params.rank / 2u;
  return select(params.a_row, params.second_row - half, j >= half) + j;
//! else
  return params.a_row + j;
//! end
}

// The codes that vector \`vector\` of a row starts from.
//! if IN_PLACE
fn base_codes(row: u32, vector: u32) -> u32 { return weight[place_of(params.w_row + row, vector)]; }
//! else
@group(0) @binding(6) var<storage, read> base: array<u32>;

fn base_codes(row: u32, vector: u32) -> u32 { return base[place_of(params.base_row + row, vector)]; }
//! end
`,
  "falqon_product.wgsl": `// What a step that changed both B and A changed their product by, as one product of twice the rank:
//   c·Δ(B·A) = c·(ΔB·A + B_old·ΔA) = [ΔB | B_old] · c·[A; ΔA]
// Writes the factor on the left, columns divided by the scales of the rows of codes on the right:
//   factor[i] = (c · ΔB[i][j] / s_A[j] …, c · B_old[i][j] / s_ΔA[j] …)
//
// Shapes: b, change f32 [rows, rank], both with columns up to \`half\` zero, which is the rank rounded up to whole
// sixteens; scales f32 of all rows of the merged weight, this part's W from w_row on, its A from a_row, its ΔA from
// second_row; factor f32 [rows, 2·half].
// largest f32 [rows / 64] receives the largest |b[i][j]| · s_W[i] of each 64 rows, which B is encoded by
// (falqon_codes_of_b.wgsl).
// Idea: one workgroup per 64 rows, a vec4 of b per invocation at a time; bound by memory.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of b
  w_row: u32,
  a_row: u32,
  second_row: u32,
  lora_scale: f32, // c
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> change: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> factor: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> largest: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var item = thread; item < 64u * params.vectors; item += THREADS) {
    let row = group.x * 64u + item / params.vectors;
    let v = item % params.vectors;
    if (row >= params.rows) { break; }
    let value = b[row * params.vectors + v];
    let moved = change[row * params.vectors + v];
    let to = 2u * row * params.vectors + v;
    factor[to] = moved * (params.lora_scale / scales[params.a_row / 4u + v]);
    factor[to + params.vectors] = (value - moved) * (params.lora_scale / scales[params.second_row / 4u + v]);
    let w_row = params.w_row + row;
    let q = bitcast<vec4<u32>>(value * scales[w_row / 4u][w_row % 4u]) & vec4<u32>(0x7fffffffu);
    mine = max(mine, max(max(q.x, q.y), max(q.z, q.w)));
  }
  let of_group = workgroup_max_bits(mine, thread);
  if (thread == 0u) { largest[group.x] = bitcast<f32>(of_group); }
}
`,
  "falqon_rounding.wgsl": `// The thresholds of stochastic rounding, bit-equal to tests/oracle/falqon_rounding.ts: a function of the tensor's key and
// the element, and where they TURN of the step, by integer arithmetic only. Include-only; the kernel's parameters have
// key_low, key_high and row_words.
//
// Where a code is the rounding of what the weight was before training and all that was added to it, an element keeps its
// threshold: its code is a function of the weight that is asked for, and no roundings add up. Where it is that of the code
// before and one step's change, they do add up. So from step to step each threshold goes on by the golden ratio of its
// range, by which any number of steps covers it evenly: changes that point the same way for some steps arrive almost
// exactly, where independent thresholds would be off by the root of their number.
//! if TURN
//! include step_state.wgsl

@group(0) @binding(9) var<storage, read> inputs: StepInputs;
//! end

// A word for columns 8·eight to 8·eight + 7 of a row: \`mix\` of their index, with half of the key before and half in its
// middle, so that tensors are not each other's shifts.
fn rounding_word(row: u32, eight: u32) -> u32 {
  var z = row * params.row_words + eight + params.key_low;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu + params.key_high;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}

// How far the thresholds have gone, in as many bits as the format takes.
fn rounding_turn() -> u32 {
//! if TURN
  return (inputs.step * 0x9e3779b9u) >> (32u - THRESHOLD_BITS);
//! else
  return 0u;
//! end
}

// The thresholds of four of these columns, the first or the last ones (half is 0 or 1), in the lower THRESHOLD_BITS, of
// at most 23. Products of the word's lower or upper 23 bits, so each number is as likely; the factors are such that the
// pairs of any two columns form a lattice with nearly the largest possible distances.
fn thresholds(word: u32, half: u32, turn: u32) -> vec4<u32> {
  return vec4<u32>(word >> (9u * half)) * vec4<u32>(0xcdc041d9u, 0x6427d34du, 0x963451dfu, 0xca9560a7u) + vec4<u32>(turn);
}
`,
  "falqon_row.wgsl": `// How a row of the weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// tests/oracle/falqon_update.ts. Include-only; constants from src/kernels/falqon/update_format.ts.
//
// Where it RECOVERS the base, that is what the codes were before training: with all of B, b, and what the last step changed it
// by, b_change, the codes before are made of those now and b - b_change, then the new ones of these and b. A kernel that has
// both sums AT_ONCE goes from the one to the other in values.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to so few bits that the product with a value of the format is exact
// in f32, and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.
//! include $CODES_INCLUDE

const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal
//! if FLAGS
const LARGEST_COEFFICIENT_BITS = 0x71800000u; // 2^100: from there on, sums could be infinite

// Codes know no NaN, or products do not see it. So a coefficient that is NaN, infinite or near it tells the host that the
// step is not finite: it ends the run, and nothing of this step is saved.
//! include step_state.wgsl
@group(0) @binding(8) var<storage, read_write> results: StepResults;
//! end

// Four β, each of an element of b with the factors of its column and its row.
fn coefficients(b: vec4<f32>, columns: vec4<f32>, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * columns) * rows);
  let magnitude = bits & vec4<u32>(0x7fffffffu);
  let vanishes = magnitude < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
//! if FLAGS
  if (any(magnitude >= vec4<u32>(LARGEST_COEFFICIENT_BITS))) { results.finite = 0u; } // all that store it store the same
//! end
//! if COEFFICIENT_HALF == none
  let cut = bits & vec4<u32>($COEFFICIENT_MASK);
//! else
  // A NaN is left alone: NVIDIA's has all bits set, and half a bit more would carry into the sign and make it a zero.
  let rounded = (bits + vec4<u32>($COEFFICIENT_HALF)) & vec4<u32>($COEFFICIENT_MASK);
  let cut = select(rounded, bits, magnitude > vec4<u32>(0x7f800000u));
//! end
  return bitcast<vec4<f32>>(select(cut, vec4<u32>(), vanishes));
}

//! if CODES == e4m3
// Values in this kernel are times 2^-8, as codes are cheaply decoded: an exact factor that changes no rounding.
const UNIT = 256.0;

// What sums are multiplied by for new_codes: 2^-CHANGE_SHIFT.
const CHANGE_SHIFT = 0u;

fn decode4(codes: u32) -> vec4<f32> { return unpack4_e4m3_scaled(codes); }

// The signs of four values in their places of a word of codes.
fn signs4(bits: vec4<u32>) -> u32 {
  return ((bits.x >> 24u) & 0x80u) | ((bits.y >> 16u) & 0x8000u) | ((bits.z >> 8u) & 0x800000u) | (bits.w & 0x80000000u);
}

// Magnitude codes, each plus an offset that one subtraction takes off the four together, and the signs of v. A NaN makes
// all four codes NaN: a row with a NaN in B has nothing else.
fn finish4(biased: vec4<u32>, offsets: u32, v: vec4<f32>) -> u32 {
  let magnitudes = biased.x + (biased.y << 8u) + (biased.z << 16u) + (biased.w << 24u) - offsets;
  let total = bitcast<u32>((v.x + v.y) + (v.z + v.w));
  return select(magnitudes | signs4(bitcast<vec4<u32>>(v)), 0x7f7f7f7fu, (total & 0x7fffffffu) > 0x7f800000u);
}

// The codes of v, rounded to nearest, ties to even: pack4_e4m3 in two thirds of its integer operations, of which the update
// has more than of any other.
fn nearest_codes(v: vec4<f32>) -> u32 {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u)) + vec4<u32>(20u << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power; // see encode4
  return finish4(steps + (power >> vec4<u32>(20u)), 0x2c2c2c28u, v); // 1064 · 0x01010101
}

//! if STOCHASTIC
const THRESHOLD_BITS = 19u;

// The codes of from + sum, each rounded to one of its two neighbours, to the nearer one with the greater probability. A
// magnitude in [2^e, 2^(e+1)), or subnormal with e the smallest exponent, plus 2^(e+1) is a count of 2^-19 steps of its
// codes in the mantissa of f32. The threshold of 19 bits is added, the fraction is cut off. What is a code already stays.
fn new_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return drawn_codes(decode4(codes) + sum, thresholds);
}

fn drawn_codes(v: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u));
  // Half of the power's bits are taken off, not all: what is left is the exponent field of the code.
  let steps = bitcast<vec4<u32>>(magnitude + 2.0 * bitcast<vec4<f32>>(power)) - (power >> vec4<u32>(1u)) +
    (thresholds & vec4<u32>(0x7ffffu));
  return finish4(steps >> vec4<u32>(19u), 0x9b9b9b98u, v); // 920 · 0x01010101
}
//! if RECOVERS

// The middles of the values that new_codes rounds to these codes by these thresholds. A code and a threshold tell the values, an
// interval of one step; its middle, less the sum, is nearest to the code before. Where the sum has led into larger steps, two
// codes may have come to be one: which of them it was is then a guess, off by one smaller step.
//
// The middle is 1/2 - threshold steps of codes away, by the places of codes: those are the bits of f32 from bit 20 on, or
// where they are subnormal, a number of 2^-17.
fn middles_of(codes: u32, thresholds: vec4<u32>) -> vec4<f32> {
  let magnitudes = vec4<u32>(codes << 20u, codes << 12u, codes << 4u, codes >> 4u) & vec4<u32>(0x07f00000u);
  let middles = bitcast<vec4<i32>>(magnitudes + vec4<u32>(0x7ffffu) - ((thresholds & vec4<u32>(0x7ffffu)) << vec4<u32>(1u)));
  let value = select(bitcast<vec4<f32>>(middles + vec4<i32>(112 << 23u)), vec4<f32>(middles) * 0x1p-37,
                     middles < vec4<i32>(8 << 20u));
  let signs = vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes) & vec4<u32>(0x80000000u);
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) ^ signs);
}
//! if AT_ONCE

// What decode4 makes of nearest_codes. By its bits, as a compiler may take magnitude + power - power for the magnitude.
fn nearest_values(v: vec4<f32>) -> vec4<f32> {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u)) + vec4<u32>(20u << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) & vec4<u32>(0x7fffffu);
  let nearest = bitcast<vec4<f32>>(steps | power) - bitcast<vec4<f32>>(power);
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(nearest) | (bitcast<vec4<u32>>(v) & vec4<u32>(0x80000000u)));
}

// The codes of what new_codes made these from by sum_0, and of sum_1, by the same thresholds.
fn renewed_codes(codes: u32, sum_0: vec4<f32>, sum_1: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return drawn_codes(nearest_values(middles_of(codes, thresholds) - sum_0) + sum_1, thresholds);
}
//! else

// The codes that new_codes made these from by this sum and these thresholds.
fn first_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return nearest_codes(middles_of(codes, thresholds) - sum);
}
//! end
//! end
//! else
fn new_codes(codes: u32, sum: vec4<f32>) -> u32 { return nearest_codes(decode4(codes) + sum); }
//! end
//! else
const UNIT = 1.0;

fn decode4(codes: u32) -> vec4<f32> { return unpack4_$CODES(codes); }

//! if STOCHASTIC
const THRESHOLD_BITS = 23u;

// What sums are multiplied by for new_codes: 2^-CHANGE_SHIFT.
const CHANGE_SHIFT = 24u;

// Up to 1, f32 has steps of 2^-24. So a code c is the place 1 + (c - 127) · 2^-24, and adding to it rounds to a code.
// Saturation is that to [0, 1], and the bits are an integer again. Little of it is integer arithmetic or conversion, of which
// a GPU has less.
fn places_of(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa of 2^23 and more, or in its upper byte but one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(0x1p-24, 0x1p-32, 0x1p-24, 0x1p-32) +
    (vec4<f32>(1.0 - 255.0 * 0x1p-24) - vec4<f32>(0.5, 0x1p-9, 0.5, 0x1p-9));
}

// Places moved by a change, a sum times 2^-24: rounded to nearest and saturated.
fn moved(places: vec4<f32>, change: vec4<f32>) -> vec4<f32> {
  const SMALLEST = vec4<f32>(1.0 - 254.0 * 0x1p-24);
  return max(saturate(places + change), SMALLEST);
}

fn codes_at(places: vec4<f32>) -> u32 {
  let made = bitcast<vec4<u32>>(places); // 0x3f800000 + c - 127
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x407fffffu) ^ 0x80808080u;
}

// A change with a threshold between -1/2 and 1/2 of a step: odd multiples of 2^-23 of it, so that they are as often below zero
// as above, and a change of zero changes nothing.
fn change_above(change: vec4<f32>, thresholds: vec4<u32>) -> vec4<f32> {
  return change + (bitcast<vec4<f32>>((thresholds & vec4<u32>(0x7ffffeu)) | vec4<u32>(0x33800001u)) - 1.5 * 0x1p-24);
}

// The codes of from + change, each rounded up with the probability of its fraction.
fn new_codes(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(moved(places_of(codes), change_above(change, thresholds)));
}
//! if RECOVERS

// The places that new_codes took these codes from by this change and these thresholds, unless they were saturated.
fn first_places(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> vec4<f32> {
  return moved(places_of(codes), -change_above(change, thresholds));
}
//! if AT_ONCE

// The codes of what new_codes made these from by change_0, and of change_1, by the same thresholds.
fn renewed_codes(codes: u32, change_0: vec4<f32>, change_1: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(moved(first_places(codes, change_0, thresholds), change_above(change_1, thresholds)));
}
//! else

fn first_codes(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(first_places(codes, change, thresholds));
}
//! end
//! end
//! else
const CHANGE_SHIFT = 0u;

fn new_codes(codes: u32, sum: vec4<f32>) -> u32 { return pack4_$CODES(decode4(codes) + sum); }
//! end
//! end
`,
  "falqon_scores.wgsl": `// What is pending in each row of B, and how much: delta[i][j] = b[i][j] − flushed[i][j], score[i] = Σ_j |delta[i][j]|,
// summed in f32 in the order of j. Without FLUSHED all of b is pending. One thread per row.

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
// through workgroup memory four to a vector. rows² comparisons, no sort, no order of execution to depend on. Scores are
// sums of magnitudes, so −1 fills what is missing in the last tile.

struct Params {
  rows: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;

const THREADS = 128u;
const TILE = 4u * THREADS;

var<workgroup> others: array<vec4<f32>, THREADS>;

fn score_of(row: u32) -> f32 {
  return select(-1.0, scores[min(row, params.rows - 1u)], row < params.rows);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x * THREADS + thread;
  let mine = vec4<f32>(score_of(row));
  var before = vec4<u32>();
  for (var first = 0u; first < params.rows; first += TILE) {
    let at = first + 4u * thread;
    others[thread] = vec4<f32>(score_of(at), score_of(at + 1u), score_of(at + 2u), score_of(at + 3u));
    workgroupBarrier();
    for (var i = 0u; i < THREADS; i++) {
      let other = others[i];
      let earlier = first + 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(row);
      before += select(vec4<u32>(), vec4<u32>(1u), (other > mine) | ((other == mine) & earlier));
    }
    workgroupBarrier();
  }
  let rank = before.x + before.y + before.z + before.w;
  if (row < params.rows && rank < params.count) { selected[rank] = row; }
}
`,
  "falqon_statistics.wgsl": `// Measures what the next update will do, before it does it; nothing is changed. For row i of the weight:
// statistics[i] = (codes that will differ, values beyond the format's largest, ⟨U, U⟩, ⟨R, U⟩), with U the change that is asked for,
// U = c · pending · A in units of the weight, and R the change that the decoded weight will make.
//
// One workgroup per row; every row is measured, also those that are not written, since U counts all of them.
// On request only: it costs as much as an update of all rows.
//! include linear_grid.wgsl
//! include falqon_row.wgsl AT_ONCE=false
//! include falqon_part.wgsl MEASURES=true CHANGE=false

const LANES = 64u; // threads of a workgroup; each takes vec4s of columns

// What element \`at\` of b asks for since its row was written.
//! if RECOVERS
fn asked_b(at: u32) -> f32 { return b_change[at]; }
//! elif IN_PLACE
fn asked_b(at: u32) -> f32 { return b[at]; }
//! else
@group(0) @binding(7) var<storage, read> pending: array<f32>;

fn asked_b(at: u32) -> f32 { return pending[at]; }
//! end
@group(0) @binding(8) var<storage, read_write> statistics: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, LANES>;
var<workgroup> written: u32;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = linear_index(group, groups);
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
//! if RECOVERS
    var sum_before = vec4<f32>();
//! end
    for (var j = 0u; j < params.rank; j++) {
      let a = decode4(weight[place_of(adapter_row(j), vector)]);
      let b_value = b[row * params.b_pitch + j];
      sum += coefficients(vec4<f32>(b_value), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
//! if RECOVERS
      let b_before = b_value - b_change[row * params.b_pitch + j];
      sum_before += coefficients(vec4<f32>(b_before), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
//! end
      asked += asked_b(row * params.b_pitch + j) * column_factors[j] * row_factors[row] * (a * UNIT);
    }
    mine.z += dot(asked, asked);
    if (is_written) {
      let old = weight[place_of(params.w_row + row, vector)];
//! if STOCHASTIC
      let above = thresholds(rounding_word(row, vector / 2u), vector % 2u, rounding_turn());
//! end
//! if RECOVERS
      let base = first_codes(base_codes(row, vector), sum_before / f32(1u << CHANGE_SHIFT), above);
//! else
      let base = base_codes(row, vector);
//! end
      let value = (decode4(base) + sum) * UNIT;
//! if STOCHASTIC
      let code = new_codes(base, sum / f32(1u << CHANGE_SHIFT), above);
//! else
      let code = new_codes(base, sum);
//! end
      let change = (decode4(code) - decode4(old)) * UNIT;
      for (var c = 0u; c < 4u; c++) {
        mine.x += select(0.0, 1.0, (((code ^ old) >> (8u * c)) & 0xffu) != 0u);
        mine.y += select(0.0, 1.0, abs(value[c]) > $CODES_MAX);
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
  "falqon_update.wgsl": `// Writes rows of the weight: weight[i] = encode(base[i] + β_i · A~) in code units (falqon_row.wgsl), rounded to nearest or
// STOCHASTIC. IN_PLACE each code is read and written once, by the thread that owns it.
//
// Shapes: those of falqon_part.wgsl.
// Where it RECOVERS the base, the sums are made twice: with B before the last step, then with B now. What the codes were stays
// in codes between the two: a thread has no registers for both sums, and packing is little beside their multiply-adds.
// CHANGE also writes decode(new) − decode(old) of row \`selected[p]\` to change[p]: what rounding left of the update.
//
// Idea: a matrix product of short contraction (the rank) whose result is encoded where it is made. A workgroup makes
// BM rows × BN columns, a thread TM × TN of them in registers; coefficients and decoded A pass through workgroup memory
// BK of the rank at a time, the next ones fetched meanwhile. The codes to start from are fetched before all that. Beyond
// the rank the coefficients are zero, which leaves sums as they are, so the contraction is a whole number of steps.
//! include falqon_row.wgsl AT_ONCE=false
//! include falqon_part.wgsl MEASURES=false

//! if CHANGE
@group(0) @binding(7) var<storage, read_write> change: array<vec4<f32>>;
//! end

const CHANGE_UNIT = 1.0 / f32(1u << CHANGE_SHIFT);
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
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), min(v, params.vectors - 1u))];
}

// Element j of four rows of b: zero beyond the rank.
fn b_values(rows: vec4<u32>, j: u32, sweep: u32) -> vec4<f32> {
  let at = rows * params.b_pitch + min(j, params.rank - 1u);
  var values = vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
//! if RECOVERS
  if (sweep == 0u) { values -= vec4<f32>(b_change[at.x], b_change[at.y], b_change[at.z], b_change[at.w]); }
//! end
  return select(vec4<f32>(), values, j < params.rank);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let p0 = group.y * BM;
  let v0 = group.x * (BN / 4u);
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // This thread's rows (counted by p) and vectors of columns, and the codes there.
//! unroll n 0 TN/4
  let v_$n = v0 + tn + \${n}u * COLUMN_LANES;
  let read_v_$n = min(v_$n, params.vectors - 1u);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_\${i}_$c = row_of(p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u);
//! unroll n 0 TN/4
  var from_\${i}_\${c}_$n = base_codes(row_\${i}_$c, read_v_$n);
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
//! end
//! unroll t 0 A_LOADS
  let a_v_$t = (thread + \${t}u * THREADS) % (BN / 4u);
  let a_j_$t = (thread + \${t}u * THREADS) / (BN / 4u);
//! end
//! if STOCHASTIC
  let turn = rounding_turn();
//! end
//! if RECOVERS
  for (var sweep = 0u; sweep < 2u; sweep += 1u) {
//! else
  {
    const sweep = 0u;
//! end
//! unroll t 0 BETA_LOADS
    var b_next_$t = b_values(b_rows_$t, b_j_$t, sweep);
    var column_next_$t = column_factors[min(b_j_$t, params.rank - 1u)];
//! end
//! unroll t 0 A_LOADS
    var a_next_$t = a_codes(a_j_$t, v0 + a_v_$t);
//! end
    for (var j0 = 0u; j0 < params.rank; j0 += BK) {
      workgroupBarrier();
//! unroll t 0 BETA_LOADS
      if (thread + \${t}u * THREADS < BETA_TASKS) {
        beta[b_j_$t][b_p_$t] = coefficients(b_next_$t, vec4<f32>(column_next_$t), factors_$t);
      }
//! end
//! unroll t 0 A_LOADS
      if (thread + \${t}u * THREADS < A_TASKS) { a_tile[a_j_$t][a_v_$t] = decode4(a_next_$t); }
//! end
      workgroupBarrier();
      let j1 = j0 + BK;
      if (j1 < params.rank) {
//! unroll t 0 BETA_LOADS
        b_next_$t = b_values(b_rows_$t, j1 + b_j_$t, sweep);
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
//! if RECOVERS
    if (sweep == 0u) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
      from_\${i}_\${c}_$n = first_codes(from_\${i}_\${c}_$n, sum_\${i}_\${c}_$n * CHANGE_UNIT,
                                      thresholds(rounding_word(row_\${i}_$c, v_$n / 2u), v_$n % 2u, turn));
      sum_\${i}_\${c}_$n = vec4<f32>();
//! end
//! end
//! end
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
  if (p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u < params.count && v_$n < params.vectors) {
    let at = place_of(params.w_row + row_\${i}_$c, v_$n);
//! if STOCHASTIC
    let above = thresholds(rounding_word(row_\${i}_$c, v_$n / 2u), v_$n % 2u, turn);
    let code = new_codes(from_\${i}_\${c}_$n, sum_\${i}_\${c}_$n * CHANGE_UNIT, above);
//! else
    let code = new_codes(from_\${i}_\${c}_$n, sum_\${i}_\${c}_$n);
//! end
//! if CHANGE
    let p = p0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u;
    if (v_$n < params.change_vectors) {
      change[p * params.change_vectors + v_$n] = (decode4(code) - decode4(weight[at])) * UNIT;
    }
//! end
    weight[at] = code;
  }
//! end
//! end
//! end
}
`,
  "falqon_update_tensor.wgsl": `// falqon_update.wgsl on tensor cores, for all rows: weight[i] = encode(base[i] + β_i · A~) in code units.
//
// Shapes: weight codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on, with HALVES
// the second half of A's rows from second_row on; base codes [outputs, inputs], or (IN_PLACE) the weight itself; b and
// b_change f32 [outputs, rank]; all with columns up to the pitch zero.
//
// f16 holds A~ exactly. β is f16 too: a power of two for each row brings the largest |β| to [2^14, 2^15). A β of more
// than 11 significant bits is in two parts (LOW), high its first 11 and low the others, which f16 holds both. What they
// lack, of coefficients so small that f16 is subnormal, is below 2^-39 of the row's largest |β|, and below 2^-27 where a
// GPU flushes subnormals. Products are exact, sums f32 in an order of the hardware: codes are those of the rule except
// where a sum lands within its rounding of a tie or, STOCHASTIC, of the threshold. A row of e4m3 with a coefficient
// that is not finite becomes NaN.
//
// Idea: a subgroup keeps the coefficients of its 16 rows in fragments, and its workgroup walks along STEPS · COLUMNS
// columns. A step's A~ is decoded into workgroup memory once for all subgroups, the codes of the next one are fetched
// meanwhile. Sums pass through workgroup memory to an invocation for each 16 codes of a row, which alone reads
// and writes them; neighbouring ones have neighbouring codes. Within four codes columns are in the order 0, 2, 1, 3 in
// which A~ is cheaply decoded.
//! include falqon_row.wgsl AT_ONCE=true
//! include fragments.wgsl
//! include code_place.wgsl

struct Params {
  rows: u32,
  vectors: u32,   // vectors of 16 codes in a row
  w_row: u32,
  base_row: u32,
  a_row: u32,
//! if HALVES
  second_row: u32,
//! end
  rank: u32,
  b_vectors: u32, // vectors of 4 floats in a row of b
//! if STOCHASTIC
  row_words: u32, // eights of columns in a row
  key_low: u32,   // of the tensor
  key_high: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if STOCHASTIC
//! include falqon_rounding.wgsl
//! end
//! if RECOVERS
@group(0) @binding(6) var<storage, read> b_change: array<vec4<f32>>;
//! end
//! if !IN_PLACE
@group(0) @binding(5) var<storage, read> base: array<vec4<u32>>;
//! end

// Where sixteen codes are; beyond the row, its last ones.
fn place_of(row: u32, vector: u32) -> u32 {
  return code_place(row, 4u * min(vector, params.vectors - 1u), 4u * params.vectors) / 4u;
}

// The sixteen codes that vector \`vector\` of a row starts from.
fn base_codes(row: u32, vector: u32) -> vec4<u32> {
//! if IN_PLACE
  return weight[place_of(params.w_row + row, vector)];
//! else
  return base[place_of(params.base_row + row, vector)];
//! end
}

const THREADS = 32u * SUBGROUPS;
const ROWS = 16u;                // of a subgroup
const STEP = COLUMNS / 16u;      // vectors of codes in a step
const A_ROW = 2u * STEP + 1u;    // of 8 f16 values; the surplus vector spreads rows over the banks
const SUM_PART = 5u;             // of 4 floats, for 16 sums; likewise
const SUM_ROW = SUM_PART * STEP;
const BETA_ROW = 2u * RANK_STEPS + 1u;
const SUMS = 16u * RANK_STEPS * A_ROW; // where they begin, each subgroup's rows, and the coefficients before
const PLACE = ROWS * LONGEST_ROW; // for coefficients, then for sums

var<workgroup> tile: array<vec4<u32>, SUMS + SUBGROUPS * PLACE>;
var<workgroup> units: array<f32, SETS * SUBGROUPS * ROWS>; // what each row's sums are multiplied by

// Four coefficients of a row, from column j on; zero beyond the rank, as b is. Set 0 is of B before the last step.
fn four_coefficients(s: u32, row: u32, factor: f32, j: u32) -> vec4<f32> {
  let at = min(vec4<u32>(j, j + 1u, j + 2u, j + 3u), vec4<u32>(params.rank - 1u));
  let columns = vec4<f32>(column_factors[at.x], column_factors[at.y], column_factors[at.z], column_factors[at.w]);
  var values = b[row * params.b_vectors + j / 4u];
//! if RECOVERS
  if (s == 0u) { values -= b_change[row * params.b_vectors + j / 4u]; }
//! end
  return coefficients(values, columns, vec4<f32>(factor));
}

fn largest_of(v: vec4<f32>) -> f32 {
  let a = abs(v);
  return max(max(a.x, a.y), max(a.z, a.w));
}

fn halves(v: vec4<f32>) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }

// The first 11 significant bits. By its bits, as what is rounded to f16 and back a driver may take for the value itself.
fn upper(v: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4<u32>(0xffffe000u)); }

// Row j of the factor on the right; with HALVES the second half of them lies elsewhere.
fn adapter_row(j: u32) -> u32 {
//! if HALVES
  let half = params.rank / 2u;
  return select(params.a_row, params.second_row - half, j >= half) + j;
//! else
  return params.a_row + j;
//! end
}

// Sixteen codes of A~: row j of the rank (beyond it, any, as its coefficients are zero) and vector v.
fn a_codes(j: u32, v: u32) -> vec4<u32> {
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), v)];
}

// Eight codes as f16 divided by UNIT, in fours ordered 0, 2, 1, 3.
fn a_f16(codes: vec2<u32>) -> vec4<u32> {
//! if CODES == e4m3
  let pairs = vec4<u32>(codes.x, codes.x >> 8u, codes.y, codes.y >> 8u);
  return ((pairs & vec4<u32>(0x00800080u)) << vec4<u32>(8u)) | ((pairs & vec4<u32>(0x007f007fu)) << vec4<u32>(7u));
//! elif EMULATE
  return vec4<u32>(halves(decode4(codes.x).xzyw), halves(decode4(codes.y).xzyw));
//! else
  // Each code plus 128 is the mantissa of an f16 of 1024 and more.
  let bytes = codes ^ vec2<u32>(0x80808080u);
  let pairs = vec4<u32>(bytes.x, bytes.x >> 8u, bytes.y, bytes.y >> 8u);
  let numbers = (pairs & vec4<u32>(0x00ff00ffu)) | vec4<u32>(0x64006400u);
  return vec4<u32>(less_1152(numbers.x), less_1152(numbers.y), less_1152(numbers.z), less_1152(numbers.w));
//! end
}
//! if CODES == int8
//! if !EMULATE

fn less_1152(pair: u32) -> u32 { return bitcast<u32>(bitcast<vec2<f16>>(pair) - vec2<f16>(1152.0)); }
//! end
//! end

// Four sums, from the order of A~ to that of codes.
fn values_at(at: u32, unit: f32) -> vec4<f32> { return bitcast<vec4<f32>>(tile[at]).xzyw * unit; }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let lane = thread % 32u;
  let group_row = thread / 32u * ROWS; // the subgroup's first row among the workgroup's
  let first_row = group.y * (ROWS * SUBGROUPS) + group_row;
  let sums = SUMS + thread / 32u * PLACE;
  let beta_at = sums + lane % ROWS * BETA_ROW;
  let rank_steps = (params.rank + 15u) / 16u; // RANK_STEPS

  // This invocation's half of a row's coefficients, 8 of each 16. They are made once for the largest of them, and again for
  // fragments, in loops whose length the driver does not know: it kept them all, and took 149 registers in place of 117.
  let half = lane / 16u;
  let read_row = min(first_row + lane % ROWS, params.rows - 1u);
  let factor = row_factors[read_row];
//! unroll s 0 SETS
  var largest_$s = 0.0;
//! end
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
//! unroll s 0 SETS
    largest_$s = max(largest_$s, max(largest_of(four_coefficients(\${s}u, read_row, factor, j)),
                                     largest_of(four_coefficients(\${s}u, read_row, factor, j + 4u))));
//! end
  }
//! unroll s 0 SETS
  largest_$s = max(largest_$s, from_other_half(largest_$s, thread));
  // All coefficients zero: as for the smallest one. Sums are divided by UNIT, as A~ is, and so are base values.
  let exponent_$s = max(bitcast<u32>(largest_$s), SMALLEST_COEFFICIENT_BITS) >> 23u;
  let scale_$s = bitcast<f32>((268u - exponent_$s) << 23u);
  // Sums so small that this is not what it should be are nothing to what they are added to.
  if (half == 0u) {
    units[\${s}u * ROWS * SUBGROUPS + group_row + lane] =
      bitcast<f32>((max(exponent_$s, 15u + CHANGE_SHIFT) - (14u + CHANGE_SHIFT)) << 23u);
  }

  // Into fragments, through the place of the sums.
//! if RECOVERS
  workgroupBarrier();
//! end
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(\${s}u, read_row, factor, j) * scale_$s;
    let last = four_coefficients(\${s}u, read_row, factor, j + 4u) * scale_$s;
    tile[beta_at + j / 8u] = vec4<u32>(halves(upper(first)), halves(upper(last)));
  }
  workgroupBarrier();
//! unroll k 0 RANK_STEPS
  let high_\${s}_$k = load_left(sums + 2u * \${k}u, BETA_ROW);
//! end
//! if LOW
  workgroupBarrier();
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(\${s}u, read_row, factor, j) * scale_$s;
    let last = four_coefficients(\${s}u, read_row, factor, j + 4u) * scale_$s;
    tile[beta_at + j / 8u] = vec4<u32>(halves(first - upper(first)), halves(last - upper(last)));
  }
  workgroupBarrier();
//! unroll k 0 RANK_STEPS
  let low_\${s}_$k = load_left(sums + 2u * \${k}u, BETA_ROW);
//! end
//! end
//! end

  // The first step's A~, and the codes of the next ones.
  let first = group.x * (STEPS * STEP);
  let steps = min(u32(STEPS), (params.vectors - first + STEP - 1u) / STEP);
//! unroll t 0 A_LOADS
  let a_j_$t = (thread + \${t}u * THREADS) / STEP;
  let a_v_$t = (thread + \${t}u * THREADS) % STEP;
  let a_at_$t = a_j_$t * A_ROW + 2u * a_v_$t;
  let a_first_$t = a_codes(a_j_$t, first + a_v_$t);
  var a_next_$t = a_codes(a_j_$t, first + STEP + a_v_$t);
  if (a_j_$t < 16u * RANK_STEPS) {
    tile[a_at_$t] = a_f16(a_first_$t.xy);
    tile[a_at_$t + 1u] = a_f16(a_first_$t.zw);
  }
//! end
  // This invocation's codes: a vector of several rows.
  let my_v = lane % STEP;
//! unroll n 0 COLUMNS/32
  let my_row_$n = lane / STEP + \${n}u * (32u / STEP);
  let row_$n = first_row + my_row_$n;
  let from_row_$n = min(row_$n, params.rows - 1u);
  let sums_at_$n = sums + my_row_$n * SUM_ROW + SUM_PART * my_v;
//! unroll s 0 SETS
  let unit_\${s}_$n = units[\${s}u * ROWS * SUBGROUPS + group_row + my_row_$n];
//! end
  var from_next_$n = base_codes(from_row_$n, first + my_v);
//! end
//! if STOCHASTIC
  let turn = rounding_turn();
//! end
  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
//! unroll s 0 SETS
//! unroll c 0 COLUMNS/16
    var sum_\${s}_$c = Sum();
//! end
//! end
//! unroll k 0 RANK_STEPS
    {
//! unroll c 0 COLUMNS/16
      let a_$c = load_right(16u * \${k}u * A_ROW + 2u * \${c}u, A_ROW);
//! end
//! unroll s 0 SETS
//! unroll c 0 COLUMNS/16
      sum_\${s}_$c = multiply_add(high_\${s}_$k, a_$c, sum_\${s}_$c);
//! end
//! if LOW
//! unroll c 0 COLUMNS/16
      sum_\${s}_$c = multiply_add(low_\${s}_$k, a_$c, sum_\${s}_$c);
//! end
//! end
//! end
    }
//! end
//! unroll c 0 COLUMNS/16
    store_sum(sums + SUM_PART * \${c}u, SUM_ROW, sum_0_$c);
//! end
    workgroupBarrier();
    let v = first + step * STEP + my_v;
//! unroll t 0 A_LOADS
    if (a_j_$t < 16u * RANK_STEPS) {
      tile[a_at_$t] = a_f16(a_next_$t.xy);
      tile[a_at_$t + 1u] = a_f16(a_next_$t.zw);
    }
    a_next_$t = a_codes(a_j_$t, first + (step + 2u) * STEP + a_v_$t);
//! end
//! unroll n 0 COLUMNS/32
    let from_$n = from_next_$n;
    from_next_$n = base_codes(from_row_$n, v + STEP);
//! end
//! if RECOVERS
//! unroll n 0 COLUMNS/32
//! unroll q 0 4
    let before_\${n}_$q = values_at(sums_at_$n + \${q}u, unit_0_$n);
//! end
//! end
    workgroupBarrier();
//! unroll c 0 COLUMNS/16
    store_sum(sums + SUM_PART * \${c}u, SUM_ROW, sum_1_$c);
//! end
    workgroupBarrier();
//! end
//! unroll n 0 COLUMNS/32
    {
      var codes: vec4<u32>;
//! if STOCHASTIC
      let word_0 = rounding_word(row_$n, 2u * v);
      let word_1 = rounding_word(row_$n, 2u * v + 1u);
//! end
//! for q,word,half in 0,0,0 1,0,1 2,1,0 3,1,1
      {
//! if STOCHASTIC
        let above = thresholds(word_$word, \${half}u, turn);
//! if RECOVERS
        let now = values_at(sums_at_$n + \${q}u, unit_1_$n);
        codes[$q] = renewed_codes(from_$n[$q], before_\${n}_$q, now, above);
//! else
        codes[$q] = new_codes(from_$n[$q], values_at(sums_at_$n + \${q}u, unit_0_$n), above);
//! end
//! else
        codes[$q] = new_codes(from_$n[$q], values_at(sums_at_$n + \${q}u, unit_0_$n));
//! end
      }
//! end
      if (row_$n < params.rows && v < params.vectors) {
        weight[place_of(params.w_row + row_$n, v)] = codes;
      }
    }
//! end
  }
}
`,
  "fp8.wgsl": `// The FP8 codec of src/numerics/fp8.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding gives the codes of the TypeScript, bit for bit, in a third of the operations: the adder rounds.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

// The codes of four magnitudes, none above the largest finite value, as mantissa bits stored and the exponent of 1 give
// them: f16's too.
//
// A magnitude m in [2^e, 2^(e+1)) plus 2^(e + 23 - mantissa) is rounded by the f32 adder, to nearest even, to steps of
// 2^(e - mantissa), and what the sum's bits are above the power's is the number of those steps: mantissa and implicit
// bit of the code, a carry into the exponent included. With e no less than the smallest normal exponent this holds for
// subnormal codes too, whose implicit bit is missing by itself. The steps are counted on the bits, since a compiler may
// simplify (m + power) - power but not the difference of integers.
fn encode4(magnitude: vec4<f32>, mantissa: u32, bias: u32) -> vec4<u32> {
  let smallest = vec4<u32>((128u - bias) << 23u);
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), smallest) + vec4<u32>((23u - mantissa) << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power;
  // Exponent field of the code, less the implicit bit: (e + bias - 1) << mantissa.
  return steps + (power >> vec4<u32>(23u - mantissa)) - vec4<u32>((151u - mantissa - bias) << mantissa);
}

fn pack4_fp8(v: vec4<f32>, max_value: f32, mantissa: u32, bias: u32) -> u32 {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(max_value)), mantissa, bias) | ((bits >> vec4<u32>(24u)) & vec4<u32>(0x80u));
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
  "fragments.wgsl": `// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): f16 factors, f32 sums.
//
// Fragments come from and go to \`tile\`, a workgroup array of vec4<u32> that the including kernel declares besides
// THREADS. \`at\` and \`stride\` (from one row to the next) count its vectors: 8 f16 values of a factor, 4 floats of a
// sum. Which invocation holds which element is implementation-defined: elements are seen only in \`tile\`, after a
// barrier.

const F16_MAX = 65504.0;

// A vector of a factor's tile.
fn to_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}

fn saturated(values: vec4<f32>) -> vec4<f32> { return clamp(values, vec4<f32>(-F16_MAX), vec4<f32>(F16_MAX)); }

// The same of values that may be out of range.
fn to_saturated_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
//! if EMULATE
  return to_f16(saturated(low), saturated(high));
//! else
  // Half as many operations once two elements are packed: out of range they are infinite then.
  const MAX = vec4<f16>(65504.0);
  return vec4<u32>(
    bitcast<vec2<u32>>(clamp(vec4<f16>(low), -MAX, MAX)), bitcast<vec2<u32>>(clamp(vec4<f16>(high), -MAX, MAX)));
//! end
}

// The same, but NaN stays NaN: clamp() makes a number of it. Of two f16 in a word, those that are infinite have had too
// large a value, and become the largest number.
fn to_seen_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  let halves = to_f16(low, high);
  let magnitudes = halves & vec4<u32>(0x7fff7fffu);
  // The place of the sign is set from infinity on; from NaN on.
  let infinite = (magnitudes + vec4<u32>(0x04000400u)) & ~(magnitudes + vec4<u32>(0x03ff03ffu));
  return halves - ((infinite >> vec4<u32>(15u)) & vec4<u32>(0x00010001u));
}

// EMULATE stands in for devices without subgroup matrices, so that tests run the same kernels anywhere: an invocation
// makes 8 sums of a row, from column lane_column on.
//! if EMULATE
struct Left { low: vec4<u32>, high: vec4<u32> } // the lane's row
struct Right { at: u32, stride: u32, transposed: bool } // read from \`tile\` when it is multiplied
struct Sum { low: vec4<f32>, high: vec4<f32> }

var<private> lane_row: u32;
var<private> lane_column: u32;
// 16, which the driver does not know: it would write out every product, and compile for minutes.
var<private> contraction: u32;
var<workgroup> exchange: array<f32, THREADS>;

fn begin_fragments(thread: u32) {
  lane_row = thread % 32u / 2u;
  lane_column = thread % 2u * 8u;
  contraction = 16u + thread / 65536u;
}

fn half_of(vector: vec4<u32>, index: u32) -> f32 { return unpack2x16float(vector[index / 2u])[index % 2u]; }

fn load_left(at: u32, stride: u32) -> Left {
  return Left(tile[at + lane_row * stride], tile[at + lane_row * stride + 1u]);
}

fn load_left_transposed(at: u32, stride: u32) -> Left {
  var row = array<u32, 8>();
  for (var k = 0u; k < contraction; k += 1u) {
    let bits = tile[at + k * stride + lane_row / 8u][lane_row % 8u / 2u] >> (lane_row % 2u * 16u);
    row[k / 2u] |= (bits & 0xffffu) << (k % 2u * 16u);
  }
  return Left(vec4<u32>(row[0], row[1], row[2], row[3]), vec4<u32>(row[4], row[5], row[6], row[7]));
}

fn load_right(at: u32, stride: u32) -> Right { return Right(at, stride, false); }

fn load_right_transposed(at: u32, stride: u32) -> Right { return Right(at, stride, true); }

fn load_sum(at: u32, stride: u32) -> Sum {
  let mine = at + lane_row * stride + lane_column / 4u;
  return Sum(bitcast<vec4<f32>>(tile[mine]), bitcast<vec4<f32>>(tile[mine + 1u]));
}

fn store_sum(at: u32, stride: u32, sum: Sum) {
  let mine = at + lane_row * stride + lane_column / 4u;
  tile[mine] = bitcast<vec4<u32>>(sum.low);
  tile[mine + 1u] = bitcast<vec4<u32>>(sum.high);
}

// The lane's columns of row k of a factor, or of column k where it is transposed.
fn right_row(right: Right, k: u32) -> vec4<u32> {
  if (!right.transposed) { return tile[right.at + k * right.stride + lane_column / 8u]; }
  var row = vec4<u32>();
  let at = right.at + lane_column * right.stride + k / 8u;
  let shift = k % 2u * 16u;
  for (var c = 0u; c < 4u; c += 1u) {
    let first = tile[at + 2u * c * right.stride][k % 8u / 2u] >> shift;
    let second = tile[at + (2u * c + 1u) * right.stride][k % 8u / 2u] >> shift;
    row[c] = (first & 0xffffu) | (second << 16u);
  }
  return row;
}

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum {
  var result = sum;
  for (var k = 0u; k < contraction; k += 1u) {
    let factor = vec4<f32>(half_of(select(left.low, left.high, k >= 8u), k % 8u));
    let row = right_row(right, k);
    result.low = fma(factor, vec4<f32>(unpack2x16float(row.x), unpack2x16float(row.y)), result.low);
    result.high = fma(factor, vec4<f32>(unpack2x16float(row.z), unpack2x16float(row.w)), result.high);
  }
  return result;
}

// What the invocation 16 further on, or back, in the same 32 gives.
fn from_other_half(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  exchange[thread] = value;
  workgroupBarrier();
  return exchange[thread ^ 16u];
}
//! else
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

fn begin_fragments(thread: u32) {}

// [row][contraction]
fn load_left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile, at, stride); }

// [contraction][row]
fn load_left_transposed(at: u32, stride: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&tile, at, stride);
}

// [contraction][column]
fn load_right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&tile, at, stride); }

// [column][contraction]
fn load_right_transposed(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&tile, at, stride);
}

fn load_sum(at: u32, stride: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&tile, at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) { subgroupMatrixStore<row_major>(&tile, at, sum, stride); }

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(left, right, sum); }

// What the invocation 16 further on, or back, in the same 32 gives.
fn from_other_half(value: f32, thread: u32) -> f32 { return subgroupShuffleXor(value, 16u); }
//! end
`,
  "fragments_int8.wgsl": `// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): signed bytes, 32 of them
// contracted at once, and i32 sums. Include-only.
//
// Fragments come from and go to \`tile\`, a workgroup array of vec4<u32> that the including kernel declares. Both factors
// lie there by rows of the contraction: [row][contraction] and [column][contraction], since fragments of bytes are not
// transposed on the way. \`at\` and \`stride\` (from one row to the next) count its vectors: 16 bytes of a factor, 4 sums.
// Which invocation holds which element is implementation-defined: elements are seen only in \`tile\`, after a barrier.

// EMULATE stands in for devices without such matrices, so that tests run the same kernels anywhere: an invocation makes
// 8 sums of a row, from column lane_column on. Sums are exact in any order.
//! if EMULATE
//! include dot4.wgsl

struct Left { low: vec4<u32>, high: vec4<u32> } // the lane's row
struct Right { at: u32, stride: u32 } // read from \`tile\` when it is multiplied
struct Sum { low: vec4<i32>, high: vec4<i32> }

var<private> lane_row: u32;
var<private> lane_column: u32;
// 8, which the driver does not know: it would write out every product, and compile for minutes.
var<private> lane_columns: u32;

fn begin_fragments(thread: u32) {
  lane_row = thread % 32u / 2u;
  lane_column = thread % 2u * 8u;
  lane_columns = 8u + thread / 65536u;
}

fn load_left(at: u32, stride: u32) -> Left {
  return Left(tile[at + lane_row * stride], tile[at + lane_row * stride + 1u]);
}

fn load_right(at: u32, stride: u32) -> Right { return Right(at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) {
  let mine = at + lane_row * stride + lane_column / 4u;
  tile[mine] = bitcast<vec4<u32>>(sum.low);
  tile[mine + 1u] = bitcast<vec4<u32>>(sum.high);
}

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum {
  var products = array<i32, 8>();
  for (var c = 0u; c < lane_columns; c += 1u) {
    let column = right.at + (lane_column + c) * right.stride;
    products[c] = dot16(left.low, tile[column]) + dot16(left.high, tile[column + 1u]);
  }
  return Sum(
    sum.low + vec4<i32>(products[0], products[1], products[2], products[3]),
    sum.high + vec4<i32>(products[4], products[5], products[6], products[7]),
  );
}
//! else
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;

fn begin_fragments(thread: u32) {}

fn load_left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile, at, stride); }

fn load_right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tile, at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) { subgroupMatrixStore<row_major>(&tile, at, sum, stride); }

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(left, right, sum); }
//! end
`,
  "gate_up.wgsl": `// What the gate of an MLP and its gradient read of the linear layer before them, and the activation. Include-only.
//
// Shapes: gate_up [rows, 2·pitch], f32 or f16 (GATE_UP), with the gate in columns 0 … width and the up projection in
// pitch … pitch + width: the merged linear starts each part at a multiple of 16. Precision is in f32 either way.
//
// ACTIVATION names the file with the activation act: gated(gate, up) = act(gate) · up, and gated_gradient of it.
//! include $ACTIVATION

// Gradients of gate and up.
struct GateUp {
  gate: vec4<f32>,
  up: vec4<f32>,
}

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}

//! if GATE_UP == f16
alias GateUpWord = vec2<u32>;
//! else
alias GateUpWord = vec4<f32>;
//! end

@group(0) @binding(1) var<storage, read> gate_up: array<GateUpWord>;

// The values of a word.
fn widened(word: GateUpWord) -> vec4<f32> {
//! if GATE_UP == f16
  return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
//! else
  return word;
//! end
}

// Four values, \`at\` counted in fours.
fn gate_up_at(at: u32) -> vec4<f32> { return widened(gate_up[at]); }
`,
  "gated_norm.wgsl": `// The norm behind a delta net, every value head of a token by itself, times a gate:
//   output[t][h][i] = x[t][h][i] · rstd · weight[i] · silu(z[t][h][i]),  rstd = 1 / sqrt(mean(x[t][h]²) + eps).
//
// Shapes: x and output f32 [tokens, heads · dim], z columns of merged f32 [tokens, ·], weight f32 [dim]. One workgroup
// per head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32, // heads of all tokens
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / params.heads;
  let column = row % params.heads * params.dim;
  let at = token * params.pitch + column;
  let z_at = token * params.z_pitch + params.z_column + column;
  var squares = 0.0;
  for (var i = thread; i < params.dim; i += THREADS) { squares += x[at + i] * x[at + i]; }
  let rstd = 1.0 / sqrt(workgroup_sum(squares, thread) / f32(params.dim) + params.eps);
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    output[at + i] = x[at + i] * rstd * weight[i] * z / (1.0 + exp(-max(z, -80.0)));
  }
}
`,
  "gated_norm_backward.wgsl": `// The gradient of gated_norm.wgsl: with n = x · rstd and g = d_output · silu(z) · weight,
//   d_x = rstd · (g − n · mean(g · n)),  d_z = d_output · n · weight · silu'(z).
// With STATISTICS rstd f32 [tokens, heads] is kept for the gradient of the weight.
//
// Shapes: as there; d_output and d_x f32 [tokens, heads · dim], d_z in the columns of z of d_merged. One workgroup per
// head of a token.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  eps: f32,
//! if STATISTICS
  rstd_pitch: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> d_output: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_merged: array<f32>;
//! if STATISTICS
@group(0) @binding(7) var<storage, read_write> rstd: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let token = row / params.heads;
  let column = row % params.heads * params.dim;
  let at = token * params.pitch + column;
  let z_at = token * params.z_pitch + params.z_column + column;
  var squares = 0.0;
  var product = 0.0;
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    let s = 1.0 / (1.0 + exp(-max(z, -80.0)));
    squares += x[at + i] * x[at + i];
    product += x[at + i] * d_output[at + i] * z * s * weight[i];
  }
  let row_rstd = 1.0 / sqrt(workgroup_sum(squares, thread) / f32(params.dim) + params.eps);
  let pull = workgroup_sum(product, thread) * row_rstd / f32(params.dim);
//! if STATISTICS
  if (thread == 0u) { rstd[token * params.rstd_pitch + row % params.heads] = row_rstd; }
//! end
  for (var i = thread; i < params.dim; i += THREADS) {
    let z = merged[z_at + i];
    let s = 1.0 / (1.0 + exp(-max(z, -80.0)));
    let d = d_output[at + i] * weight[i];
    let n = x[at + i] * row_rstd;
    d_x[at + i] = row_rstd * (d * z * s - n * pull);
    d_merged[z_at + i] = d * n * s * (1.0 + z * (1.0 - s));
  }
}
`,
  "gated_norm_weight_gradient.wgsl": `// The gradient of the weight of gated_norm.wgsl, in shares of the rows, which are heads of tokens:
//   partials[share][i] = Σ d_output[t][h][i] · silu(z[t][h][i]) · x[t][h][i] · rstd[t][h].
//
// Shapes: as there; rstd f32 [tokens, heads]; partials f32 [shares, dim], zero up to the pitch. One thread per component
// and share.

struct Params {
  rows: u32,
  heads: u32,
  dim: u32,
  pitch: u32,
  z_column: u32, z_pitch: u32,
  rstd_pitch: u32, partials_pitch: u32,
  share_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> merged: array<f32>;
@group(0) @binding(3) var<storage, read> d_output: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= params.partials_pitch) { return; }
  let first = group.y * params.share_rows;
  // Columns behind the last have no rows.
  let last = select(first, min(first + params.share_rows, params.rows), i < params.dim);
  var sum = 0.0;
  for (var row = first; row < last; row++) {
    let token = row / params.heads;
    let head = row % params.heads;
    let at = token * params.pitch + head * params.dim + i;
    let z = merged[token * params.z_pitch + params.z_column + head * params.dim + i];
    let gate = z / (1.0 + exp(-max(z, -80.0)));
    sum += d_output[at] * gate * x[at] * rstd[token * params.rstd_pitch + head];
  }
  partials[group.y * params.partials_pitch + i] = sum;
}
`,
  "gelu_tanh.wgsl": `// The gate of GeGLU, gated(gate, up) = gelu(gate) · up with gelu(g) = g · (1 + tanh(u)) / 2 of
// u = sqrt(2/π) · (g + 0.044715 · g³), and its gradient.
// Include-only, from gate_up.wgsl.
//
// (1 + tanh(u)) / 2 is sigmoid(2u), which overflows nowhere. Beyond ±10 it is 0 or 1 to any use, and the bound keeps g³
// finite.

const GELU_SLOPE = 1.5957691216057308; // 2 · sqrt(2/π)
const GELU_CUBE = 0.044715;

fn bounded(g: vec4<f32>) -> vec4<f32> { return clamp(g, vec4<f32>(-10.0), vec4<f32>(10.0)); }

// sigmoid(2u)
fn share(g: vec4<f32>) -> vec4<f32> {
  return sigmoid(GELU_SLOPE * g * (1.0 + GELU_CUBE * g * g));
}

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * share(bounded(gate)) * up;
}

// From dy, that of the result.
fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let g = bounded(gate);
  let s = share(g);
  let slope = GELU_SLOPE * (1.0 + 3.0 * GELU_CUBE * g * g); // of 2u
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s) * slope), dy * gate * s);
}
`,
  "gemm.wgsl": `// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then
// each thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is
// multiplied. Pitches and columns are multiples of 4, and columns between a matrix' width and its pitch are zero by
// invariant, so only row indices need guards: rows behind the last repeat it where they are outer, as their products
// are not written, and count as zeros where they are contracted.
//
// Workgroups along z each take a split of k and write a partial product; sum_partials adds them.
//! include fp8.wgsl
//! include gemm_output.wgsl READ_AHEAD=false

const THREADS = (BM / TM) * (BN / TN);

// Both operands: their bindings, blocks and tiles.
//! for X,x,N,binding,decode in A,a,M,1,$A_DECODE B,b,N,2,$B_DECODE
//! if \${X}_TYPE == f32
@group(0) @binding($binding) var<storage, read> $x: array<vec4<f32>>;
//! elif \${X}_TYPE == f16
@group(0) @binding($binding) var<storage, read> $x: array<vec2<u32>>;
//! else
@group(0) @binding($binding) var<storage, read> $x: array<u32>;
//! end
const \${X}_BLOCKS = B$N * BK / 16;

var<workgroup> \${x}_tile: array<array<vec4<f32>, B$N / 4 + 1>, BK>;

// Four elements starting at element \`i\` (a multiple of 4), as the format is decoded fastest: alpha undoes the factor.
fn \${x}4(i: u32) -> vec4<f32> {
//! if \${X}_TYPE == f32
  return $x[i / 4u];
//! elif \${X}_TYPE == f16
  let v = $x[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! else
  return $decode($x[i / 4u]);
//! end
}

// Which 4×4 block a task fetches, along the outer index and along k: neighbouring threads walk the direction that is
// contiguous in memory.
fn \${x}_task(task: u32) -> vec2<u32> {
//! if \${X}_BY_K
  return vec2<u32>(task % (B$N / 4u), task / (B$N / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

//! end
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
//! for X,x,n in A,a,m B,b,n
//! unroll p 0 \${X}_LOADS
  let \${x}_fetches_$p = thread + \${p}u * THREADS < \${X}_BLOCKS;
  let \${x}_at_$p = \${x}_task(thread + \${p}u * THREADS);
//! unroll c 0 4
  let \${x}_to_\${p}_$c = \${x}_at_$p.y * 4u + \${c}u;
//! if \${X}_BY_K
  let \${x}_of_\${p}_$c = min(\${n}0 + \${x}_at_$p.x * 4u, (params.$n - 1u) & ~3u) + params.\${x}_column;
//! else
  let \${x}_of_\${p}_$c = min(\${n}0 + \${x}_at_$p.x * 4u + \${c}u, params.$n - 1u) * params.\${x}_pitch + params.\${x}_column + \${x}_at_$p.y * 4u;
//! end
//! end
  var \${x}_next_$p = mat4x4<f32>();
//! end
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + \${i}u * (BM / TM);
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + \${j}u * (BN / TN);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_\${i}_\${c}_$j = vec4<f32>();
//! end
//! end
//! end

  let k_last = k_begin + (k_end - k_begin - 1u) / BK * BK;
//! include gemm_fetch.wgsl K=k_begin
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! for X,x in A,a B,b
//! unroll p 0 \${X}_LOADS
    if (\${x}_fetches_$p) {
//! if \${X}_BY_K
      let block = \${x}_next_$p;
//! else
      let block = transpose(\${x}_next_$p);
//! end
//! unroll c 0 4
      \${x}_tile[\${x}_to_\${p}_$c][\${x}_at_$p.x] = block[$c];
//! end
    }
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let k1 = min(k0 + BK, k_last);
//! include gemm_fetch.wgsl K=k1
//! unroll kk 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][a_from_$i];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][b_from_$j];
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

//! include gemm_store.wgsl
}
`,
  "gemm_f16.wgsl": `// Matrix product with packed half-precision arithmetic: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], both from pack.wgsl.
//
// a, b: f16 in panels of BM and BN, rounded up to whole ones, and k filled up with zeros.
// Idea: a pair (k, k + 1) of one operand is multiplied by a pair of the other, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. The two halves of a sum are joined when it
// is promoted to f32, every PROMOTE steps of BK: f16 sums stay short. k is a multiple of BK.
// A step's values wait in workgroup memory, the next step's are fetched into registers meanwhile.
enable f16;
//! include gemm_output.wgsl READ_AHEAD=false
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
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  let a_pair = thread / (BM / 4u);
  let a_quad = thread % (BM / 4u);
  let b_pair = thread / (BN / 4u);
  let b_quad = thread % (BN / 4u);
  let a_at = place.y * params.k / 2u * (BM / 4u) + thread;
  let b_at = place.x * params.k / 2u * (BN / 4u) + thread;
  // Named once: an index that is computed again in every step costs a twentieth of the time under naga.
//! unroll p 0 A_LOADS
  let a_to_$p = a_pair + \${p}u * (THREADS / (BM / 4u));
//! end
//! unroll p 0 B_LOADS
  let b_to_$p = b_pair + \${p}u * (THREADS / (BN / 4u));
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + \${i}u * (BM / TM);
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + \${j}u * (BN / TN);
//! end
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_at + k_begin / 2u * (BM / 4u) + \${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_at + k_begin / 2u * (BN / 4u) + \${p}u * THREADS];
//! end

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
  var sum_\${i}\${c}_$j$h = vec2<f32>();
//! end
//! end
//! end
//! end
  for (var k_sum = k_begin; k_sum < k_end; k_sum += BK * PROMOTE) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    var half_\${i}\${c}_$j$h = vec4<f16>(); // here, so that it takes no register while values are moved
//! end
//! end
//! end
//! end
    let k_stop = min(k_sum + BK * PROMOTE, k_end);
    for (var k0 = k_sum; k0 < k_stop; k0 += BK) {
      workgroupBarrier();
//! unroll p 0 A_LOADS
      a_tile[a_to_$p][a_quad] = a_next_$p;
//! end
//! unroll p 0 B_LOADS
      b_tile[b_to_$p][b_quad] = b_next_$p;
//! end
      workgroupBarrier();
      // The last step fetches its own values again: cheaper than to ask.
      let next = min(k0 + BK, k_end - BK) / 2u;
//! unroll p 0 A_LOADS
      a_next_$p = a[a_at + next * (BM / 4u) + \${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
      b_next_$p = b[b_at + next * (BN / 4u) + \${p}u * THREADS];
//! end
//! unroll kk 0 BK/2
      {
//! unroll i 0 TM/4
        let a_$i = a_tile[$kk][a_from_$i];
        let a_\${i}0 = a_$i[0].xyxy;
        let a_\${i}1 = a_$i[0].zwzw;
        let a_\${i}2 = a_$i[1].xyxy;
        let a_\${i}3 = a_$i[1].zwzw;
//! end
//! unroll j 0 TN/4
        let b_$j = b_tile[$kk][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
        half_\${i}\${c}_$j$h = fma(a_\${i}$c, b_$j[$h], half_\${i}\${c}_$j$h);
//! end
//! end
//! end
//! end
      }
//! end
    }
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    {
      let wide = vec4<f32>(half_\${i}\${c}_$j$h);
      sum_\${i}\${c}_$j$h += wide.xz + wide.yw;
    }
//! end
//! end
//! end
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  let sum_\${i}_\${c}_$j = vec4<f32>(sum_\${i}\${c}_\${j}0, sum_\${i}\${c}_\${j}1);
//! end
//! end
//! end
//! include gemm_store.wgsl
}
`,
  "gemm_fetch.wgsl": `// Fetches a thread's blocks of both operands of gemm.wgsl for the step that begins at K: pasted into \`main\` before the
// first step, and into each step for the next one. Include-only.
//! for X,x in A,a B,b
//! unroll p 0 \${X}_LOADS
  if (\${x}_fetches_$p) {
//! unroll c 0 4
//! if \${X}_BY_K
    let \${x}_k_$c = $K + \${x}_to_\${p}_$c;
    \${x}_next_$p[$c] = select(vec4<f32>(), \${x}4(min(\${x}_k_$c, k_end - 1u) * params.\${x}_pitch + \${x}_of_\${p}_$c), \${x}_k_$c < k_end);
//! else
    \${x}_next_$p[$c] = \${x}4(\${x}_of_\${p}_$c + $K);
//! end
//! end
  }
//! end
//! end
`,
  "gemm_fragment_store.wgsl": `// Writes the sums of a workgroup of the GEMM kernels for tensor cores, sum_i_j for fragment j of fragment row i, by
// DOWN × ACROSS subgroups of 32. Pasted at the end of \`main\`. Include-only.
//
// A fragment's elements have no known place, so sums go through \`tile\`, 16 rows at a time: a subgroup's 16 × SUB_N sums,
// then its lanes write them row by row, each always the same columns. The including kernel declares SUB_M × SUB_N, what
// a subgroup makes, OUT_ROW, the vectors of such a row with two more against bank conflicts, \`four_sums\`, those of a row
// from column 4 · quad on, and \`row_factors\`, of the workgroup's rows. All results of these rows are finished before any
// is written: see gemm_output.wgsl. What is added to the next 16 is read before that, so that they need not wait for it.
  let subgroup_row = subgroup / \${ACROSS}u * SUB_M;
  let subgroup_n0 = n0 + subgroup % \${ACROSS}u * SUB_N;
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
  let quad = lane % (SUB_N / 4u);
  let column = subgroup_n0 + 4u * quad;
  let factors = column_factors(column);
//! unroll q 0 BN/$ACROSS/8
  let slab_row_$q = (lane + 32u * \${q}u) / (SUB_N / 4u);
  var added_$q = added_to(group.z, m0 + subgroup_row + slab_row_$q, column);
//! end
//! unroll i 0 BM/$DOWN/16
  workgroupBarrier();
//! unroll j 0 BN/$ACROSS/16
  store_sum(mine + 4u * \${j}u, OUT_ROW, sum_\${i}_$j);
//! end
//! unroll q 0 BN/$ACROSS/8
  let next_\${i}_$q = added_to(group.z, m0 + subgroup_row + 16u * (\${i}u + 1u) + slab_row_$q, column);
//! end
  workgroupBarrier();
//! unroll q 0 BN/$ACROSS/8
  let row_\${i}_$q = subgroup_row + 16u * \${i}u + slab_row_$q;
  let scaled_\${i}_$q = four_sums(mine, slab_row_$q, quad) * (row_factors[row_\${i}_$q] * factors);
  let value_\${i}_$q = finished(column, scaled_\${i}_$q, added_$q);
  added_$q = next_\${i}_$q;
//! end
//! unroll q 0 BN/$ACROSS/8
  put(group.z, m0 + row_\${i}_$q, column, value_\${i}_$q);
//! end
//! end
`,
  "gemm_int8.wgsl": `// Matrix product of int8 codes without tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; params.k is a multiple of 64, and one of both is
// zero from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: four neighbours along k are multiplied by one instruction. So words of four codes wait in workgroup memory as
// [word][row], and a vector of them is four rows: a thread fetches 16 codes of four rows and transposes their words in
// its registers on the way. The next step's words are fetched while this one's are multiplied.
//! include gemm_output.wgsl READ_AHEAD=false
//! include gemm_tile.wgsl
//! include dot4.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = (BM / TM) * (BN / TN);
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

// One more vector per word, so that the stores of neighbouring threads, of different words, meet different banks.
var<workgroup> a_tile: array<array<vec4<u32>, BM / 4 + 1>, 16>;
var<workgroup> b_tile: array<array<vec4<u32>, BN / 4 + 1>, 16>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let steps = params.k / 64u;
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
  let vector = thread % 4u;
//! unroll w 0 4
  let to_$w = vector * 4u + \${w}u;
//! end
//! for X,x,n in A,a,m B,b,n
  let \${x}_panel = (\${n}0 / 128u * (params.\${x}_pitch / 64u) + params.\${x}_column / 64u) * BLOCK + \${n}0 % 128u * 4u;
//! unroll p 0 \${X}_LOADS
  let \${x}_quad_$p = thread / 4u + \${p}u * (THREADS / 4u);
  let \${x}_at_$p = \${x}_panel + \${x}_quad_$p * 16u + vector;
//! unroll c 0 4
  var \${x}_next_\${p}_$c = vec4<u32>();
//! end
//! end
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + \${i}u * (BM / TM);
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + \${j}u * (BN / TN);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var total_\${i}_\${c}_$j = vec4<i32>();
//! end
//! end
//! end

//! include gemm_int8_fetch.wgsl STEP=0u
  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
//! for X,x,N in A,a,M B,b,N
//! unroll p 0 \${X}_LOADS
//! if \${X}_GUARDED
    if (\${x}_quad_$p < B$N / 4) {
//! else
    {
//! end
//! unroll w 0 4
      \${x}_tile[to_$w][\${x}_quad_$p] =
        vec4<u32>(\${x}_next_\${p}_0[$w], \${x}_next_\${p}_1[$w], \${x}_next_\${p}_2[$w], \${x}_next_\${p}_3[$w]);
//! end
    }
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own words again: cheaper than to ask.
    let next = min(step + 1u, steps - 1u);
//! include gemm_int8_fetch.wgsl STEP=next
//! if ROLLED
    for (var word = 0u; word < 16u; word += AT_ONCE) {
//! else
    {
      const word = 0u; // known, so that nothing is computed to stay in bounds
//! end
//! unroll w 0 AT_ONCE
      {
//! unroll i 0 TM/4
        let a_$i = a_tile[word + $w][a_from_$i];
//! end
//! unroll j 0 TN/4
        let b_$j = b_tile[word + $w][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
        total_\${i}_\${c}_$j += vec4<i32>(
          dot4(a_$i[$c], b_$j.x), dot4(a_$i[$c], b_$j.y), dot4(a_$i[$c], b_$j.z), dot4(a_$i[$c], b_$j.w));
//! end
//! end
//! end
      }
//! end
    }
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  let sum_\${i}_\${c}_$j = vec4<f32>(total_\${i}_\${c}_$j);
//! end
//! end
//! end
//! include gemm_store.wgsl
}
`,
  "gemm_int8_fetch.wgsl": `// Fetches a thread's words of both operands of gemm_int8.wgsl for the step STEP: pasted into \`main\` before the first
// step, and into each step for the next one. Include-only.
//! for X,x,N in A,a,M B,b,N
//! unroll p 0 \${X}_LOADS
//! if \${X}_GUARDED
  if (\${x}_quad_$p < B$N / 4) {
//! else
  {
//! end
//! unroll c 0 4
    \${x}_next_\${p}_$c = $x[\${x}_at_$p + $STEP * BLOCK + \${c}u * 4u];
//! end
  }
//! end
//! end
`,
  "gemm_int8_rows.wgsl": `// Matrix product of few rows of int8 codes: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: as for gemm_int8.wgsl. Reading B once is all the time there is, so nothing of it goes through workgroup memory.
// Idea: four neighbouring threads read the 64 codes of a row of B in a step, BN times as many a run of memory, and every
// GROUPS-th step is theirs. Each multiplies them by the codes of BM rows of A, and what all have is added at the end.
//! include gemm_output.wgsl READ_AHEAD=false
//! include dot4.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 4 * BN * GROUPS;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

var<workgroup> parts: array<array<vec4<i32>, BN * GROUPS>, BM>; // of the four threads of a row and step
var<workgroup> totals: array<array<vec4<i32>, BN / 4>, BM>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let steps = params.k / 64u;
  let vector = thread % 4u;
  let column = thread / 4u % BN;
  let first = thread / (4u * BN);
  let a_at = (m0 / 128u * (params.a_pitch / 64u) + params.a_column / 64u) * BLOCK + m0 % 128u * 4u + vector;
  let b_at = (n0 / 128u * (params.b_pitch / 64u) + params.b_column / 64u) * BLOCK + (n0 % 128u + column) * 4u + vector;
//! unroll r 0 BM
  var sum_$r = 0i;
//! end
  for (var step = first; step < steps; step += GROUPS) {
    let codes = b[b_at + step * BLOCK];
//! unroll r 0 BM
    sum_$r += dot16(a[a_at + step * BLOCK + \${r}u * 4u], codes);
//! end
  }
//! unroll r 0 BM
  parts[$r][thread / 4u][vector] = sum_$r;
//! end
  workgroupBarrier();
  if (thread < BM * BN) {
    let row = thread / BN;
    var all = vec4<i32>();
    for (var g = 0u; g < GROUPS; g += 1u) { all += parts[row][g * BN + thread % BN]; }
    totals[row][thread % BN / 4u][thread % 4u] = all.x + all.y + all.z + all.w;
  }
  workgroupBarrier();
  if (thread >= BM * BN / 4) { return; }
  let row = thread / (BN / 4u);
  let quad = thread % (BN / 4u);
  let sum = vec4<f32>(totals[row][quad]);
  let scaled = sum * (row_factor(m0 + row) * column_factors(n0 + 4u * quad));
  put(group.z, m0 + row, n0 + 4u * quad, finished(group.z, m0 + row, n0 + 4u * quad, scaled));
}
`,
  "gemm_int8_tensor.wgsl": `// Matrix product of int8 codes on tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; K is a multiple of 64, and one of both is zero
// from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: a workgroup is SUBGROUPS_M × SUBGROUPS_N subgroups of 32, each of which keeps its part of the BM × BN sums in
// fragments of 16 × 16. A step of 64 k waits in workgroup memory, the next one is fetched into registers meanwhile: one
// run of memory for each 128 rows.
// Banks: a pad of one vector per row spreads the rows over them, without which the product takes 1.7 times as long on an
// H100. Of eight rows the even ones wait first, then the odd ones: eight neighbouring threads bring two rows, which
// fill the banks once where they are four places apart, but meet in one where they are neighbours. That is 13 % of the
// product on an H200. Threads that share out the rows in another way need more requests to memory, and lose 20 %. Sums come
// out in the same order. K is known to the compiler, which is worth 1 %.
//! include gemm_output.wgsl READ_AHEAD=true
//! include gemm_tile.wgsl
//! include fragments_int8.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 32u * SUBGROUPS_M * SUBGROUPS_N;
const STEPS = K / 64u;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;
// What a subgroup makes.
const SUB_M = BM / SUBGROUPS_M;
const SUB_N = BN / SUBGROUPS_N;
// A row of the tiles in vectors, with its pad.
const ROW = 5u;
const B_TILE = BM * ROW; // where b's codes begin
// Rows of the outgoing sums of a subgroup in vectors of 4.
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BN * ROW, SUBGROUPS_M * SUBGROUPS_N * 16u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

// The place of a row of an operand among the rows of the tile.
fn place_of(row: u32) -> u32 { return (row & ~7u) | ((row >> 1u) & 3u) | ((row & 1u) << 2u); }

// Two quads of columns in their places: 0, 2, 4, 6 and 1, 3, 5, 7.
fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> {
  let pair = at + place_of(row) * OUT_ROW + (quad & ~1u);
  let even = bitcast<vec4<i32>>(tile[pair]);
  let odd = bitcast<vec4<i32>>(tile[pair + 1u]);
  let second = (quad & 1u) == 1u;
  let evens = vec2<f32>(select(even.xy, even.zw, second));
  let odds = vec2<f32>(select(odd.xy, odd.zw, second));
  return vec4<f32>(evens.x, odds.x, evens.y, odds.y);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let sub_m = subgroup / SUBGROUPS_N;
  let sub_n = subgroup % SUBGROUPS_N;

  // A thread's first vector of the tile's rows, and how far on those of a second panel are: where the operand has none,
  // the first one's serve, as nothing of them is written.
//! for X,x,n in A,a,m B,b,n
  let \${x}_panel = params.\${x}_pitch / 64u * BLOCK;
  let \${x}_at = \${n}0 / 128u * \${x}_panel + params.\${x}_column / 64u * BLOCK + \${n}0 % 128u * 4u + thread;
  let \${x}_second = select(0u, \${x}_panel, \${n}0 + 128u < params.$n);
//! end
  let a_to = place_of(thread / 4u) * ROW + thread % 4u;
  let b_to = B_TILE + a_to;
//! for X,x in A,a B,b
//! unroll p 0 \${X}_LOADS
  var \${x}_next_$p = $x[\${x}_at + \${p}u * THREADS / BLOCK * \${x}_second + \${p}u * THREADS % BLOCK];
//! end
//! end
//! unroll i 0 BM/SUBGROUPS_M/16
//! unroll j 0 BN/SUBGROUPS_N/16
  var sum_\${i}_$j = Sum();
//! end
//! end
  for (var step = 0u; step < STEPS; step += 1u) {
    workgroupBarrier();
//! for X,x in A,a B,b
//! unroll p 0 \${X}_LOADS
    tile[\${x}_to + \${p}u * (THREADS / 4u) * ROW] = \${x}_next_$p;
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own codes again: cheaper than to ask.
    let next = min(step + 1u, STEPS - 1u) * BLOCK;
//! for X,x in A,a B,b
//! unroll p 0 \${X}_LOADS
    \${x}_next_$p = $x[\${x}_at + next + \${p}u * THREADS / BLOCK * \${x}_second + \${p}u * THREADS % BLOCK];
//! end
//! end
//! unroll kk 0 2
    {
//! unroll i 0 BM/SUBGROUPS_M/16
      let a_$i = load_left((sub_m * SUB_M + 16u * \${i}u) * ROW + 2u * \${kk}u, ROW);
//! end
//! unroll j 0 BN/SUBGROUPS_N/16
      let b_$j = load_right(B_TILE + (sub_n * SUB_N + 16u * \${j}u) * ROW + 2u * \${kk}u, ROW);
//! end
//! unroll i 0 BM/SUBGROUPS_M/16
//! unroll j 0 BN/SUBGROUPS_N/16
      sum_\${i}_$j = multiply_add(a_$i, b_$j, sum_\${i}_$j);
//! end
//! end
    }
//! end
  }

//! include gemm_fragment_store.wgsl DOWN=$SUBGROUPS_M ACROSS=$SUBGROUPS_N
}
`,
  "gemm_output.wgsl": `// Parameters of every GEMM kernel, and how it writes a result. Include-only.
//
// A sum is divided by the scale of its row and of its column (quantised operands), plus an addend, plus the old value
// (ACCUMULATE). Output columns from second_from on go to a second matrix (FALQON's O_A = x·Aᵀ behind O).
//
// With OPTIONAL all of these are bound, and the parameters tell which of them count: where a runtime compiles one
// kernel after another, each for a second, one that serves most products is worth more than branches that all threads
// take alike.
//
// A thread has many results of few rows and columns. A division takes a dozen instructions, so it divides once for
// each row and column.
//
// With READ_AHEAD what is added is read by the including kernel, which is never OPTIONAL, before it is needed.

struct Params {
  m: u32, n: u32,
//! if !FIXED_K
  k: u32, split_k: u32,
//! end
//! if !PACKED
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
//! end
  out_pitch: u32, out_column: u32,
  second_from: u32, second_pitch: u32,
  addend_pitch: u32, // OPTIONAL: 0 without an addend, as second_from is past all columns without a second output
  alpha: f32,
//! if OPTIONAL
  has_row_scales: u32,
  has_column_scales: u32,
//! end
//! if BIAS
  bias_factor: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUT_F16
@group(0) @binding(3) var<storage, read_write> out: array<vec2<u32>>;
//! else
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! end
//! if SECOND_OUTPUT
@group(0) @binding(4) var<storage, read_write> second_output: array<vec4<f32>>;
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
//! if BIAS
// Times its factor added to every row. Not among what OPTIONAL binds: models have one in many layers, or in none.
@group(0) @binding(8) var<storage, read> bias: array<vec4<f32>>;
//! end

// Results are made in two parts, so that a thread can read all that its results need before it writes any of them:
// a compiler must not move a read over a write that might be to the same memory, and would wait for each in turn.

// What the sums of a row are multiplied by.
fn row_factor(row: u32) -> f32 {
//! if OPTIONAL
  if (params.has_row_scales == 0u) { return params.alpha; }
//! end
//! if ROW_SCALES
  return params.alpha / row_scales[min(row, params.m - 1u)];
//! else
  return params.alpha;
//! end
}

// And those of four columns, from one that is a multiple of 4.
fn column_factors(column: u32) -> vec4<f32> {
//! if OPTIONAL
  if (params.has_column_scales == 0u) { return vec4<f32>(1.0); }
//! end
//! if COLUMN_SCALES
  return 1.0 / column_scales[min(column, (params.n - 1u) & ~3u) / 4u];
//! else
  return vec4<f32>(1.0);
//! end
}

// The nearest column from which on something is added to results; those outside only have to read inside.
fn kept_column(column: u32) -> u32 {
  let c = min(column, (params.n - 1u) & ~3u);
//! if SECOND_OUTPUT
  return min(c, params.second_from - 4u);
//! else
  return c;
//! end
}

//! if ACCUMULATE
// \`part\` counts the partial products before.
fn old_values(part: u32, row: u32, kept: u32) -> vec4<f32> {
  return out[((part * params.m + min(row, params.m - 1u)) * params.out_pitch + params.out_column + kept) / 4u];
}
//! end
//! if ADDEND
fn addend_values(row: u32, kept: u32) -> vec4<f32> {
  return addend[(min(row, params.m - 1u) * params.addend_pitch + kept) / 4u];
}
//! end

//! if READ_AHEAD
// What is added to four results of a row: old values and addend.
alias Added = array<vec4<f32>, 2>;

fn added_to(part: u32, row: u32, column: u32) -> Added {
  let kept = kept_column(column);
  var added: Added;
//! if ACCUMULATE
  added[0] = old_values(part, row, kept);
//! end
//! if ADDEND
  added[1] = addend_values(row, kept);
//! end
  return added;
}
//! end

// What four sums of a row come to, multiplied by these, from a column that is a multiple of 4.
//! if READ_AHEAD
fn finished(column: u32, scaled: vec4<f32>, added: Added) -> vec4<f32> {
//! else
fn finished(part: u32, row: u32, column: u32, scaled: vec4<f32>) -> vec4<f32> {
//! end
  // Columns behind n stay zero: operands may hold anything there.
  let inside = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  var value = select(vec4<f32>(), scaled, inside);
  let kept = kept_column(column);
//! if BIAS
  value += select(vec4<f32>(), params.bias_factor * bias[kept / 4u], inside & vec4<bool>(kept == column));
//! end
//! if ACCUMULATE
//! if READ_AHEAD
  value += select(vec4<f32>(), added[0], kept == column);
//! else
  value += select(vec4<f32>(), old_values(part, row, kept), kept == column);
//! end
//! end
//! if OPTIONAL
  if (params.addend_pitch == 0u) { return value; }
//! end
//! if ADDEND
//! if READ_AHEAD
  value += select(vec4<f32>(), added[1], kept == column);
//! else
  value += select(vec4<f32>(), addend_values(row, kept), kept == column);
//! end
//! end
  return value;
}

fn put(part: u32, row: u32, column: u32, value: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
//! if SECOND_OUTPUT
  if (column >= params.second_from) {
    second_output[(row * params.second_pitch + column - params.second_from) / 4u] = value;
    return;
  }
//! end
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
//! if OUT_F16
  // What is not finite stays so, to be seen.
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let saturated = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  out[at] = vec2<u32>(pack2x16float(saturated.xy), pack2x16float(saturated.zw));
//! else
  out[at] = value;
//! end
}
`,
  "gemm_store.wgsl": `// Writes the sums of a thread of the GEMM kernels without tensor cores, sum_i_c_j for row c of row block i and column
// block j, all vec4s of columns. Pasted at the end of \`main\`. Include-only.
//
// All results are finished before any is written: see gemm_output.wgsl.
//! unroll j 0 TN/4
  let factors_$j = column_factors(n0 + b_from_$j * 4u);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let factor_\${i}$c = row_factor(m0 + a_from_$i * 4u + \${c}u);
//! unroll j 0 TN/4
  let value_\${i}_\${c}_$j = finished(group.z, m0 + a_from_$i * 4u + \${c}u, n0 + b_from_$j * 4u,
    sum_\${i}_\${c}_$j * (factor_\${i}$c * factors_$j));
//! end
//! end
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  put(group.z, m0 + a_from_$i * 4u + \${c}u, n0 + b_from_$j * 4u, value_\${i}_\${c}_$j);
//! end
//! end
//! end
`,
  "gemm_tensor.wgsl": `// Matrix product on tensor cores: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], f16 factors and f32 sums.
//
// a, b: both FP8 from pack_codes.wgsl (CODES) or both f16 from pack.wgsl, in panels of BM and BN, rounded up to whole
// ones, and k filled up with zeros.
// Idea: a workgroup is 2 × 2 subgroups of 32, each of which keeps (BM / 2) × (BN / 2) sums in fragments of 16 × 16. A
// step of BK waits in workgroup memory, the next one is fetched into registers meanwhile. k outermost makes both the
// fetches and the stores whole vectors; fragments are loaded transposed at no cost. A pad of 8 f16 values per row
// spreads the rows over the banks. More than about 22 KB per workgroup would leave room for only one of them on a
// core. Codes become f16 on their way into workgroup memory: fetched as f16, the operands alone would keep the
// second-level cache of an H200 busy for nine tenths of the time. K is known to the compiler: a fifth of the time of
// f16 on an H200, whose loop it unrolls. That of codes stays rolled, and in the instruction cache, which is a tenth
// faster. A fragment's elements have no known place, so sums go through workgroup memory on their way out.
//! include gemm_output.wgsl READ_AHEAD=true
//! include gemm_tile.wgsl
//! include fragments.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 128u;
//! if CODES
const PER_VECTOR = 16u; // values
//! else
const PER_VECTOR = 8u;
//! end
// Rows of the tiles in vectors of 8 f16 values.
const A_ROW = BM / 8u + 1u;
const B_ROW = BN / 8u + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// What a subgroup makes, and a row of its outgoing sums in vectors of 4 floats.
const SUB_M = BM / 2u;
const SUB_N = BN / 2u;
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BK * B_ROW, 64u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> { return bitcast<vec4<f32>>(tile[at + row * OUT_ROW + quad]); }

//! if CODES
// The f16 of the first values of lanes from pack_codes.wgsl, and of the others.
fn first_e4m3(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xbf80bf80u); }
fn other_e4m3(lanes: vec4<u32>) -> vec4<u32> {
  return ((lanes << vec4<u32>(7u)) & vec4<u32>(0x3f803f80u)) | ((lanes << vec4<u32>(1u)) & vec4<u32>(0x80008000u));
}
fn first_e5m2(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xff00ff00u); }
fn other_e5m2(lanes: vec4<u32>) -> vec4<u32> { return (lanes << vec4<u32>(8u)) & vec4<u32>(0xff00ff00u); }

//! end
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
//! if IS_SPLIT
  let k_begin = group.z * SPLIT_K;
  let k_end = min(k_begin + SPLIT_K, K);
//! else
  let k_begin = 0u;
  const k_end = u32(K);
//! end
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  // Vectors of a step come one after another in a panel.
  let a_at = place.y * K * (BM / PER_VECTOR) + thread;
  let b_at = place.x * K * (BN / PER_VECTOR) + thread;
  let a_to = thread / (BM / PER_VECTOR) * A_ROW + thread % (BM / PER_VECTOR);
  let b_to = B_TILE + thread / (BN / PER_VECTOR) * B_ROW + thread % (BN / PER_VECTOR);
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_at + k_begin * (BM / PER_VECTOR) + \${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_at + k_begin * (BN / PER_VECTOR) + \${p}u * THREADS];
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_\${i}_$j = Sum();
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
//! if CODES
    tile[a_to + \${p}u * (THREADS / (BM / 16u)) * A_ROW] = first_$A_TYPE(a_next_$p);
    tile[a_to + \${p}u * (THREADS / (BM / 16u)) * A_ROW + BM / 16u] = other_$A_TYPE(a_next_$p);
//! else
    tile[a_to + \${p}u * (THREADS / (BM / 8u)) * A_ROW] = a_next_$p;
//! end
//! end
//! unroll p 0 B_LOADS
//! if CODES
    tile[b_to + \${p}u * (THREADS / (BN / 16u)) * B_ROW] = first_$B_TYPE(b_next_$p);
    tile[b_to + \${p}u * (THREADS / (BN / 16u)) * B_ROW + BN / 16u] = other_$B_TYPE(b_next_$p);
//! else
    tile[b_to + \${p}u * (THREADS / (BN / 8u)) * B_ROW] = b_next_$p;
//! end
//! end
//! if !CODES
    workgroupBarrier();
//! end
    // Codes are fetched while the others still store, which f16 would only hold up.
    // The last step fetches its own values again: cheaper than to ask.
    let next = min(k0 + BK, k_end - BK);
//! unroll p 0 A_LOADS
    a_next_$p = a[a_at + next * (BM / PER_VECTOR) + \${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
    b_next_$p = b[b_at + next * (BN / PER_VECTOR) + \${p}u * THREADS];
//! end
//! if CODES
    workgroupBarrier();
//! end
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = load_left_transposed(16u * \${kk}u * A_ROW + half_m * (BM / 16u) + 2u * \${i}u, A_ROW);
//! end
//! unroll j 0 BN/32
      let b_$j = load_right(B_TILE + 16u * \${kk}u * B_ROW + half_n * (BN / 16u) + 2u * \${j}u, B_ROW);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
      sum_\${i}_$j = multiply_add(a_$i, b_$j, sum_\${i}_$j);
//! end
//! end
    }
//! end
  }

//! include gemm_fragment_store.wgsl DOWN=2 ACROSS=2
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
  "gradient_scale.wgsl": `// The power of two that brings a quantised gradient into the range of f16 as a whole, from the scales of its rows.
//
// A row times its scale has its largest magnitude at the largest code, so all rows times the smallest of the scales
// stay below that, and \`headroom\` further up. (Where rows stay multiplied by their scales, it is the quotients of the
// power and these that stay below 1: headroom 1.) Vanishing rows have large scales and do not count. Rows
// with NaN or infinity have NaN for a scale (row_scale.wgsl): then the power is NaN, and all that it scales.
// Grid: 1. A minimum does not depend on the order, so the result does not either.
//! include workgroup_max.wgsl

struct Params {
  rows: u32,
  headroom: f32, // a power of two
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> power: array<f32>;

const LARGEST = 0x1p96; // leaves room for its products and quotients with other scales

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var smallest = LARGEST;
  var bits = 0u; // of the largest: NaN's are larger than those of any number
  for (var first = thread; first < params.rows; first += 8u * THREADS) {
//! unroll n 0 8
    let scale_$n = scales[min(first + \${n}u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_$n);
    bits = max(bits, bitcast<u32>(scale_$n));
//! end
  }
  let scale = -workgroup_max(-smallest, thread);
  let largest = workgroup_max_bits(bits, thread);
  if (thread == 0u) {
    let below = bitcast<f32>(bitcast<u32>(scale) & 0x7f800000u); // the power of two up to it
    let found = bitcast<u32>(min(below * params.headroom, LARGEST));
    power[0] = bitcast<f32>(select(found, largest | 0x7fc00000u, largest >= 0x7f800000u));
  }
}
`,
  "hadamard.wgsl": `// Block Hadamard transform of the values of a row, as src/numerics/hadamard.ts defines it: the same additions in the same
// order, one multiplication after them.
// Include-only; constants from src/kernels/rows/rotation.ts.
//
// A thread holds four vec4s, and sixteen threads a tile: 64 vec4s, a block of 256 or several smaller ones. The 64 places
// of a tile have six bits. A thread holds places that differ in the upper two, so that sixteen threads load and store one
// run of memory; what it holds is added and subtracted in registers. For the other four bits
//   SHUFFLES  threads of a subgroup read each other's registers: no barrier, and no workgroup memory;
//   else      exchanges through workgroup memory bring a thread places that differ in the lower two bits, then in the
//             middle two, then its own again. It writes only where it has read last, so each exchange has one barrier.
//
// Results are at the places that values came from.
//! if ROTATED != none

alias Tile = array<vec4<f32>, 4>;

// Where value i of a thread is, counted in vec4s: value 4 is the first of the workgroup's next tiles.
fn tile_place(thread: u32, i: u32) -> u32 {
  return i / 4u * (4u * THREADS) + thread / 16u * 64u + thread % 16u + 16u * (i % 4u);
}

// The butterflies within a vec4.
fn within(v: vec4<f32>) -> vec4<f32> {
  let x = vec4<f32>(v.xz + v.yw, v.xz - v.yw).xzyw;
//! if BUTTERFLY_2
  return vec4<f32>(x.xy + x.zw, x.xy - x.zw);
//! else
  return x;
//! end
}

// Those of values 0 and 1, 2 and 3; and of 0 and 2, 1 and 3.
fn beside(x: Tile) -> Tile { return Tile(x[0] + x[1], x[0] - x[1], x[2] + x[3], x[2] - x[3]); }
fn across(x: Tile) -> Tile { return Tile(x[0] + x[2], x[1] + x[3], x[0] - x[2], x[1] - x[3]); }

//! if BUTTERFLY_4
//! if SHUFFLES
//! if ENABLE_SHUFFLES
enable subgroups;
//! end

// Those of the threads that differ in bit \`mask\`: an exact product, so fused or not it is one addition.
fn shuffled(x: Tile, thread: u32, mask: u32) -> Tile {
  let sign = select(1.0, -1.0, (thread & mask) != 0u);
  return Tile(
    sign * x[0] + subgroupShuffleXor(x[0], mask),
    sign * x[1] + subgroupShuffleXor(x[1], mask),
    sign * x[2] + subgroupShuffleXor(x[2], mask),
    sign * x[3] + subgroupShuffleXor(x[3], mask),
  );
}
//! else
var<workgroup> tiles: array<vec4<f32>, 4 * THREADS>;

// Spreads the places that threads beside each other access at once over the banks of memory. Bit by bit, so that the
// exclusive or of two results is that of their sum, where they share no bit.
fn spread(place: u32) -> u32 {
  return place ^ (((place >> 4u) & 1u) * 5u) ^ (((place >> 2u) ^ (place >> 4u)) & 2u);
}
//! end
//! end

// The transform of a workgroup's tiles, for all of its invocations at once.
fn rotated(values: Tile, thread: u32) -> Tile {
  var x = Tile(within(values[0]), within(values[1]), within(values[2]), within(values[3]));
//! if BUTTERFLY_64
  x = beside(x);
//! end
//! if BUTTERFLY_128
  x = across(x);
//! end
//! if BUTTERFLY_4
//! if SHUFFLES
  x = shuffled(x, thread, 1u);
//! if BUTTERFLY_8
  x = shuffled(x, thread, 2u);
//! end
//! if BUTTERFLY_16
  x = shuffled(x, thread, 4u);
//! end
//! if BUTTERFLY_32
  x = shuffled(x, thread, 8u);
//! end
//! else
  let tile = thread / 16u * 64u;
  let low = thread % 4u;
  let high = thread / 4u % 4u;
  let own = tile + spread(low + 4u * high);
//! unroll i 0 4
  tiles[own ^ spread(16u * \${i}u)] = x[$i];
//! end
  workgroupBarrier();
  let lower = tile + spread(4u * high + 16u * low);
//! unroll i 0 4
  x[$i] = tiles[lower ^ spread(\${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_8
  x = across(x);
//! end
//! unroll i 0 4
  tiles[lower ^ spread(\${i}u)] = x[$i];
//! end
  workgroupBarrier();
//! if BUTTERFLY_16
  let middle = tile + spread(low + 16u * high);
//! unroll i 0 4
  x[$i] = tiles[middle ^ spread(4u * \${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_32
  x = across(x);
//! end
//! unroll i 0 4
  tiles[middle ^ spread(4u * \${i}u)] = x[$i];
//! end
  workgroupBarrier();
//! end
//! unroll i 0 4
  x[$i] = tiles[own ^ spread(16u * \${i}u)];
//! end
//! end
//! end
  return Tile($ROTATION_FACTOR * x[0], $ROTATION_FACTOR * x[1], $ROTATION_FACTOR * x[2], $ROTATION_FACTOR * x[3]);
}
//! end
`,
  "int8.wgsl": `// The codec of src/numerics/int8.ts in WGSL: integers from -127 to 127, four in a u32, lowest byte first.
// Include-only.
//
// No conversion between integers and floats, and no rounding function, of which a GPU does a quarter to an eighth as many:
// an integer plus 2^23, or one and a half times that, is an f32 whose lower bits are the integer's.

// Rounded to nearest, ties to even, by the adder; NaN becomes 0.
fn pack4_int8(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  let limited = clamp(select(v, vec4<f32>(), bits > vec4<u32>(0x7f800000u)), vec4<f32>(-127.0), vec4<f32>(127.0));
  let made = bitcast<vec4<u32>>(limited + 12583040.0); // 0x4b400000 + code + 128
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x74c00000u) ^ 0x80808080u;
}

fn unpack4_int8(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa's lowest byte, or the next one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(1.0, 0x1p-8, 1.0, 0x1p-8) -
    vec4<f32>(8388736.0, 32896.0, 8388736.0, 32896.0);
}
`,
  "linear_grid.wgsl": `// The number of a workgroup in a grid that \`linearGrid\` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}
`,
  "low_rank_gradient.wgsl": `// The gradient of a factor of low rank, out[m][n] = alpha · Σ_t a[t][m] · b[t][n], in f32: many rows m, few columns
// n, a long sum over tokens. FALQON's dB = c · Gᵀ·(x·Aᵀ).
//
// Shapes: a f32 [tokens, ·] from column a_column on, b f32 or codes [tokens, ·] from b_column on, out f32 [m, n].
// Idea: both operands lie along the outer index, so they pass to workgroup memory as they are. A workgroup makes BM rows
// of out and, where they fit, all its columns, so that a is read once; a thread makes TM × TN values in registers. To
// give a large GPU enough workgroups the tokens are split, \`split_k\` to each z, whose partial results are added in
// order by sum_partials.wgsl. Indices are clamped instead of guarded: what is past the end of the tokens counts zero by
// b, and rows and columns that are not there are not stored.

struct Params {
  m: u32,
  n: u32,
  tokens: u32,
  split_k: u32,   // tokens of a workgroup, a multiple of BK
  a_pitch: u32,
  a_column: u32,
  b_pitch: u32,
  b_column: u32,
  out_pitch: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

//! include low_rank_right.wgsl

// Four values as they are.
fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
//! if B_CODES
  return right_values(quad) / scale;
//! else
  return quad;
//! end
}

const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const THREADS = ROW_LANES * COLUMN_LANES;
const A_TASKS = BK * BM / 4; // one vec4 each
const B_TASKS = BK * BN / 4;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4>, BK>; // [token][row / 4]
var<workgroup> b_tile: array<array<vec4<f32>, BN / 4>, BK>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let first = group.z * params.split_k;
  let end = min(first + params.split_k, params.tokens);
  let last_token = params.tokens - 1u;
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // What this thread fetches: tokens relative to the step, and places in a row, counted in vec4s.
//! unroll t 0 A_LOADS
  let a_token_$t = (thread + \${t}u * THREADS) / (BM / 4u);
  let a_slot_$t = (thread + \${t}u * THREADS) % (BM / 4u);
  let a_at_$t = params.a_column / 4u + min(m0 / 4u + a_slot_$t, (params.m - 1u) / 4u);
  var a_next_$t = a[min(first + a_token_$t, last_token) * (params.a_pitch / 4u) + a_at_$t];
//! end
//! unroll t 0 B_LOADS
  let b_token_$t = (thread + \${t}u * THREADS) / (BN / 4u);
  let b_slot_$t = (thread + \${t}u * THREADS) % (BN / 4u);
  let b_at_$t = params.b_column / 4u + min(n0 / 4u + b_slot_$t, (params.n - 1u) / 4u);
  var b_next_$t = fetch_right(min(first + b_token_$t, last_token), b_at_$t, params.b_pitch / 4u);
  var b_scale_$t = right_scale(min(first + b_token_$t, last_token));
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_\${i}_\${c}_$j = vec4<f32>();
//! end
//! end
//! end

  for (var t0 = first; t0 < end; t0 += BK) {
    workgroupBarrier();
//! unroll t 0 A_LOADS
    if (thread + \${t}u * THREADS < A_TASKS) { a_tile[a_token_$t][a_slot_$t] = a_next_$t; }
//! end
//! unroll t 0 B_LOADS
    if (thread + \${t}u * THREADS < B_TASKS) {
      b_tile[b_token_$t][b_slot_$t] = select(
        vec4<f32>(), right_quad(b_next_$t, b_scale_$t), t0 + b_token_$t < end);
    }
//! end
    workgroupBarrier();
    let t1 = t0 + BK;
//! unroll t 0 A_LOADS
    a_next_$t = a[min(t1 + a_token_$t, last_token) * (params.a_pitch / 4u) + a_at_$t];
//! end
//! unroll t 0 B_LOADS
    b_next_$t = fetch_right(min(t1 + b_token_$t, last_token), b_at_$t, params.b_pitch / 4u);
    b_scale_$t = right_scale(min(t1 + b_token_$t, last_token));
//! end
//! unroll k 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$k][tm + \${i}u * ROW_LANES];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$k][tn + \${j}u * COLUMN_LANES];
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

//! unroll j 0 TN/4
  let column_$j = n0 + (tn + \${j}u * COLUMN_LANES) * 4u;
  let kept_$j = column_$j + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_\${i}_$c = m0 + (tm + \${i}u * ROW_LANES) * 4u + \${c}u;
//! unroll j 0 TN/4
  // Up to the pitch: the columns behind n are zeros.
  if (row_\${i}_$c < params.m && column_$j < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_\${i}_$c) * params.out_pitch + column_$j) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_\${i}_\${c}_$j, kept_$j);
//! if ACCUMULATE
    out[at] += value;
//! else
    out[at] = value;
//! end
  }
//! end
//! end
//! end
}
`,
  "low_rank_gradient_tensor.wgsl": `// The gradient of a factor of low rank on tensor cores: out[m][n] = alpha · Σ_t a[t][m] · b[t][n], from operands
// rounded to f16, with f32 sums. As low_rank_gradient.wgsl, where that is bound by arithmetic instead of by the
// reading of \`a\`.
//
// Shapes: a f32 or f16 (A_TYPE) [tokens, ·] from column a_column on, b f32 or codes [tokens, ·] from b_column on, out f32 [m, n].
// Range: gradients are far smaller than f16 reaches. \`a\` is multiplied by a power of two (see gradient_scale.wgsl), after its
// columns were divided by their scales (COLUMN_SCALES), and out the other way round. \`b\` is of ordinary size and limited.
// An \`a\` in f16 comes with its columns divided and its rows multiplied by row_scales, which bring each of them into range
// by itself. They are taken out again where they can be: b's row t is multiplied by the power / row_scales[t], at most 1.
// Idea: a workgroup of 2 × 2 subgroups of 32 makes BM × BN values of one split of SPLIT_K tokens. A step of BK tokens
// waits in workgroup memory as it is stored, the next is fetched into registers meanwhile; fragments of \`a\` are
// loaded transposed at no cost. SPLIT_K is known to the compiler, which unrolls the loop. Splits are added by
// sum_partials.wgsl. A vector of 8 f16 values in workgroup memory joins two quads of a row that are half a row apart,
// so that neighbouring invocations fetch neighbouring quads; results are put back in order when they are stored. f16
// values are fetched as they are. Indices are clamped instead of guarded: what is past the end of the tokens counts
// zero by \`b\`, and rows and columns that are not there are not stored.
//! include fragments.wgsl
//! include low_rank_right.wgsl

struct Params {
  m: u32, n: u32, tokens: u32,
  a_pitch: u32, a_column: u32, // in quads
  b_pitch: u32, b_column: u32,
  out_pitch: u32,
  alpha: f32,
  power_factor: f32, // a power of two
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> power: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(5) var<storage, read> column_scales: array<vec4<f32>>; // of the columns of a
//! end

fn used_power() -> f32 { return power[0] * params.power_factor; }

const THREADS = 128u;
// Rows of the tiles in vectors of 8 f16 values, without and with the pad that spreads rows over the banks.
const A_VECTORS = BM / 8u;
const B_VECTORS = BN / 8u;
const A_ROW = A_VECTORS + 1u;
const B_ROW = B_VECTORS + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// Rows of the outgoing sums of a subgroup in vectors of 4 floats.
const OUT_ROW = BN / 8u + 2u;
// Tokens that the invocations fetch at once.
const A_TOKENS = THREADS / A_VECTORS;
const B_TOKENS = THREADS / B_VECTORS;
const STEPS = SPLIT_K / BK;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BK * B_ROW, 64u * OUT_ROW)>;

// Of each token, scale_of is what its rows of \`a\` and \`b\` were multiplied by; right_quad turns values of its row of \`b\`
// into those of the tile, before they are rounded.
//! if A_TYPE == f16
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> row_scales: array<f32>; // of the rows of a

fn scale_of(token: u32) -> f32 {
  return row_scales[token] * right_scale(token);
}

fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
  return saturated(right_values(quad) * (used_power() / scale));
}
//! else
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

fn scale_of(token: u32) -> f32 {
  return right_scale(token);
}

fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
//! if B_CODES
  return saturated(right_values(quad) / scale);
//! else
  return saturated(quad);
//! end
}

// The factors of four columns of \`a\`, from the one at \`quad\` on.
fn factor_of(quad: u32) -> vec4<f32> {
//! if COLUMN_SCALES
  return used_power() / column_scales[quad];
//! else
  return vec4<f32>(used_power());
//! end
}
//! end

// Stores four neighbouring sums of a row.
fn store(split: u32, row: u32, column: u32, sum: vec4<f32>) {
  // Up to the pitch: the columns behind n are zeros.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  var value = sum * (params.alpha / used_power());
//! if COLUMN_SCALES
  value *= column_scales[params.a_column + row / 4u][row % 4u];
//! end
  value = select(vec4<f32>(), value, column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n));
  let at = ((split * params.m + row) * params.out_pitch + column) / 4u;
//! if ACCUMULATE
  out[at] += value;
//! else
  out[at] = value;
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let first = group.z * SPLIT_K;
  let last_token = params.tokens - 1u;
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  // What this invocation fetches: two quads each of every A_TOKENS-th and B_TOKENS-th token.
  let a_token = thread / A_VECTORS;
  let a_vector = thread % A_VECTORS;
  let a_end = params.a_column + (params.m - 1u) / 4u;
//! if A_TYPE == f16
  let a_pitch = params.a_pitch / 2u; // in eights, as a_eight
  let a_eight = min(params.a_column + m0 / 4u + 2u * a_vector, a_end) / 2u;
//! else
  let a_pitch = params.a_pitch;
  let a_low = min(params.a_column + m0 / 4u + a_vector, a_end);
  let a_high = min(params.a_column + m0 / 4u + a_vector + A_VECTORS, a_end);
  let a_low_factor = factor_of(a_low);
  let a_high_factor = factor_of(a_high);
//! end
  let b_token = thread / B_VECTORS;
  let b_vector = thread % B_VECTORS;
  let b_end = params.b_column + (params.n - 1u) / 4u;
  let b_low = min(params.b_column + n0 / 4u + b_vector, b_end);
  let b_high = min(params.b_column + n0 / 4u + b_vector + B_VECTORS, b_end);
//! unroll p 0 A_LOADS
  let a_row_$p = min(first + a_token + \${p}u * A_TOKENS, last_token) * a_pitch;
//! if A_TYPE == f16
  var a_f16_$p = a[a_row_$p + a_eight];
//! else
  var a_low_$p = a[a_row_$p + a_low];
  var a_high_$p = a[a_row_$p + a_high];
//! end
//! end
//! unroll p 0 B_LOADS
  let b_row_$p = min(first + b_token + \${p}u * B_TOKENS, last_token);
  var b_low_$p = fetch_right(b_row_$p, b_low, params.b_pitch);
  var b_high_$p = fetch_right(b_row_$p, b_high, params.b_pitch);
  var b_scale_$p = scale_of(b_row_$p);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_\${i}_$j = Sum();
//! end
//! end

  for (var step = 0u; step < STEPS; step += 1u) {
    let t0 = first + step * BK;
    workgroupBarrier();
//! unroll p 0 A_LOADS
//! if A_TYPE == f16
    tile[(a_token + \${p}u * A_TOKENS) * A_ROW + a_vector] = a_f16_$p;
//! else
    tile[(a_token + \${p}u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_$p * a_low_factor, a_high_$p * a_high_factor);
//! end
//! end
//! unroll p 0 B_LOADS
    tile[B_TILE + (b_token + \${p}u * B_TOKENS) * B_ROW + b_vector] = select(
      vec4<u32>(), to_f16(right_quad(b_low_$p, b_scale_$p), right_quad(b_high_$p, b_scale_$p)),
      t0 + b_token + \${p}u * B_TOKENS < params.tokens);
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let next = first + min(step + 1u, STEPS - 1u) * BK;
//! unroll p 0 A_LOADS
    {
      let row = min(next + a_token + \${p}u * A_TOKENS, last_token) * a_pitch;
//! if A_TYPE == f16
      a_f16_$p = a[row + a_eight];
//! else
      a_low_$p = a[row + a_low];
      a_high_$p = a[row + a_high];
//! end
    }
//! end
//! unroll p 0 B_LOADS
    {
      let row = min(next + b_token + \${p}u * B_TOKENS, last_token);
      b_low_$p = fetch_right(row, b_low, params.b_pitch);
      b_high_$p = fetch_right(row, b_high, params.b_pitch);
      b_scale_$p = scale_of(row);
    }
//! end
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = load_left_transposed(16u * \${kk}u * A_ROW + half_m * (BM / 16u) + 2u * \${i}u, A_ROW);
//! end
//! unroll j 0 BN/32
      let b_$j = load_right(B_TILE + 16u * \${kk}u * B_ROW + half_n * (BN / 16u) + 2u * \${j}u, B_ROW);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
      sum_\${i}_$j = multiply_add(a_$i, b_$j, sum_\${i}_$j);
//! end
//! end
    }
//! end
  }

  // 16 rows at a time: a subgroup's 16 × (BN / 2) sums, then its lanes store them row by row.
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
//! unroll i 0 BM/32
  workgroupBarrier();
//! unroll j 0 BN/32
  store_sum(mine + 4u * \${j}u, OUT_ROW, sum_\${i}_$j);
//! end
  workgroupBarrier();
//! unroll q 0 BN/16
  {
    let item = lane + 32u * \${q}u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * \${i}u + strip_row;
//! if A_TYPE == f16
    let row = m0 + tile_row;
//! else
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
//! end
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
//! end
//! end
}

// Which quad of a row lies at place \`quad\` of the tile, whose row has \`vectors\` pairs of them.
fn in_order(quad: u32, vectors: u32) -> u32 { return quad / 2u + quad % 2u * vectors; }
`,
  "low_rank_right.wgsl": `// The right factor of a gradient of low rank, four columns of a token at a time: f32, or (B_CODES) codes, the rows of
// which were multiplied by b_scales. Include-only; constants of the codes' format from src/kernels/codes.ts.
//
// They are fetched as they are stored, well before they are used, and decoded where they are.
//! if B_CODES
//! include $CODES_INCLUDE
//! include code_place.wgsl

@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(7) var<storage, read> b_scales: array<f32>;

alias RightQuad = u32;

// \`quads\` is what a row has of them.
fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[code_place(token, at, quads)]; }
fn right_scale(token: u32) -> f32 { return b_scales[token]; }
// Times their scale.
fn right_values(quad: RightQuad) -> vec4<f32> { return unpack4_$CODES(quad); }
//! else
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

alias RightQuad = vec4<f32>;

fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[token * quads + at]; }
fn right_scale(token: u32) -> f32 { return 1.0; }
fn right_values(quad: RightQuad) -> vec4<f32> { return quad; }
//! end
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
  "mix.wgsl": `// A bijection of 32-bit words whose output bits each depend on all input bits: mix32 in src/numerics/random.ts.
// Include-only.

fn mix(word: u32) -> u32 {
  var z = word;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}
`,
  "nf4_absmax.wgsl": `// The largest magnitude of each block of 64 values of a weight: absmax[b] = max |x[i]|, i in block b; NaN if that is in it.
//
// x: f32 [rows, cols] with a pitch; a block runs on from the end of a row to the next one. absmax: f32 [blocks].
// One thread per block: for loading a model, not for its step.
//! include linear_grid.wgsl

struct Params {
  count: u32, // rows · cols
  cols: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> absmax: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let block = linear_index(group, groups) * 64u + thread;
  let first = block * BLOCK;
  if (first >= params.count) { return; }
  var row = first / params.cols;
  var col = first % params.cols;
  var largest = 0u;
  for (var i = first; i < min(first + BLOCK, params.count); i++) {
    largest = max(largest, bitcast<u32>(x[row * params.pitch + col]) & 0x7fffffffu);
    col++;
    if (col == params.cols) { col = 0u; row++; }
  }
  absmax[block] = bitcast<f32>(largest);
}
`,
  "nf4_dequantize.wgsl": `// A weight in NF4 with double quantisation, to f16:
//   out[r][c] = nf4[code] · (dynamic[absmax code] · scale + offset), the scale that of 256 blocks of 64 values.
//
// codes: 4 bits, eight in a u32, [rows, words · 8]; absmax_codes: u8 [blocks], four in a u32; statistics: f32 [groups
// + 1], scales and then the offset; out: f16 [rows, words · 8]. Blocks run along rows of \`cols\` values that follow
// each other; what is beyond has the code of zero. One thread per u32, eight values: a load of 4 bytes, a store of
// 16. The 16 values wait in workgroup memory, in 16 banks, where threads that want different ones do not wait for
// each other.
//! include linear_grid.wgsl
//! include nf4_tables.wgsl

struct Params {
  rows: u32,       // rows to write, those beyond the weight's included
  cols: u32,
  words: u32,      // u32s of codes in a row
  last_block: u32,
  groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> absmax_codes: array<u32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read> tables: Tables;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<u32>>;

var<workgroup> nf4: array<f32, 16>;

fn absmax_of(block: u32) -> f32 {
  let b = min(block, params.last_block);
  let code = (absmax_codes[b / 4u] >> (8u * (b % 4u))) & 0xffu;
  return tables.dynamic[code] * statistics[b / GROUP] + statistics[params.groups];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  if (thread < 16u) { nf4[thread] = tables.nf4[thread]; }
  workgroupBarrier();
  let word = linear_index(group, groups) * THREADS + thread;
  let row = word / params.words;
  if (row >= params.rows) { return; }
  let packed = codes[word];
  let first = row * params.cols + (word % params.words) * 8u;
  let block = first / BLOCK;
  let scale = absmax_of(block);
//! if STRADDLES
  // Rows that are no multiple of 8 values: the next block may begin within these eight.
  let next_scale = absmax_of(block + 1u);
  let left = (block + 1u) * BLOCK - first; // values of this block, the first of the eight included
//! end
//! unroll i 0 8
//! if STRADDLES
  let value_$i = nf4[(packed >> (4u * \${i}u)) & 15u] * select(next_scale, scale, \${i}u < left);
//! else
  let value_$i = nf4[(packed >> (4u * \${i}u)) & 15u] * scale;
//! end
//! end
  out[word] = vec4<u32>(
    pack2x16float(vec2<f32>(value_0, value_1)), pack2x16float(vec2<f32>(value_2, value_3)),
    pack2x16float(vec2<f32>(value_4, value_5)), pack2x16float(vec2<f32>(value_6, value_7)));
}
`,
  "nf4_quantize.wgsl": `// NF4 codes of a weight: codes[r][c] = nearest(x[r][c] / absmax of its block).
//
// x: f32 [rows, cols] with a pitch; absmax: f32 [blocks of 64 values, along rows that follow each other]; codes: 4 bits,
// eight in a u32, [rows rounded up to 16, pitch]. What is beyond rows and cols gets the code of zero, so that decoding
// needs no case for it. One thread per u32.
//! include linear_grid.wgsl
//! include nf4_tables.wgsl

struct Params {
  rows: u32,
  code_rows: u32, // rows rounded up
  cols: u32,
  words: u32,     // u32s of codes in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> absmax: array<f32>;
@group(0) @binding(3) var<storage, read> tables: Tables;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;

// As in src/numerics/nf4.ts: how many midpoints, times the magnitude, are below.
fn encode(value: f32, scale: f32) -> u32 {
  if (scale == 0.0) { return NF4_ZERO; }
  var code = 0u;
  for (var step = 8u; step > 0u; step /= 2u) {
    if (value > tables.nf4_midpoints[code + step - 1u] * scale) { code += step; }
  }
  return code;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let word = linear_index(group, groups) * 64u + thread;
  let row = word / params.words;
  if (row >= params.code_rows) { return; }
  let first = (word % params.words) * 8u;
  var packed = 0u;
  for (var i = 0u; i < 8u; i++) {
    let col = first + i;
    var code = u32(NF4_ZERO);
    if (row < params.rows && col < params.cols) {
      let scale = absmax[(row * params.cols + col) / BLOCK];
      code = encode(x[row * params.words * 8u + col], scale);
    }
    packed |= code << (4u * i);
  }
  codes[word] = packed;
}
`,
  "nf4_quantize_absmax.wgsl": `// Double quantisation of NF4: the blocks' magnitudes, less their mean, in the dynamic 8-bit type, 256 per scale.
//   offset = mean(absmax);   scale[g] = max |absmax[b] - offset|, b in group g;   code[b] = nearest(absmax[b] - offset)
//
// absmax: f32 [blocks], sum: f32, their sum; codes: u8 [blocks], four in a u32; statistics: f32 [groups + 1], the scales
// and behind them the offset. One workgroup per group, four blocks per thread, so that a thread writes one u32.
//! include linear_grid.wgsl
//! include nf4_tables.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  blocks: u32,
  groups: u32,
  inverse_blocks: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> absmax: array<f32>;
@group(0) @binding(2) var<storage, read> sum: array<f32>;
@group(0) @binding(3) var<storage, read> tables: Tables;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<f32>;

// The nearest value's code, as in src/numerics/nf4.ts: how many midpoints, times the scale, are below.
fn encode(value: f32, scale: f32) -> u32 {
  if (scale == 0.0) { return DYNAMIC_ZERO; }
  var code = 0u;
  for (var step = 128u; step > 0u; step /= 2u) {
    if (value > tables.dynamic_midpoints[code + step - 1u] * scale) { code += step; }
  }
  return code;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let group = linear_index(workgroup, workgroups);
  if (group >= params.groups) { return; }
  let offset = sum[0] * params.inverse_blocks;
  let first = (group * THREADS + thread) * 4u;
  var centred = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    if (first + i < params.blocks) { centred[i] = absmax[first + i] - offset; }
  }
  let largest = bitcast<vec4<u32>>(centred) & vec4<u32>(0x7fffffffu);
  let bits = workgroup_max_bits(max(max(largest.x, largest.y), max(largest.z, largest.w)), thread);
  let scale = bitcast<f32>(bits); // NaN, if a magnitude is
  if (thread == 0u) { statistics[group] = scale; }
  if (thread == 0u && group == 0u) { statistics[params.groups] = offset; }
  if (first >= params.blocks) { return; }
  codes[first / 4u] = encode(centred.x, scale) | (encode(centred.y, scale) << 8u) |
    (encode(centred.z, scale) << 16u) | (encode(centred.w, scale) << 24u);
}
`,
  "nf4_tables.wgsl": `// The number types of NF4 with double quantisation, from src/numerics/nf4.ts. Include-only.

struct Tables {
  dynamic: array<f32, 256>,           // the 8-bit type's values, ascending
  dynamic_midpoints: array<f32, 256>, // halfway between neighbours, 255 of them
  nf4: array<f32, 16>,
  nf4_midpoints: array<f32, 16>,
}
`,
  "output_gate.wgsl": `// The gate of attention's output: output = attended · sigmoid(z), element by element.
//
// Shapes: attended and output f32 [tokens, width]; z columns of merged f32 [tokens, ·], from a multiple of 16 on. One
// thread per vec4 up to the pitch: zeros between give zeros.
//! include linear_grid.wgsl
//! include bounded_below.wgsl

struct Params {
  tokens: u32,
  vectors: u32, // vec4s in a row of attended
  z_vector: u32, z_vectors: u32, // where z begins, and vec4s in a row of merged
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> attended: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> merged: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let z = merged[token * params.z_vectors + params.z_vector + item % params.vectors];
  output[item] = attended[item] / (1.0 + exp(-bounded_below(z)));
}
`,
  "output_gate_backward.wgsl": `// The gradient of output_gate.wgsl: d, that of its output, becomes that of attended in place, and
//   d_z = d · attended · sigmoid'(z) goes to the columns of z in d_merged.
//
// Shapes: as there. One thread per vec4 up to the pitch.
//! include linear_grid.wgsl
//! include bounded_below.wgsl

struct Params {
  tokens: u32,
  vectors: u32,
  z_vector: u32, z_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> attended: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> merged: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> d_merged: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let z_at = token * params.z_vectors + params.z_vector + item % params.vectors;
  let s = 1.0 / (1.0 + exp(-bounded_below(merged[z_at])));
  let d_attended = d[item] * s;
  d[item] = d_attended;
  d_merged[z_at] = d_attended * attended[item] * (1.0 - s);
}
`,
  "pack.wgsl": `// Packs an operand of a matrix product for the half-precision kernels as f16, contraction outermost.
//
// in:  TYPE e4m3, e5m2 or f16, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: f16 in panels of PANEL x, the width of the product's tiles, whose steps along k are then one piece of memory:
//      PAIRS: [x / PANEL][k / 2][PANEL][2], neighbours along k side by side, for packed arithmetic (gemm_f16.wgsl);
//      else   [x / PANEL][k][PANEL], from f16 only, for matrix fragments (gemm_tensor.wgsl; FP8: pack_codes.wgsl).
// x and k are rounded up to whole panels and steps, k is filled with zeros, so that the product needs no bounds.
//
// An e4m3 code shifted into an f16 is worth value · 2^-8, an e5m2 code its value; FACTOR multiplies either. Where the
// storage must be transposed, a piece of it waits in workgroup memory, so that reads and writes both are vectors
// along what is contiguous.
enable f16;

struct Params {
  x: u32,
  k: u32,          // rows (BY_K) or columns that hold values; columns up to a multiple of 16 are zero
  in_pitch: u32,   // elements
  in_column: u32,
  out_k: u32,      // k rounded up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if BY_K
@group(0) @binding(1) var<storage, read> codes: array<u32>;
//! else
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
//! end
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<u32>>;

//! if FACTOR != 1
// Times FACTOR, two f16.
fn scaled(halves: u32) -> u32 { return pack2x16float(unpack2x16float(halves) * f32(FACTOR)); }

//! end
// FP8 codes in bytes 0 and 2 as two f16, four times.
fn widen(bytes: vec4<u32>) -> vec4<u32> {
//! if TYPE == e4m3
  let halves = ((bytes & vec4<u32>(0x00800080u)) << vec4<u32>(8u)) | ((bytes & vec4<u32>(0x007f007fu)) << vec4<u32>(7u));
//! else
  let halves = (bytes & vec4<u32>(0x00ff00ffu)) << vec4<u32>(8u);
//! end
//! if FACTOR == 1
  return halves;
//! else
  return vec4<u32>(scaled(halves.x), scaled(halves.y), scaled(halves.z), scaled(halves.w));
//! end
}

// Bytes 0 and 1, and 2 and 3, of a word, each in a word of its own.
fn apart(word: u32) -> vec2<u32> {
  return vec2<u32>(
    (word & 0xffu) | ((word & 0xff00u) << 8u),
    ((word >> 16u) & 0xffu) | ((word >> 8u) & 0xff0000u),
  );
}

//! if BY_K
const THREADS_ROW = 128u / WIDTH;
const WORD = PER_VECTOR / 4u; // elements in a word

// WIDTH f16 of a row from element i on, or zeros.
//! if PAIRS
fn row_at(inside: bool, i: u32) -> vec2<u32> {
  let at = select(0u, i / WORD, inside);
//! if PER_VECTOR == 16
  let halves = widen(vec4<u32>(apart(codes[at]), 0u, 0u)).xy;
//! else
  let halves = vec2<u32>(codes[at], codes[at + 1u]);
//! end
  return select(vec2<u32>(), halves, inside);
}
//! else
fn row_at(inside: bool, i: u32) -> vec4<u32> {
  let at = select(0u, i / WORD, inside);
  let halves = vec4<u32>(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
  return select(vec4<u32>(), halves, inside);
}
//! end

// 128 x by 64 k; a thread makes a vector of a row, or of a pair of rows, PAIRS_AT_ONCE pairs apart.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = thread % THREADS_ROW;
  let x = group.x * 128u + column * WIDTH;
  let fits = x < ((params.x + 15u) & ~15u);
//! unroll p 0 32/PAIRS_AT_ONCE
  {
    let pair = group.y * 32u + \${p}u * PAIRS_AT_ONCE + thread / THREADS_ROW;
    let at = 2u * pair * params.in_pitch + params.in_column + x;
    let even = row_at(fits && 2u * pair < params.k, at);
    let odd = row_at(fits && 2u * pair + 1u < params.k, at + params.in_pitch);
//! if PAIRS
    let low = (even & vec2<u32>(0xffffu)) | (odd << vec2<u32>(16u));
    let high = (even >> vec2<u32>(16u)) | (odd & vec2<u32>(0xffff0000u));
    packed[(x / PANEL * params.out_k / 2u + pair) * (PANEL / 4u) + x % PANEL / 4u] =
      vec4<u32>(low.x, high.x, low.y, high.y);
//! else
    let to = (x / PANEL * params.out_k + 2u * pair) * (PANEL / 8u) + x % PANEL / 8u;
    packed[to] = even;
    packed[to + PANEL / 8u] = odd;
//! end
  }
//! end
}
//! else
// 64 x by 32 words of codes: [word][x], with one more x so that walking either way meets all banks.
var<workgroup> tile: array<array<u32, 65>, 32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * 64u;
  let k0 = group.y * TILE_K;
//! unroll p 0 2
  {
    let x = thread / 8u + \${p}u * 32u;
    let vector = thread % 8u;
    let k = k0 + vector * PER_VECTOR;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / PER_VECTOR;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
//! unroll c 0 4
    tile[vector * 4u + \${c}u][x] = v[$c];
//! end
  }
//! end
  workgroupBarrier();
  let panel = x0 / PANEL;
//! if PAIRS
  // Four x of a word: as many pairs along k as it has.
//! unroll p 0 2
  {
    let word = thread / 16u + \${p}u * 16u;
    let x = thread % 16u * 4u;
    let v = vec4<u32>(tile[word][x], tile[word][x + 1u], tile[word][x + 2u], tile[word][x + 3u]);
    let pair = (panel * params.out_k + k0) / 2u + word * PER_VECTOR / 8u;
    let to = pair * (PANEL / 4u) + (x0 % PANEL + x) / 4u;
//! if PER_VECTOR == 16
    if (k0 + 4u * word < params.out_k) {
      packed[to] = widen((v & vec4<u32>(0xffu)) | ((v & vec4<u32>(0xff00u)) << vec4<u32>(8u)));
      packed[to + PANEL / 4u] = widen(((v >> vec4<u32>(16u)) & vec4<u32>(0xffu)) | ((v >> vec4<u32>(8u)) & vec4<u32>(0xff0000u)));
    }
//! else
    packed[to] = v;
//! end
  }
//! end
//! else
  // Eight x of a word: two rows.
  let word = thread / 8u;
  let x = thread % 8u * 8u;
  let even = vec4<u32>(tile[word][x], tile[word][x + 2u], tile[word][x + 4u], tile[word][x + 6u]);
  let odd = vec4<u32>(tile[word][x + 1u], tile[word][x + 3u], tile[word][x + 5u], tile[word][x + 7u]);
  let row = panel * params.out_k + k0 + word * 2u;
  let to = row * (PANEL / 8u) + (x0 % PANEL + x) / 8u;
  packed[to] = (even & vec4<u32>(0xffffu)) | (odd << vec4<u32>(16u));
  packed[to + PANEL / 8u] = (even >> vec4<u32>(16u)) | (odd & vec4<u32>(0xffff0000u));
//! end
}
//! end
`,
  "pack_codes.wgsl": `// Packs an FP8 operand of a matrix product for tensor cores (gemm_tensor.wgsl): still one byte per value, contraction
// outermost.
//
// in:  TYPE e4m3 or e5m2, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: [x / PANEL][k][PANEL / 2] lanes of 16 bits, in panels of the width of the product's tiles. Lane i of a row holds the
//      values of x = i and x = i + PANEL / 2 so that each becomes an f16 by a mask and hardly a shift:
//      e4m3: sign, other sign, 7 bits, other 7 bits; the f16 of value · 2^-8 is the sign, a zero, the 7 bits, zeros.
//      e5m2: one byte, other byte; an f16 begins with an e5m2.
// x and k are rounded up to whole panels and steps and filled with zeros, so that the product needs no bounds.
//
// Half the bytes of f16: what a product reads of its operands is what limits it on an H200.

struct Params {
  x: u32,
  k: u32,          // rows (BY_K) or columns that hold values; columns up to a multiple of 16 are zero
  in_pitch: u32,   // elements
  in_column: u32,
  out_k: u32,      // k rounded up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if BY_K
@group(0) @binding(1) var<storage, read> codes: array<vec2<u32>>;
//! else
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
//! end
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<u32>>;

// Lanes of codes in bytes 0 and 2 of the words.
fn lanes(one: vec4<u32>, other: vec4<u32>) -> vec4<u32> {
//! if TYPE == e4m3
  let sign = vec4<u32>(0x00800080u);
  let rest = vec4<u32>(0x007f007fu);
  return ((one & sign) << vec4<u32>(8u)) | ((other & sign) << vec4<u32>(7u)) | ((one & rest) << vec4<u32>(7u)) | (other & rest);
//! else
  return (one << vec4<u32>(8u)) | other;
//! end
}

// A workgroup packs 128 x; 8 of its threads make a row of these, 8 lanes each.
const GROUP_X = 128u;

// Where lane vector \`column\` of a row k begins in the output, and the first x of its lanes.
fn place(group: u32, column: u32, k: u32) -> u32 {
  let panel = group * (GROUP_X / PANEL) + column / (PANEL / 16u);
  return (panel * params.out_k + k) * (PANEL / 16u) + column % (PANEL / 16u);
}

fn first_x(column: u32) -> u32 { return column / (PANEL / 16u) * PANEL + column % (PANEL / 16u) * 8u; }

//! if BY_K
// Eight codes of a row, in bytes 0 and 2 of the words.
fn row_at(k: u32, x: u32) -> vec4<u32> {
  let inside = k < params.k && x < ((params.x + 15u) & ~15u);
  let at = select(0u, (k * params.in_pitch + params.in_column + x) / 8u, inside);
  let words = select(vec2<u32>(), codes[at], inside);
  let spread = words.xxyy >> vec4<u32>(0u, 16u, 0u, 16u);
  return (spread & vec4<u32>(0xffu)) | ((spread & vec4<u32>(0xff00u)) << vec4<u32>(8u));
}

// 128 x by 64 k.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = thread % 8u;
  let x = group.x * GROUP_X + first_x(column);
//! unroll p 0 2
  {
    let k = group.y * 64u + \${p}u * 32u + thread / 8u;
    packed[place(group.x, column, k)] = lanes(row_at(k, x), row_at(k, x + PANEL / 2u));
  }
//! end
}
//! else
// 128 x by 32 words of four codes: [word][x], with one more x so that walking either way meets all banks.
var<workgroup> tile: array<array<u32, GROUP_X + 1>, 32>;

// The codes of eight x: of the even ones, and of the odd ones.
struct Eight { even: vec4<u32>, odd: vec4<u32> }

fn eight(word: u32, x: u32) -> Eight {
  return Eight(
    vec4<u32>(tile[word][x], tile[word][x + 2u], tile[word][x + 4u], tile[word][x + 6u]),
    vec4<u32>(tile[word][x + 1u], tile[word][x + 3u], tile[word][x + 5u], tile[word][x + 7u]),
  );
}

// Their codes of one k, in bytes 0 and 2.
fn byte_of(codes: Eight, shift: u32) -> vec4<u32> {
  let byte = vec4<u32>(0xffu);
  return ((codes.even >> vec4<u32>(shift)) & byte) | (((codes.odd >> vec4<u32>(shift)) & byte) << vec4<u32>(16u));
}

// 128 x by 128 k.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * GROUP_X;
  let k0 = group.y * 128u;
//! unroll p 0 4
  {
    let x = thread / 8u + \${p}u * 32u;
    let k = k0 + thread % 8u * 16u;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / 16u;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
//! unroll c 0 4
    tile[thread % 8u * 4u + \${c}u][x] = v[$c];
//! end
  }
//! end
  workgroupBarrier();
  // Eight lanes of a word: as many rows as it has codes.
  let word = thread / 8u;
  let column = thread % 8u;
  if (k0 + 4u * word >= params.out_k) { return; }
  let one = eight(word, first_x(column));
  let other = eight(word, first_x(column) + PANEL / 2u);
//! unroll c 0 4
  packed[place(group.x, column, k0 + 4u * word + \${c}u)] = lanes(byte_of(one, 8u * \${c}u), byte_of(other, 8u * \${c}u));
//! end
}
//! end
`,
  "qk_norm.wgsl": `// RMSNorm of queries and keys, and with ROTATED the rotary position embedding behind it, on the way from one merged
// matrix of q, k and v to another, which attention reads:
//   output[row] = rotated(qkv[row] · rstd[row] · (offset + weight)),  rstd[row] = 1 / sqrt(mean(qkv[row]²) + eps)
// What becomes of values is VALUES: \`copied\`, \`normed\` without a weight, or \`keys\`: there are none in qkv, and the keys,
// normed without a weight and not rotated, are the values. The raw queries and keys stay, as the gradient of the norm
// needs them.
//
// Shapes: qkv and output [tokens, ·], f32 or with VEC4 also f16 (QKV), computed in f32 and rounded once; weights f32, one
// row each; with STATISTICS rstd f32 [tokens, ·], for the gradients: of q_rows + k_rows rows, and with VALUES normed of
// k_rows more. Rows: see qk_norm_rows.wgsl.
//
// Idea: bound by memory. A thread takes planes (i, i + half) of heads, so that it has both components that a rotation
// mixes, and keeps what it read, LOADS pairs of vectors. Values are rows like those of keys.
//! include linear_grid.wgsl
//! if ROTATED
//! include rotation.wgsl
//! elif VEC4
alias Values = vec4<f32>;
//! else
alias Values = f32;
//! end
//! include qk_norm_rows.wgsl
//! if QKV == f16
//! include saturated_f16.wgsl
//! end

struct Params {
  tokens: u32,
  q_rows: u32, k_rows: u32,
  q_vectors: u32, k_vectors: u32,
  q_column: u32, k_column: u32, v_column: u32,
  pitch: u32,
  out_pitch: u32,
  half: u32, // vectors of half a head
  rstd_pitch: u32,
  eps: f32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if QKV == f32
@group(0) @binding(1) var<storage, read> qkv: array<Values>;
@group(0) @binding(2) var<storage, read_write> output: array<Values>;

fn narrow(values: Values) -> Values { return values; }
//! else
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec2<u32>>;

// A normed value can be as large as its weight times the root of a row's length: it saturates.
fn narrow(values: Values) -> vec2<u32> { return saturated_halves(values); }
//! end
@group(0) @binding(3) var<storage, read> q_weight: array<Values>;
@group(0) @binding(4) var<storage, read> k_weight: array<Values>;
//! if STATISTICS
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;
//! end
//! if ROTATED
@group(0) @binding(6) var<storage, read> positions: array<u32>;
@group(0) @binding(7) var<storage, read> frequencies: array<vec2<u32>>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let normed_rows = params.q_rows + params.k_rows;
//! if VALUES == keys
  let count = normed_rows;
//! else
  let count = normed_rows + params.k_rows;
//! end
  let item = linear_index(group, groups) * ROWS + thread / ROW_THREADS;
  let known = item < params.tokens * count;
  // The last row stands in for rows that are missing: read, not written.
  var row = row_of(min(item, params.tokens * count - 1u), count);
  // Queries and keys have the same columns in the output.
  var out_at = row.at - row.token * params.pitch;
//! if VALUES == keys
  let is_key = row.index >= params.q_rows;
  let values_at = row.token * params.out_pitch + params.v_column + out_at - params.k_column;
//! else
  let is_value = row.index >= normed_rows;
  if (is_value) {
    let place = out_at - (params.k_column + params.k_rows * row.vectors);
    row.at += params.v_column - (params.k_column + params.k_rows * row.vectors);
    out_at = params.v_column + place;
  }
//! end
  out_at += row.token * params.out_pitch;

  // The first components of planes, in vectors, and their other components half a head further.
  let pairs = row.vectors / 2u;
//! unroll i 0 LOADS
  let pair_$i = thread % ROW_THREADS + \${i}u * ROW_THREADS;
  let known_$i = min(pair_$i, pairs - 1u);
  let place_$i = known_$i + known_$i / params.half * params.half;
  let a_$i = qkv_at(row.at + place_$i);
  let b_$i = qkv_at(row.at + place_$i + params.half);
//! end
  var squares = 0.0;
//! unroll i 0 LOADS
  squares += select(0.0, product(a_$i, a_$i) + product(b_$i, b_$i), pair_$i < pairs);
//! end
  let row_rstd = 1.0 / sqrt(row_sum(squares, thread) / f32(row.vectors * WIDTH) + params.eps);
//! if STATISTICS
//! if VALUES == copied
  let counts = !is_value;
//! else
  let counts = true;
//! end
  if (known && counts && thread % ROW_THREADS == 0u) { rstd[row.token * params.rstd_pitch + row.index] = row_rstd; }
//! end

//! if ROTATED
//! if QUERY_BETA
  let row_scale = select(1.0, query_scale(positions[row.token]), row.index < params.q_rows);
//! end
//! end
//! unroll i 0 LOADS
  let n_$i = a_$i * row_rstd;
  let m_$i = b_$i * row_rstd;
  let c_$i = n_$i * factor_at(row, place_$i);
  let d_$i = m_$i * factor_at(row, place_$i + params.half);
//! if ROTATED
  let angle_$i = rotation(positions[row.token], known_$i % params.half * WIDTH + LANES);
//! if QUERY_BETA
  let e_$i = (c_$i * angle_$i.cosine - d_$i * angle_$i.sine) * row_scale;
  let f_$i = (d_$i * angle_$i.cosine + c_$i * angle_$i.sine) * row_scale;
//! else
  let e_$i = c_$i * angle_$i.cosine - d_$i * angle_$i.sine;
  let f_$i = d_$i * angle_$i.cosine + c_$i * angle_$i.sine;
//! end
//! else
  let e_$i = c_$i;
  let f_$i = d_$i;
//! end
  if (known && pair_$i < pairs) {
//! if VALUES == copied
    output[out_at + place_$i] = narrow(select(e_$i, a_$i, is_value));
    output[out_at + place_$i + params.half] = narrow(select(f_$i, b_$i, is_value));
//! elif VALUES == normed
    output[out_at + place_$i] = narrow(select(e_$i, n_$i, is_value));
    output[out_at + place_$i + params.half] = narrow(select(f_$i, m_$i, is_value));
//! else
    output[out_at + place_$i] = narrow(e_$i);
    output[out_at + place_$i + params.half] = narrow(f_$i);
    if (is_key) {
      output[values_at + place_$i] = narrow(n_$i);
      output[values_at + place_$i + params.half] = narrow(m_$i);
    }
//! end
  }
//! end
}
`,
  "qk_norm_backward.wgsl": `// Gradient of the RMSNorm of queries and keys with respect to its input, in place, or with OUT into another matrix. With
// x a row of qkv, g = gradient · (offset + weight) and n = x · rstd:
//   d_qkv[row] = rstd · (g − n · mean(g · n))
// The gradient comes rotated back from the gradient of attention, as of what was normed. VALUES is what the forward made
// of values. That of values that were copied stays. Those that were normed have rows behind those of keys, without a
// weight. Where the keys were the values, g is the sum of both: they share x and rstd.
//
// Shapes: qkv and out [tokens, ·], with the same columns, qkv f32 or with VEC4 also f16 (QKV), as the forward read it;
// d_qkv [tokens, ·], f32, with the columns of the forward's output; weights f32, one row each; rstd as the forward wrote
// it. Rows: see qk_norm_rows.wgsl.
// Idea: bound by memory. A thread keeps what it read of a row, LOADS vectors.
//! include linear_grid.wgsl
//! if VEC4
alias Values = vec4<f32>;
//! else
alias Values = f32;
//! end
//! include qk_norm_rows.wgsl

struct Params {
  tokens: u32,
  q_rows: u32, k_rows: u32,
  q_vectors: u32, k_vectors: u32,
  q_column: u32, k_column: u32,
  v_column: u32,
  pitch: u32,
  d_pitch: u32,
  rstd_pitch: u32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if QKV == f32
@group(0) @binding(1) var<storage, read> qkv: array<Values>;
//! else
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
//! end
//! if OUT
@group(0) @binding(2) var<storage, read> d_qkv: array<Values>;
@group(0) @binding(6) var<storage, read_write> out: array<Values>;
//! else
@group(0) @binding(2) var<storage, read_write> d_qkv: array<Values>;
//! end
@group(0) @binding(3) var<storage, read> q_weight: array<Values>;
@group(0) @binding(4) var<storage, read> k_weight: array<Values>;
@group(0) @binding(5) var<storage, read> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let normed_rows = params.q_rows + params.k_rows;
//! if VALUES == normed
  let count = normed_rows + params.k_rows;
//! else
  let count = normed_rows;
//! end
  let item = linear_index(group, groups) * ROWS + thread / ROW_THREADS;
  let known = item < params.tokens * count;
  // The last row stands in for rows that are missing: read, not written.
  var row = row_of(min(item, params.tokens * count - 1u), count);
  var d_at = row.at - row.token * params.pitch;
//! if VALUES == normed
  let is_value = row.index >= normed_rows;
  if (is_value) {
    let place = d_at - (params.k_column + params.k_rows * row.vectors);
    row.at += params.v_column - (params.k_column + params.k_rows * row.vectors);
    d_at = params.v_column + place;
  }
//! elif VALUES == keys
  let is_key = row.index >= params.q_rows;
  // Queries read some row too, and have no use for it.
  let values_at = row.token * params.d_pitch + params.v_column + select(0u, d_at - params.k_column, is_key);
//! end
  d_at += row.token * params.d_pitch;
  let row_rstd = rstd[row.token * params.rstd_pitch + row.index];

//! unroll i 0 LOADS
  let vector_$i = thread % ROW_THREADS + \${i}u * ROW_THREADS;
  let known_$i = min(vector_$i, row.vectors - 1u);
  let normed_$i = qkv_at(row.at + known_$i) * row_rstd;
//! if VALUES == normed
  let gradient_$i = d_qkv[d_at + known_$i] * select(factor_at(row, known_$i), Values(1.0), is_value);
//! elif VALUES == keys
  let gradient_$i = d_qkv[d_at + known_$i] * factor_at(row, known_$i) +
    select(Values(), d_qkv[values_at + known_$i], is_key);
//! else
  let gradient_$i = d_qkv[d_at + known_$i] * factor_at(row, known_$i);
//! end
//! end
  var sum = 0.0;
//! unroll i 0 LOADS
  sum += select(0.0, product(gradient_$i, normed_$i), vector_$i < row.vectors);
//! end
  let mean = row_sum(sum, thread) / f32(row.vectors * WIDTH);
//! unroll i 0 LOADS
  if (known && vector_$i < row.vectors) {
//! if OUT
    out[row.at + vector_$i] = row_rstd * (gradient_$i - normed_$i * mean);
//! else
    d_qkv[d_at + vector_$i] = row_rstd * (gradient_$i - normed_$i * mean);
//! end
  }
//! end
}
`,
  "qk_norm_rows.wgsl": `// The rows of queries and keys that an RMSNorm takes, in the columns of the merged matrix of q, k and v: each head of a
// token, or all its query heads as one row and all its key heads as another.
// Include-only.
//
// ROW_THREADS neighbours share a row; a workgroup of THREADS has several. Vectors are of four columns with VEC4, else
// of one; \`qkv\` [tokens, ·] is f32, or with VEC4 also f16 (QKV).
//
// The including kernel declares alias Values of such a vector, \`qkv\`, the weights q_weight and k_weight, of one row
// each, and params with
//   q_rows, k_rows            rows of a token
//   q_vectors, k_vectors      vectors of a row
//   q_column, k_column        where they begin, in vectors
//   pitch                     vectors from one token to the next
//   weight_offset             0, or 1 where rows are multiplied by 1 + weight

//! if VEC4
const WIDTH = 4u;

fn product(a: Values, b: Values) -> f32 { return dot(a, b); }
//! else
const WIDTH = 1u;

fn product(a: Values, b: Values) -> f32 { return a * b; }
//! end

const ROWS = THREADS / ROW_THREADS;

struct Row {
  token: u32,
  index: u32,   // among the rows of the token: queries, then keys
  at: u32,      // its first vector in the matrix
  vectors: u32,
}

// Row \`item % count\` of token \`item / count\`.
fn row_of(item: u32, count: u32) -> Row {
  let token = item / count;
  let index = item % count;
  let query = index < params.q_rows;
  let vectors = select(params.k_vectors, params.q_vectors, query);
  let column = select(params.k_column + (index - params.q_rows) * vectors, params.q_column + index * vectors, query);
  return Row(token, index, token * params.pitch + column, vectors);
}

// What a place of a row is multiplied by.
fn factor_at(row: Row, place: u32) -> Values {
  if (row.index < params.q_rows) { return params.weight_offset + q_weight[place]; }
  return params.weight_offset + k_weight[place];
}

//! if QKV == f32
fn qkv_at(at: u32) -> Values { return qkv[at]; }
//! else
fn qkv_at(at: u32) -> Values { return vec4<f32>(unpack2x16float(qkv[at].x), unpack2x16float(qkv[at].y)); }
//! end

var<workgroup> sums: array<f32, THREADS>;

// The sum over the threads of a row, in a fixed order. For one call of a kernel.
fn row_sum(value: f32, thread: u32) -> f32 {
  sums[thread] = value;
  workgroupBarrier();
  for (var step = ROW_THREADS / 2u; step > 0u; step /= 2u) {
    if (thread % ROW_THREADS < step) { sums[thread] += sums[thread + step]; }
    workgroupBarrier();
  }
  return sums[thread - thread % ROW_THREADS];
}
`,
  "qk_norm_weight_gradient.wgsl": `// Partial sums of the gradient of a weight of the RMSNorm of queries and keys: one row of \`partials\` per chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_qkv[r][c] · qkv[r][c] · rstd[r]
// over rows of queries, or of keys: \`rows_per_token\` rows of a token beside each other, from column \`column\` on.
//
// Shapes: qkv and d_qkv f32 [tokens, ·], d_qkv being the gradient of what was normed; rstd f32 [tokens, ·], of which
// these rows have the columns from first_row on; partials f32 [chunks, cols], zero up to the pitch. sum_partials.wgsl
// adds the chunks, in order.
// Idea: one thread per column, neighbours side by side in memory; chunks (y) only give a large GPU enough threads.

struct Params {
  rows: u32,
  rows_per_token: u32,
  cols: u32,
  column: u32,
  pitch: u32,
  d_pitch: u32,
  first_row: u32,
  rstd_pitch: u32,
  chunk_rows: u32,
  partials_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> d_qkv: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= params.partials_pitch) { return; }
  let first = group.y * params.chunk_rows;
  // Columns behind the last have no rows.
  let last = select(first, min(first + params.chunk_rows, params.rows), c < params.cols);
  var sum = 0.0;
  for (var row = first; row < last; row++) {
    let token = row / params.rows_per_token;
    let index = row % params.rows_per_token;
    let place = params.column + index * params.cols + c;
    sum += d_qkv[token * params.d_pitch + place] * qkv[token * params.pitch + place] * rstd[token * params.rstd_pitch + params.first_row + index];
  }
  partials[group.y * params.partials_pitch + c] = sum;
}
`,
  "quantize_rows.wgsl": `// Quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] from the largest magnitude of
// row r.
//
// Shapes: x f32 [rows, cols] and what row_values.wgsl adds to it, codes alike from row first_row of theirs on. One workgroup per row, which goes the
// way of row_pass.wgsl: every load is 16 bytes and every store four codes.
//! include linear_grid.wgsl
//! include row_values.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=false QUANTIZED=true FIRST_ROW=true

struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
  first_row: u32,
  first_scale: u32,
  top: f32, // what a scale to the maximum brings the largest magnitude to
}

@group(0) @binding(0) var<uniform> params: Params;

alias Source = vec4<f32>;
alias Row = u32;

fn begin_row(row: u32) -> Row { return row; }
fn load(row: u32, v: u32) -> Source { return row_value(row, v); }
fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(row_value(row, v)); }
fn keep(row: u32, v: u32, values: Values) {}
fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
`,
  "random.wgsl": `// Random numbers: out[r][c] = mean + step · z(r · cols + c) for an integer z, uniform (UNIFORM) or close to normal.
//
// Shapes: out [rows, cols] in f32 or f16, by rows with a pitch; the columns beyond cols become zero.
// Idea: counter-based, so that an element depends on nothing but its index and the key, whatever the grid. A uniform z is
// an odd integer within ±2²⁴; a normal one the centred sum of eight uniform 16-bit integers (kurtosis 2.85 instead of 3,
// none beyond 4.9 standard deviations): integer arithmetic, so that every GPU and the twin tests/oracle/random.ts give
// the same bits.
//! include linear_grid.wgsl
//! include mix.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // groups of four columns from one row to the next
  key_low: u32,
  key_high: u32,
  mean: f32,
  step: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if F16
@group(0) @binding(1) var<storage, read_write> out: array<vec2<u32>>;
//! else
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
//! end

// The two uniform 16-bit integers in a word, added.
fn halves(word: u32) -> u32 {
  return (word & 0xffffu) + (word >> 16u);
}

fn element(row: u32, col: u32) -> f32 {
  if (col >= params.cols) { return 0.0; }
  let start = mix(row * params.cols + col + params.key_low) + params.key_high;
//! if UNIFORM
  let z = 2 * i32(mix(start) >> 8u) - 16777215;
//! else
  let sum = halves(mix(start)) + halves(mix(start + 0x9e3779b9u)) + halves(mix(start + 0x3c6ef372u)) +
    halves(mix(start + 0xdaa66d2bu));
  let z = i32(sum) - 262140;
//! end
  return params.mean + params.step * f32(z);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
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
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass. The output
// is wanted in f32 (OUTPUT), quantised (QUANTIZED: codes and scales of row_codes.wgsl), or both. With ONE_MORE the factor
// is 1 + weight[c]. With ADDEND, addend [rows, cols] is added: the residual stream that a branch joins behind its norm.
// One workgroup per row, which goes the way of row_pass.wgsl; its sum is that of squares. Columns up to the pitch
// take part: they are zero in the input, so they add nothing and stay zero.
//! include linear_grid.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=true COLUMN_SCALES=false GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
//! if OUTPUT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
//! end
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;
//! if ADDEND
@group(0) @binding(5) var<storage, read> addend: array<vec4<f32>>;
//! end

struct Source {
  x: vec4<f32>,
//! if ADDEND
  addend: vec4<f32>,
//! end
}

alias Row = f32; // rstd

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return 0.0; }

fn load(row: u32, v: u32) -> Source {
  let at = row * params.vectors + min(v, params.vectors - 1u);
  let x = select(vec4<f32>(), input[at], v < params.vectors);
//! if ADDEND
  return Source(x, addend[at]);
//! else
  return Source(x);
//! end
}

fn reduced(source: Source, v: u32) -> f32 { return dot(source.x, source.x); }

fn end_sum(row: u32, begun: Row, squares: f32, thread: u32) -> Row {
  let row_rstd = 1.0 / sqrt(squares / f32(params.cols) + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }
  return row_rstd;
}

// The weight ends before the pitch: past it there is nothing to read, and zero is due.
fn made(source: Source, v: u32, row_rstd: Row) -> Values {
  let weights = (params.cols + 3u) / 4u;
//! if ONE_MORE
  let factor = 1.0 + weight[min(v, weights - 1u)];
//! else
  let factor = weight[min(v, weights - 1u)];
//! end
  let y = select(vec4<f32>(), source.x * row_rstd * factor, v < weights);
//! if ADDEND
  return Values(source.addend + y);
//! else
  return Values(y);
//! end
}

fn again(row: u32, v: u32, row_rstd: Row) -> Values { return made(load(row, v), v, row_rstd); }

fn keep(row: u32, v: u32, values: Values) {
//! if OUTPUT
  output[row * params.vectors + v] = values[0];
//! end
}

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
`,
  "rms_norm_backward.wgsl": `// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight, or with ONE_MORE
// d_output · (1 + weight):
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With ACCUMULATE the result is added
// to d_input: the gradient of the residual stream that runs past the norm.
// With QUANTIZED, d_input as codes too, of row_codes.wgsl; with COLUMN_SCALES, column_scales [cols] of the rows of the
// weight that it is multiplied by next.
// With ROTATED == source, d_output comes rotated, as from a layer whose input is rotated.
// One workgroup per row, which goes the way of row_pass.wgsl; its sum is that of g · input.
//! include linear_grid.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=true GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

struct Rest {
  x: vec4<f32>,
//! if ACCUMULATE
  before: vec4<f32>,
//! end
}

struct Source {
  dy: vec4<f32>,
  rest: Rest,
}

struct Row {
  rstd: f32,
  pull: f32, // rstd³ · mean(g · input)
}

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return Row(rstd[row], 0.0); }

fn place(row: u32, v: u32) -> u32 { return row * params.vectors + min(v, params.vectors - 1u); }

fn turned(row: u32, v: u32) -> vec4<f32> { return d_output[place(row, v)]; }

fn rest(row: u32, v: u32) -> Rest {
  let at = place(row, v);
//! if ACCUMULATE
  return Rest(input[at], d_input[at]);
//! else
  return Rest(input[at]);
//! end
}

fn source_of(rest: Rest, dy: vec4<f32>) -> Source { return Source(dy, rest); }

fn load(row: u32, v: u32) -> Source { return source_of(rest(row, v), turned(row, v)); }

// What multiplies a value: zero past the end of the weight, which lies before the pitch.
fn factor_at(v: u32) -> vec4<f32> {
  let weights = (params.cols + 3u) / 4u;
//! if ONE_MORE
  return select(vec4<f32>(), 1.0 + weight[min(v, weights - 1u)], v < weights);
//! else
  return select(vec4<f32>(), weight[min(v, weights - 1u)], v < weights);
//! end
}

fn reduced(source: Source, v: u32) -> f32 { return dot(source.dy * factor_at(v), source.rest.x); }

fn end_sum(row: u32, begun: Row, sum: f32, thread: u32) -> Row {
  let mean = sum / f32(params.cols);
  return Row(begun.rstd, begun.rstd * begun.rstd * begun.rstd * mean);
}

fn made(source: Source, v: u32, of_row: Row) -> Values {
  let dx = of_row.rstd * source.dy * factor_at(v) - of_row.pull * source.rest.x;
//! if ACCUMULATE
  return Values(source.rest.before + dx);
//! else
  return Values(dx);
//! end
}

// A thread reads back what it wrote itself.
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(d_input[row * params.vectors + v]); }

fn keep(row: u32, v: u32, values: Values) { d_input[row * params.vectors + v] = values[0]; }

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
`,
  "rms_norm_weight_gradient.wgsl": `// Partial sums of the gradient of RMSNorm's weight: one row of \`partials\` per chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_output[r][c] · input[r][c] · rstd[r]
//
// Shapes: d_output, input [rows, cols], rstd [rows], partials [chunks, cols], all f32. sum_partials.wgsl adds the chunks.
// Idea: one thread per vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough
// threads.

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
  "rope.wgsl": `// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a
// plane that is rotated by the angle  position · inverseFrequency[i]. The kernels of the attention backward rotate
// gradients back.
//
// Shapes: matrix [tokens, ·], f32 or with VEC4 also f16 (QKV), of which \`heads\` heads of 2 · half columns are rotated: the query heads from column
// 0 on, the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2].
//
// Idea: bound by memory. A thread rotates the same planes, four with VEC4 else one, of HEADS heads, so that it takes
// sine and cosine once; its heads lie \`groups\` apart, which keeps neighbouring threads on neighbouring memory.
//! include linear_grid.wgsl
//! include rotation.wgsl
//! if QKV == f16
//! include saturated_f16.wgsl
//! end

//! if VEC4
const WIDTH = 4u;
//! else
const WIDTH = 1u;
//! end

struct Params {
  tokens: u32,
  heads: u32,       // query and key heads together
  query_heads: u32,
  key_column: u32,
  half: u32,
  pitch: u32,
  groups: u32,      // threads that share the heads of a token's plane
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
//! if QKV == f32
@group(0) @binding(3) var<storage, read_write> matrix: array<Values>;

fn wide(stored: Values) -> Values { return stored; }
fn narrow(values: Values) -> Values { return values; }
//! else
@group(0) @binding(3) var<storage, read_write> matrix: array<vec2<u32>>;

fn wide(stored: vec2<u32>) -> Values { return vec4<f32>(unpack2x16float(stored.x), unpack2x16float(stored.y)); }

// Rotation makes a component larger by up to √2: it saturates as in the product before.
fn narrow(values: Values) -> vec2<u32> { return saturated_halves(values); }
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let planes = params.half / WIDTH;
  let plane = item % planes * WIDTH;
  let first_head = item / planes % params.groups;
  let token = item / planes / params.groups;
  if (token >= params.tokens) { return; }
  let angle = rotation(positions[token], plane + LANES);
//! if QUERY_BETA
  let of_queries = query_scale(positions[token]);
//! end

  // The last head stands in for heads that are missing: read, not written.
//! unroll h 0 HEADS
  let head_$h = first_head + \${h}u * params.groups;
  let known_$h = min(head_$h, params.heads - 1u);
  let column_$h = known_$h * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_$h < params.query_heads);
  let at_$h = (token * params.pitch + column_$h + plane) / WIDTH;
  let a_$h = wide(matrix[at_$h]);
  let b_$h = wide(matrix[at_$h + planes]);
//! end
//! unroll h 0 HEADS
  if (head_$h < params.heads) {
//! if QUERY_BETA
    let scale = select(1.0, of_queries, head_$h < params.query_heads);
    matrix[at_$h] = narrow((a_$h * angle.cosine - b_$h * angle.sine) * scale);
    matrix[at_$h + planes] = narrow((b_$h * angle.cosine + a_$h * angle.sine) * scale);
//! else
    matrix[at_$h] = narrow(a_$h * angle.cosine - b_$h * angle.sine);
    matrix[at_$h + planes] = narrow(b_$h * angle.cosine + a_$h * angle.sine);
//! end
  }
//! end
}
`,
  "rotate.wgsl": `// Block Hadamard transform of a matrix along its rows, see hadamard.wgsl: output[r] = input[r] · H.
//
// Shapes: input, output f32 [rows, cols], by rows with a pitch; with IN_PLACE output is input too. With ACCUMULATE the
// result is added to what output holds.
// Idea: the pitch is whole blocks, so the matrix is one run of them. Four vec4s per thread, each loaded and stored once.
//! include linear_grid.wgsl
//! include hadamard.wgsl

struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
//! if !IN_PLACE
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
//! end
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

fn value(at: u32) -> vec4<f32> {
  let inside = min(at, params.vectors - 1u);
//! if IN_PLACE
  return output[inside];
//! else
  return input[inside];
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let start = linear_index(group, groups) * 4u * THREADS;
//! unroll i 0 4
  let value_$i = value(start + tile_place(thread, \${i}u));
//! end
  let result = rotated(Tile(value_0, value_1, value_2, value_3), thread);
//! unroll i 0 4
  let at_$i = start + tile_place(thread, \${i}u);
//! if ACCUMULATE
  if (at_$i < params.vectors) { output[at_$i] += result[$i]; }
//! else
  if (at_$i < params.vectors) { output[at_$i] = result[$i]; }
//! end
//! end
}
`,
  "rotation.wgsl": `// Sines and cosines of rotary position embedding: the planes (i, i + half) of a head are rotated by the angle
// position · inverseFrequency[i]. Four planes at a time with VEC4, else one.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any
// sine is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in
// turns per position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied
// by a position below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the
// exact fraction of a turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn
// either way, goes into Taylor polynomials that are exact to f32 there.
//
// The including kernel declares \`frequencies\`, u32 [half, 2].
//! if LONG_PLANES
//
// There are two sets of LONG_PLANES frequencies. A position of 2²⁰ or more is that much less, turned by the second set.
//! end
//! if TURN_FACTOR
//
// The first TURNED_PLANES planes are multiplied by TURN_FACTOR as well, so that what is called a rotation stretches them.
//! end

const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

//! if VEC4
alias Values = vec4<f32>;
alias Words = vec4<u32>;
alias Integers = vec4<i32>;
const LANES = vec4<u32>(0u, 1u, 2u, 3u);
//! else
alias Values = f32;
alias Words = u32;
alias Integers = i32;
const LANES = 0u;
//! end

// The fraction of a turn of some planes at a position, in units of 2⁻³².
fn phase(position: u32, planes: Words) -> Words {
//! if VEC4
  let f = array<vec2<u32>, 4>(frequencies[planes.x], frequencies[planes.y], frequencies[planes.z], frequencies[planes.w]);
  let upper = vec4<u32>(f[0].x, f[1].x, f[2].x, f[3].x);
  let lower = vec4<u32>(f[0].y, f[1].y, f[2].y, f[3].y);
//! else
  let upper = frequencies[planes].x;
  let lower = frequencies[planes].y;
//! end
  return position * upper + ((position * lower) >> Words(12u));
}

struct Rotation {
  cosine: Values,
  sine: Values,
}

// The rotation of planes at a position.
fn rotation(position: u32, planes: Words) -> Rotation {
//! if LONG_PLANES
  let turned = phase(position & 0xFFFFFu, planes + min(position >> 20u, 1u) * LONG_PLANES);
//! else
  let turned = phase(position, planes);
//! end
  let quadrant = (turned + 0x20000000u) >> Words(30u);
  let x = Values(bitcast<Integers>(turned - (quadrant << Words(30u)))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let odd = (quadrant & Words(1u)) == Words(1u);
  let back = quadrant >= Words(2u);
  let c = select(cosine, -sine, odd);
  let s = select(sine, cosine, odd);
//! if TURN_FACTOR
  let factor = select(Values(1.0), Values(TURN_FACTOR), planes < Words(TURNED_PLANES));
  return Rotation(factor * select(c, -c, back), factor * select(s, -s, back));
//! else
  return Rotation(select(c, -c, back), select(s, -s, back));
//! end
}
//! if QUERY_BETA

// Factor of the queries at a position: it grows with every QUERY_CONTEXT tokens before.
fn query_scale(position: u32) -> f32 {
  return 1.0 + QUERY_BETA * log(f32(1u + (position & 0xFFFFFu) / QUERY_CONTEXT));
}
//! end
`,
  "row_codes.wgsl": `// How a kernel that makes rows writes them as codes.
// Include-only; constants of the format from src/kernels/codes.ts. Four codes are a CODES_WORD; scales has one f32 per row.
//! include $CODES_INCLUDE
//! include row_scale.wgsl
//! include code_place.wgsl

@group(0) @binding(7) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<$CODES_WORD>;
//! if CODES == f16

// f16 for every f32: saturated like the FP8 formats, but infinity is NaN, so that an overflow stays visible.
fn pack4_f16(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(65504.0)), 10u, 15u) | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
  let codes = select(finite, vec4<u32>(0x7e00u), (bits & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u));
  return codes.xz | (codes.yw << vec2<u32>(16u));
}
//! end

// Writes the codes of four values, already scaled, at a place of code_place.
fn write_codes(at: u32, v: vec4<f32>) {
  codes[at] = pack4_$CODES(v);
}

// The bits of the largest magnitude of four values: of NaN, if there is one.
fn largest(v: vec4<f32>) -> u32 {
  let q = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(q.x, q.y), max(q.z, q.w));
}
`,
  "row_norm_factors.wgsl": `// The factors that give rows the norms wanted: inverse[first + r] = 1 / ‖input[r]‖, factors[first + r] =
// magnitude[r] / ‖input[r]‖. A row of zeros has no direction: its factor is 1 and its inverse 0.
//
// Shapes: input [rows, cols], magnitude [rows], factors and inverse from \`first\` on, all f32. One workgroup per row.
// Columns up to the pitch take part: they are zero.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> magnitude: array<f32>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var squares = 0.0;
  for (var v = thread; v < params.vectors; v += THREADS) {
    let x = input[row * params.vectors + v];
    squares += dot(x, x);
  }
  let total = workgroup_sum(squares, thread);
  if (thread != 0u) { return; }
  let at = params.first + row;
  if (total > 0.0) {
    let norm = sqrt(total);
    inverse[at] = 1.0 / norm;
    factors[at] = magnitude[row] / norm;
  } else {
    inverse[at] = 0.0;
    factors[at] = 1.0;
  }
}
`,
  "row_pass.wgsl": `// How a workgroup makes a row and writes its codes, with one scale per row: the skeleton of the kernels that end in
// codes.
// Include-only.
//
// A row is PARTS matrices side by side, of row_vectors() vec4s each. A thread takes every THREADS-th place v in it,
// and in all parts at once. With REGISTERS it keeps what it read, of VECTORS places, so that memory is read once; a
// row too long for that is walked again for each step, from cache except for the first time.
//
// The including kernel declares \`params\`, row_vectors(), and of a place v, which may be past the end of the row:
//   Source, load(row, v)              what is read there. Without a branch, so that all loads of a thread are under way at
//                                     once: past the end it reads the last place again, or gives zeros
//   Row, begin_row(row)               what all places have in common
//   reduced(source, v)                REDUCES: what it adds to the sum over the row, nothing past the end
//   end_sum(row, of_row, sum, thread) REDUCES: what all places have in common once the sum is known
//   made(source, v, of_row)           the values: one vec4 per part
//   again(row, v, of_row)             the same, where they are in no register
//   keep(row, v, values)              writes what is wanted besides codes
//   keep_scaled(at, value)            the same of a value that was scaled, \`at\` counted in vec4s of the row-major result
//
// With COLUMN_SCALES values are divided by a scale per column before they are quantised: of a following GEMM that
// runs over these columns, the other operand carries one scale per row, which must be folded in before rounding. With
// GIVEN_SCALES the scales of the rows are inputs, and SEEN makes those NaN whose rows are not finite (row_scale.wgsl). With FIRST_ROW the codes begin at row \`params.first_row\` of theirs,
// and scales at \`params.first_scale\`.
// Without QUANTIZED there are no codes.
//
// ROTATED is what goes through the transform of hadamard.wgsl, of which a thread takes four places of a tile at once. Rows
// are always kept in registers then (VECTORS is a multiple of 4).
//   values   what is quantised (PARTS=1, no COLUMN_SCALES); what is kept besides codes is not rotated
//   source   a part of what is read, which another kernel left rotated: the transform is its own inverse. The kernel
//            declares turned(row, v), that part; Rest, rest(row, v), what else is read, without waiting for the
//            transform; and source_of(rest, part), what load(row, v) gives of the two
//! include workgroup_reduce.wgsl
//! include hadamard.wgsl
//! if QUANTIZED
//! include row_codes.wgsl
//! include column_scales.wgsl
//! end

alias Values = array<vec4<f32>, $PARTS>;

fn write_row(row: u32, thread: u32) {
  let vectors = row_vectors();
//! if REDUCES
  let begun = begin_row(row);
//! else
  let of_row = begin_row(row);
//! end
//! if ROTATED == source
//! unroll i 0 VECTORS
  let v_$i = tile_place(thread, \${i}u);
  let turned_$i = turned(row, v_$i);
//! end
//! unroll i 0 VECTORS
  let rest_$i = rest(row, v_$i);
//! end
//! unroll tile 0 VECTORS/4
  var tile_$tile: Tile;
//! unroll i 4*tile 4*tile+4
  tile_$tile[\${i}u % 4u] = turned_$i;
//! end
  tile_$tile = rotated(tile_$tile, thread);
//! unroll i 4*tile 4*tile+4
  let source_$i = source_of(rest_$i, tile_$tile[\${i}u % 4u]);
//! end
//! end
//! elif REGISTERS
//! unroll i 0 VECTORS
//! if ROTATED == values
  let v_$i = tile_place(thread, \${i}u);
//! else
  let v_$i = thread + \${i}u * THREADS;
//! end
  let source_$i = load(row, v_$i);
//! end
//! end

//! if REDUCES
  var sum = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  sum += reduced(source_$i, v_$i);
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) { sum += reduced(load(row, v), v); }
//! end
  let of_row = end_sum(row, begun, workgroup_sum(sum, thread), thread);
//! end

//! if REGISTERS
//! unroll i 0 VECTORS
  let values_$i = made(source_$i, v_$i, of_row);
//! end
//! unroll i 0 VECTORS
  if (v_$i < vectors) { keep(row, v_$i, values_$i); }
//! end
//! elif !GIVEN_SCALES
  // Kept here, and if there are codes, the largest magnitude.
  var amax = 0u;
  for (var v = thread; v < vectors; v += THREADS) {
    let values = made(load(row, v), v, of_row);
    keep(row, v, values);
//! if QUANTIZED
//! unroll part 0 PARTS
    amax = max(amax, largest(by_column(values[$part], \${part}u * vectors + v)));
//! end
//! end
  }
//! end

//! if QUANTIZED
//! if ROTATED == values
  // The selection also keeps a compiler from making one operation of the product that a value is and the sums to come.
//! unroll tile 0 VECTORS/4
  var tile_$tile: Tile;
//! unroll i 4*tile 4*tile+4
  tile_$tile[\${i}u % 4u] = select(vec4<f32>(), values_$i[0], v_$i < vectors);
//! end
  tile_$tile = rotated(tile_$tile, thread);
//! unroll i 4*tile 4*tile+4
  let out_\${i}_0 = tile_$tile[\${i}u % 4u];
//! end
//! end
//! elif REGISTERS
//! unroll i 0 VECTORS
//! unroll part 0 PARTS
  let out_\${i}_$part = by_column(values_$i[$part], \${part}u * vectors + min(v_$i, vectors - 1u));
//! end
//! end
//! end
//! if GIVEN_SCALES
  let scale = encoding_scale(scales[scale_place(row)]);
//! if SEEN
  var seen = 0u; // the bits of what is not finite, or of some number
//! end
//! else
//! if REGISTERS
  var amax = 0u;
//! unroll i 0 VECTORS
//! unroll part 0 PARTS
  amax = max(amax, select(0u, largest(out_\${i}_$part), v_$i < vectors));
//! end
//! end
//! end
  let made_scale = scale_of(workgroup_max_bits(amax, thread));
  if (thread == 0u) { scales[scale_place(row)] = made_scale; }
  let scale = encoding_scale(made_scale);
//! end
//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < vectors) {
//! unroll part 0 PARTS
    write_scaled(row, \${part}u * vectors + v_$i, out_\${i}_$part * scale);
//! if SEEN
    seen = max(seen, largest(out_\${i}_$part));
//! end
//! end
  }
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) {
    let values = again(row, v, of_row);
//! unroll part 0 PARTS
    let at_$part = \${part}u * vectors + v;
    let out_$part = by_column(values[$part], at_$part);
    write_scaled(row, at_$part, out_$part * scale);
//! if SEEN
    seen = max(seen, largest(out_$part));
//! end
//! end
  }
//! end
//! if SEEN
  let of_row_seen = workgroup_max_bits(seen, thread);
  if (thread == 0u && of_row_seen >= 0x7f800000u) { scales[scale_place(row)] = not_a_number(of_row_seen); }
//! end
//! if LAYOUT == panels
  // Up to the pitch of the codes.
  let filled = $PARTS * vectors;
  if (thread < code_words(filled) - filled) { write_codes(place_of(row, filled + thread), vec4<f32>()); }
//! end
//! end
}

//! if QUANTIZED
fn scale_place(row: u32) -> u32 {
//! if FIRST_ROW
  return params.first_scale + row;
//! else
  return row;
//! end
}

fn place_of(row: u32, v: u32) -> u32 {
//! if FIRST_ROW
  return code_place(params.first_row + row, v, code_words($PARTS * row_vectors()));
//! else
  return code_place(row, v, code_words($PARTS * row_vectors()));
//! end
}

fn write_scaled(row: u32, v: u32, value: vec4<f32>) {
  write_codes(place_of(row, v), value);
  keep_scaled($PARTS * row * row_vectors() + v, value);
}
//! end
`,
  "row_scale.wgsl": `// The scale of a row, as the record of its format (src/numerics/formats.ts) makes it from the largest magnitude: what
// brings that to the format's largest value (less where there is headroom), or a power of two, exact, for a format with bits to spare.
// Include-only; constants from src/kernels/codes.ts. tests/oracle/quantize.ts is the same on the CPU.
//
// A row in which something is NaN or infinite has NaN for its scale. Codes would make numbers of that, but products divide by
// scales, so the whole row comes out as NaN and ends in the loss, or in the gradient's norm.
//
// Rows that vanish have the scale of the smallest magnitude, so that the smallest scale of a gradient tells its largest
// row (gradient_scale.wgsl), unless the format gives them one of their own.

const SMALLEST_AMAX = 0x1p-100; // scales of less would leave f32's range

// From the bits of the largest magnitude.
fn scale_of(bits: u32) -> f32 {
  let amax = bitcast<f32>(bits);
//! if CODES_VANISHING != none
  let scale = select($CODES_TOP / amax, $CODES_VANISHING, amax < SMALLEST_AMAX);
//! else
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
//! if CODES_SCALE == maximum
  let scale = $CODES_TOP / largest;
//! else
  let scale = bitcast<f32>(($CODES_EXPONENT - (bitcast<u32>(largest) >> 23u)) << 23u);
//! end
//! end
  return select(scale, not_a_number(bits), bits >= 0x7f800000u);
}

// A NaN of the bits of one, or of infinity: compilers refuse one that they know.
fn not_a_number(bits: u32) -> f32 { return bitcast<f32>(bits | 0x7fc00000u); }

// What a row is multiplied by to be encoded: 0 where its scale is NaN, so that zeros beyond its columns stay zeros.
fn encoding_scale(scale: f32) -> f32 {
  return select(scale, 0.0, (bitcast<u32>(scale) & 0x7fffffffu) > 0x7f800000u);
}
`,
  "row_values.wgsl": `// The rows that are quantised: x, f32 or f16 (X), optionally followed by the columns of a second matrix (TRAILING: FALQON's pending
// term).
// Include-only. The including file's Params must have \`vectors\` (vec4s in a row of x: its pitch / 4) and
// \`trailing_vectors\`.

//! if X == f32
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
//! else
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
//! end
//! if TRAILING
@group(0) @binding(3) var<storage, read> trailing: array<vec4<f32>>;

// vec4s in a row.
fn row_vectors() -> u32 { return params.vectors + params.trailing_vectors; }
//! else
fn row_vectors() -> u32 { return params.vectors; }
//! end

// Vector v of a row, or past its end the last one again: no more than a repetition to a maximum, and no branch, which
// lets all loads of a thread be under way at once.
fn row_value(row: u32, v: u32) -> vec4<f32> {
  let at = min(v, row_vectors() - 1u);
//! if TRAILING
  if (at >= params.vectors) { return trailing[row * params.trailing_vectors + at - params.vectors]; }
//! end
//! if X == f32
  return x[row * params.vectors + at];
//! else
  let bits = x[row * params.vectors + at];
  return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
//! end
}
`,
  "saturated_f16.wgsl": `// Rounding to f16. Include-only.

// Four values in two words: finite ones saturate at f16's largest, and what is not finite stays so, to be seen.
fn saturated_halves(value: vec4<f32>) -> vec2<u32> {
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let inside = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  return vec2<u32>(pack2x16float(inside.xy), pack2x16float(inside.zw));
}
`,
  "scale.wgsl": `// Rows times a number of the model, in place: values *= factor.
//
// Shapes: values f32 [rows, cols], by rows with a pitch; factor f32 [1]. Memory-bound; one thread per vec4, up to the
// pitch, whose zeros stay.
//! include linear_grid.wgsl

struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = linear_index(group, groups) * THREADS + thread;
  if (at < params.vectors) { values[at] *= factor[0]; }
}
`,
  "scale_columns.wgsl": `// Columns times factors: out[r][c] = input[r][c] · factors[c] (+ bias_factor · bias[c]) (+ addend[r][c]).
//
// Shapes: input, out, addend (ADDEND) [rows, cols] by rows with a pitch, factors, bias (BIAS) [pitch], all f32. One thread
// per vec4. Columns up to the pitch take part: they are zero in the inputs, and so in the output.
//! include linear_grid.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  bias_factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if BIAS
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
//! end
//! if ADDEND
@group(0) @binding(5) var<storage, read> addend: array<vec4<f32>>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let v = item % params.vectors;
  var value = input[item] * factors[v];
//! if BIAS
  value += params.bias_factor * bias[v];
//! end
//! if ADDEND
  value += addend[item];
//! end
  out[item] = value;
}
`,
  "silu.wgsl": `// The gate of SwiGLU, gated(gate, up) = silu(gate) · up with silu(g) = g · sigmoid(g), and its gradient.
// Include-only, from gate_up.wgsl.

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * sigmoid(gate) * up;
}

// From dy, that of the result.
fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let s = sigmoid(gate);
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s)), dy * gate * s);
}
`,
  "soft_cap.wgsl": `// A soft cap in place: values become cap · tanh(value / cap).
//
// Shapes: values f32 [rows, cols], by rows with a pitch, whose zeros stay. Memory-bound; one thread per vec4.
//! include linear_grid.wgsl
//! include tanh.wgsl

struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
  cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = linear_index(group, groups) * THREADS + thread;
  if (at < params.vectors) { values[at] = params.cap * accurate_tanh(values[at] / params.cap); }
}
`,
  "step_state.wgsl": `// What the host sets before an optimizer step, and what the step's kernels find out. The layout of src/gpu/step_state.ts.

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
// The splits are added in order, so the result does not depend on scheduling. One thread per vec4.
//! include linear_grid.wgsl

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
  let item = linear_index(group, groups) * 64u + thread;
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
  "swiglu.wgsl": `// The gate of an MLP: output[t][c] = act(gate[t][c]) · up[t][c], with the activation of gate_up.wgsl: SwiGLU or GeGLU.
//
// Shapes: gate_up [rows, 2·pitch] of gate_up.wgsl; output f32 [rows, width], whose pitch it is.
// Idea: one thread per vec4 of the output, up to the pitch: zeros between give zeros.
//! include linear_grid.wgsl
//! include gate_up.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of the output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  output[item] = gated(gate_up_at(at), gate_up_at(at + params.vectors));
}
`,
  "swiglu_backward.wgsl": `// Gradient of the gate of swiglu.wgsl:
//   d_gate = d_output · up · act'(gate),   d_up = d_output · act(gate)
//
// Shapes: gate_up [rows, 2·pitch] of gate_up.wgsl, d_gate_up f32 like it, d_output f32 [rows, width]. act is computed
// again rather than kept. Idea: one thread per vec4 of gate and up together.
//! include linear_grid.wgsl
//! include gate_up.wgsl

struct Params {
  rows: u32,
  vectors: u32, // fours in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let at = item + row * params.vectors;
  let d = gated_gradient(gate_up_at(at), gate_up_at(at + params.vectors), d_output[item]);
  d_gate_up[at] = d.gate;
  d_gate_up[at + params.vectors] = d.up;
}
`,
  "swiglu_backward_quantized.wgsl": `// Gradient of the gate of swiglu.wgsl, quantised at once: codes and scales of row_codes.wgsl.
//
// Shapes: gate_up, d_gate_up, codes [rows, 2·pitch] and d_output [rows, width] as in swiglu_backward.wgsl; with
// COLUMN_SCALES, column_scales [2·pitch] of the rows of the weight that the gradient is multiplied by next. d_gate_up
// is the gradient in f32; or in f16 (D_GATE_UP) the very values that codes are made of, divided and scaled, which are
// in range as codes are. With ROTATED == source, d_output comes rotated, as from a layer whose input is rotated.
// One workgroup per row, which goes the way of row_pass.wgsl with the gradients of gate and of up as its parts.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include row_pass.wgsl PARTS=2 REDUCES=false QUANTIZED=true GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;

alias Source = GateUp;
alias Row = u32;

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return row; }

fn place(v: u32) -> u32 { return min(v, params.vectors - 1u); }

fn turned(row: u32, v: u32) -> vec4<f32> { return d_output[row * params.vectors + place(v)]; }

// As it is stored, which takes the fewest registers.
struct Rest {
  gate: GateUpWord,
  up: GateUpWord,
}

fn rest(row: u32, v: u32) -> Rest {
  let at = 2u * row * params.vectors + place(v);
  return Rest(gate_up[at], gate_up[at + params.vectors]);
}

// The gradients, which take two thirds of the registers of what they are made of.
fn source_of(rest: Rest, dy: vec4<f32>) -> Source { return gated_gradient(widened(rest.gate), widened(rest.up), dy); }

fn load(row: u32, v: u32) -> Source { return source_of(rest(row, v), turned(row, v)); }

fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source.gate, source.up); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return made(load(row, v), v, of_row); }

//! if D_GATE_UP == f16
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec2<u32>>;

fn keep(row: u32, v: u32, values: Values) {}

fn keep_scaled(at: u32, value: vec4<f32>) {
  d_gate_up[at] = vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}
//! else
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

fn keep(row: u32, v: u32, values: Values) {
  let at = 2u * row * params.vectors + v;
  d_gate_up[at] = values[0];
  d_gate_up[at + params.vectors] = values[1];
}

fn keep_scaled(at: u32, value: vec4<f32>) {}
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
`,
  "swiglu_quantized.wgsl": `// The gate of swiglu.wgsl whose result is quantised: codes and scales of row_codes.wgsl, and with OUTPUT in f32 too.
//
// Shapes: gate_up [rows, 2·pitch] and output f32 [rows, width] as in swiglu.wgsl. One workgroup per row, which goes
// the way of row_pass.wgsl.
//! include linear_grid.wgsl
//! include gate_up.wgsl
//! include row_pass.wgsl PARTS=1 REDUCES=false QUANTIZED=true COLUMN_SCALES=false GIVEN_SCALES=false SEEN=false FIRST_ROW=false

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the result; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUTPUT
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
//! end

alias Source = vec4<f32>;
alias Row = u32;

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return row; }

// The result, which takes half the registers of gate and up.
fn load(row: u32, v: u32) -> Source {
  let at = 2u * row * params.vectors + min(v, params.vectors - 1u);
  return gated(gate_up_at(at), gate_up_at(at + params.vectors));
}

fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(load(row, v)); }

fn keep(row: u32, v: u32, values: Values) {
//! if OUTPUT
  output[row * params.vectors + v] = values[0];
//! end
}

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}
`,
  "tanh.wgsl": `// The hyperbolic tangent, right to a few units in the last place. WGSL's own may be off by 1e-5, which a cap of 50 makes
// 5e-4, and may be no number where its argument is large. Include-only.

fn accurate_tanh(x: vec4<f32>) -> vec4<f32> {
  // e^(-2|x|), which ends in 0. Near 0 that is too near 1, and the first terms of the series do.
  let decay = exp2(abs(x) * -2.88539008177793);
  let square = x * x;
  let series = fma(square, fma(square, fma(square, fma(square, vec4<f32>(0.0218694885361552),
    vec4<f32>(-0.0539682539682540)), vec4<f32>(0.133333333333333)), vec4<f32>(-0.333333333333333)), vec4<f32>(1.0));
  return select(sign(x) * (1.0 - decay) / (1.0 + decay), x * series, abs(x) < vec4<f32>(0.25));
}
`,
  "tensor_amax.wgsl": `// The largest magnitude of each row, NaN if that is in it: the first half of finding one scale for a whole matrix. One workgroup per row.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl
//! include row_values.wgsl
//! include column_scales.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> amax: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var mine = vec4<u32>();
  for (var v = thread; v < row_vectors(); v += THREADS) {
    mine = max(mine, bitcast<vec4<u32>>(by_column(row_value(row, v), v)) & vec4<u32>(0x7fffffffu));
  }
  let largest = workgroup_max_bits(max(max(mine.x, mine.y), max(mine.z, mine.w)), thread);
  if (thread == 0u) { amax[row] = bitcast<f32>(largest); }
}
`,
  "tensor_scale.wgsl": `// Replaces the largest magnitudes of the rows by the one scale of the whole matrix, from the largest of them, written
// once per row: everything behind sees row scales. One workgroup.
//! include workgroup_reduce.wgsl
//! include row_scale.wgsl

struct Params {
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.rows; i += THREADS) { mine = max(mine, bitcast<u32>(scales[i])); }
  let scale = scale_of(workgroup_max_bits(mine, thread));
  for (var i = thread; i < params.rows; i += THREADS) { scales[i] = scale; }
}
`,
  "transpose_int8.wgsl": `// Transposes int8 codes from panels to panels: out[x, k] = in[k, x], both [rows / 128][columns / 64][128][64 bytes].
//
// Rows of the output are zero from params.k to their pitch, whatever lies behind the rows of the input; those behind the
// last may hold anything.
// Idea: a workgroup takes one step of a panel, 128 k × 64 x in one run of memory, and writes two runs of 64 x × 64 k. A
// thread fetches 16 codes of four k, and transposes blocks of 4 × 4 codes in its registers; words of four k wait in
// workgroup memory.

struct Params {
  k: u32,          // rows of the input that count
  in_pitch: u32,   // columns, multiples of 64
  in_column: u32,
  out_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> transposed: array<vec4<u32>>;

// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

// [x][words of k], with one more word so that walking either way meets most banks.
var<workgroup> tile: array<array<u32, 33>, 64>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let word = thread / 4u;
  let vector = thread % 4u;
  let from_step = group.y * (params.in_pitch / 64u) + params.in_column / 64u + group.x;
//! unroll c 0 4
  let row_$c = select(vec4<u32>(), codes[from_step * BLOCK + (4u * word + \${c}u) * 4u + vector],
    group.y * 128u + 4u * word + \${c}u < params.k);
//! end
  // Of all four words of the vectors at once: first the bytes of two rows side by side, then of four.
  let even = vec4<u32>(0x00ff00ffu);
  let odd = vec4<u32>(0xff00ff00u);
  let eight = vec4<u32>(8u);
  let even_01 = (row_0 & even) | ((row_1 & even) << eight);
  let even_23 = (row_2 & even) | ((row_3 & even) << eight);
  let odd_01 = ((row_0 & odd) >> eight) | (row_1 & odd);
  let odd_23 = ((row_2 & odd) >> eight) | (row_3 & odd);
  let low = vec4<u32>(0x0000ffffu);
  let high = vec4<u32>(0xffff0000u);
  let sixteen = vec4<u32>(16u);
  let column_0 = (even_01 & low) | (even_23 << sixteen);
  let column_1 = (odd_01 & low) | (odd_23 << sixteen);
  let column_2 = (even_01 >> sixteen) | (even_23 & high);
  let column_3 = (odd_01 >> sixteen) | (odd_23 & high);
//! unroll w 0 4
//! unroll c 0 4
  tile[vector * 16u + \${w}u * 4u + \${c}u][word] = column_$c[$w];
//! end
//! end
  workgroupBarrier();
  // 64 rows of a panel of the output, in each of two steps.
  let steps = params.out_pitch / 64u;
//! unroll p 0 4
  {
    let x = thread / 4u + \${p}u % 2u * 32u;
    let to_step = group.y * 2u + \${p}u / 2u;
    let first = \${p}u / 2u * 16u + vector * 4u;
    if (to_step < steps) {
      transposed[(group.x / 2u * steps + to_step) * BLOCK + (group.x % 2u * 64u + x) * 4u + vector] =
        vec4<u32>(tile[x][first], tile[x][first + 1u], tile[x][first + 2u], tile[x][first + 3u]);
    }
  }
//! end
}
`,
  "widen.wgsl": `// Weights as files hold them in 16 bits, widened: out[r][c] = decode(raw[r · cols + c]).
//
// Shapes: raw, packed [rows, cols] in bfloat16 or f16, two in a u32; out [rows, cols] in f32 or f16, by rows with a
// pitch; the columns beyond cols become zero.
// Idea: integer arithmetic on the bits, which is exact for every value, subnormals and NaN included, on every GPU. Only
// bfloat16 to f16 rounds. One thread per four columns.
//! include linear_grid.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // groups of four columns from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
//! if F16
@group(0) @binding(2) var<storage, read_write> out: array<vec2<u32>>;
//! else
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;
//! end

// The 16 bits of an element, 0 beyond the columns.
fn bits(row: u32, col: u32) -> u32 {
  if (col >= params.cols) { return 0u; }
  let at = row * params.cols + col;
  return (raw[at / 2u] >> (16u * (at % 2u))) & 0xffffu;
}

// The 16 bits of four elements: two words, where rows are whole groups of four.
fn four_bits(row: u32, col: u32) -> vec4<u32> {
  if (params.cols % 4u != 0u || col >= params.cols) {
    return vec4<u32>(bits(row, col), bits(row, col + 1u), bits(row, col + 2u), bits(row, col + 3u));
  }
  let at = (row * params.cols + col) / 2u;
  let words = vec2<u32>(raw[at], raw[at + 1u]);
  return vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
}

// The same value as the bits of an f32.
fn widened(bits16: u32) -> u32 {
//! if BFLOAT
  return bits16 << 16u;
//! else
  let sign = (bits16 & 0x8000u) << 16u;
  let magnitude = bits16 & 0x7fffu;
  if (magnitude >= 0x7c00u) { return sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u); }
  if (magnitude < 0x400u) { return sign | bitcast<u32>(f32(magnitude) * 0x1p-24); }
  return sign | ((magnitude << 13u) + 0x38000000u);
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let four = four_bits(row, 4u * (item % params.vectors));
//! if !F16
  out[item] = vec4<u32>(widened(four.x), widened(four.y), widened(four.z), widened(four.w));
//! else
//! if BFLOAT
  let values = bitcast<vec4<f32>>(four << vec4<u32>(16u));
  out[item] = vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
//! else
  out[item] = four.xz | (four.yw << vec2<u32>(16u));
//! end
//! end
}
`,
  "workgroup_max.wgsl": `// The largest of floats, signs and all, as the reductions of workgroup_reduce.wgsl. It may leave NaN out. Include-only.
//! include workgroup_reduce.wgsl

//! if SUBGROUP_MAX
fn workgroup_max(value: f32, thread: u32) -> f32 {
  let part = subgroupMax(value);
  if (thread % \${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / \${SUBGROUP_SIZE}u] = part; }
  workgroupBarrier();
  var largest = reduce_scratch[0];
//! unroll i 1 THREADS/SUBGROUP_SIZE
  largest = max(largest, reduce_scratch[$i]);
//! end
  workgroupBarrier();
  return largest;
}
//! else
fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
//! unroll i 1 THREADS/16
    column = max(column, reduce_scratch[thread + 16u * \${i}u]);
//! end
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
//! unroll i 1 16
  largest = max(largest, reduce_scratch[$i]);
//! end
  workgroupBarrier();
  return largest;
}
//! end
`,
  "workgroup_reduce.wgsl": `// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).
//! if ENABLE_SUBGROUPS
enable subgroups;
//! end

var<workgroup> reduce_scratch: array<f32, THREADS>;

//! if SUBGROUP_SUM
fn workgroup_sum(value: f32, thread: u32) -> f32 {
  let part = subgroupAdd(value);
  if (thread % \${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / \${SUBGROUP_SIZE}u] = part; }
  workgroupBarrier();
  var total = reduce_scratch[0];
//! unroll i 1 THREADS/SUBGROUP_SIZE
  total += reduce_scratch[$i];
//! end
  workgroupBarrier(); // the scratch may be written again
  return total;
}
//! else
fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
//! unroll i 1 THREADS/16
    column += reduce_scratch[thread + 16u * \${i}u];
//! end
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
//! unroll i 1 16
  total += reduce_scratch[$i];
//! end
  workgroupBarrier(); // the scratch may be written again
  return total;
}
//! end

// The largest of magnitudes, as their bits without the sign, in which order they are: maxima of floats may leave NaN out, and
// those of integers do not. A NaN, or else infinity, among the values is what comes out.
//! if SUBGROUP_MAX
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  let part = subgroupMax(bits);
  if (thread % \${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / \${SUBGROUP_SIZE}u] = bitcast<f32>(part); }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
//! unroll i 1 THREADS/SUBGROUP_SIZE
  largest = max(largest, bitcast<u32>(reduce_scratch[$i]));
//! end
  workgroupBarrier();
  return largest;
}
//! else
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  reduce_scratch[thread] = bitcast<f32>(bits);
  workgroupBarrier();
  if (thread < 16u) {
    var column = bits;
//! unroll i 1 THREADS/16
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * \${i}u]));
//! end
    reduce_scratch[thread] = bitcast<f32>(column);
  }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
//! unroll i 1 16
  largest = max(largest, bitcast<u32>(reduce_scratch[$i]));
//! end
  workgroupBarrier();
  return largest;
}
//! end
`,
};
