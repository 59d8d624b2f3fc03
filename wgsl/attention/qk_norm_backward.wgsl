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
  let vector_$i = thread % ROW_THREADS + ${i}u * ROW_THREADS;
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
