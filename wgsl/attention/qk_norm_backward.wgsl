// Gradient of the RMSNorm of queries and keys with respect to its input, in place. With x a row of qkv,
// g = gradient · (offset + weight) and n = x · rstd:
//   d_qkv[row] = rstd · (g − n · mean(g · n))
// The gradient comes rotated back from the gradient of attention, as of what was normed; that of the values stays.
//
// Shapes: qkv [tokens, ·], f32 or with VEC4 also f16 (QKV), as the forward read it; d_qkv [tokens, ·], f32, with the same
// columns; weights f32, one row each; rstd f32 [tokens, q_rows + k_rows]. Rows: see qk_norm_rows.wgsl.
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
  pitch: u32,
  rstd_pitch: u32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if QKV == f32
@group(0) @binding(1) var<storage, read> qkv: array<Values>;
//! else
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
//! end
@group(0) @binding(2) var<storage, read_write> d_qkv: array<Values>;
@group(0) @binding(3) var<storage, read> q_weight: array<Values>;
@group(0) @binding(4) var<storage, read> k_weight: array<Values>;
@group(0) @binding(5) var<storage, read> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let count = params.q_rows + params.k_rows;
  let item = linear_index(group, groups) * ROWS + thread / ROW_THREADS;
  let known = item < params.tokens * count;
  // The last row stands in for rows that are missing: read, not written.
  let row = row_of(min(item, params.tokens * count - 1u), count);
  let row_rstd = rstd[row.token * params.rstd_pitch + row.index];

//! unroll i 0 LOADS
  let vector_$i = thread % ROW_THREADS + ${i}u * ROW_THREADS;
  let known_$i = min(vector_$i, row.vectors - 1u);
  let normed_$i = qkv_at(row.at + known_$i) * row_rstd;
  let gradient_$i = d_qkv[row.at + known_$i] * factor_at(row, known_$i);
//! end
  var sum = 0.0;
//! unroll i 0 LOADS
  sum += select(0.0, product(gradient_$i, normed_$i), vector_$i < row.vectors);
//! end
  let mean = row_sum(sum, thread) / f32(row.vectors * WIDTH);
//! unroll i 0 LOADS
  if (known && vector_$i < row.vectors) {
    d_qkv[row.at + vector_$i] = row_rstd * (gradient_$i - normed_$i * mean);
  }
//! end
}
