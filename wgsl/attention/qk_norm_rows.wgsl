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
