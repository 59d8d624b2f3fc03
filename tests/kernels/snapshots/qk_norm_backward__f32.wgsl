const THREADS = 128;
const ROW_THREADS = 16;
const LOADS = 1;
// Gradient of the RMSNorm of queries and keys with respect to its input, in place, or with OUT into another matrix. With
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
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

alias Values = vec4<f32>;
// The rows of queries and keys that an RMSNorm takes, in the columns of the merged matrix of q, k and v: each head of a
// token, or all its query heads as one row and all its key heads as another.
// Include-only.
//
// ROW_THREADS neighbours share a row; a workgroup of THREADS has several. Vectors are of four columns with VEC4, else
// of one; `qkv` [tokens, ·] is f32, or with VEC4 also f16 (QKV).
//
// The including kernel declares alias Values of such a vector, `qkv`, the weights q_weight and k_weight, of one row
// each, and params with
//   q_rows, k_rows            rows of a token
//   q_vectors, k_vectors      vectors of a row
//   q_column, k_column        where they begin, in vectors
//   pitch                     vectors from one token to the next
//   weight_offset             0, or 1 where rows are multiplied by 1 + weight

const WIDTH = 4u;

fn product(a: Values, b: Values) -> f32 { return dot(a, b); }

const ROWS = THREADS / ROW_THREADS;

struct Row {
  token: u32,
  index: u32,   // among the rows of the token: queries, then keys
  at: u32,      // its first vector in the matrix
  vectors: u32,
}

// Row `item % count` of token `item / count`.
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

fn qkv_at(at: u32) -> Values { return qkv[at]; }

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
@group(0) @binding(1) var<storage, read> qkv: array<Values>;
@group(0) @binding(2) var<storage, read_write> d_qkv: array<Values>;
@group(0) @binding(3) var<storage, read> q_weight: array<Values>;
@group(0) @binding(4) var<storage, read> k_weight: array<Values>;
@group(0) @binding(5) var<storage, read> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let normed_rows = params.q_rows + params.k_rows;
  let count = normed_rows;
  let item = linear_index(group, groups) * ROWS + thread / ROW_THREADS;
  let known = item < params.tokens * count;
  // The last row stands in for rows that are missing: read, not written.
  var row = row_of(min(item, params.tokens * count - 1u), count);
  var d_at = row.at - row.token * params.pitch;
  d_at += row.token * params.d_pitch;
  let row_rstd = rstd[row.token * params.rstd_pitch + row.index];

  let vector_0 = thread % ROW_THREADS + 0u * ROW_THREADS;
  let known_0 = min(vector_0, row.vectors - 1u);
  let normed_0 = qkv_at(row.at + known_0) * row_rstd;
  let gradient_0 = d_qkv[d_at + known_0] * factor_at(row, known_0);
  var sum = 0.0;
  sum += select(0.0, product(gradient_0, normed_0), vector_0 < row.vectors);
  let mean = row_sum(sum, thread) / f32(row.vectors * WIDTH);
  if (known && vector_0 < row.vectors) {
    d_qkv[d_at + vector_0] = row_rstd * (gradient_0 - normed_0 * mean);
  }
}

