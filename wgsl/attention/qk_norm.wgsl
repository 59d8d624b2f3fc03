// RMSNorm of queries and keys, and with ROTATED the rotary position embedding behind it, on the way from one merged
// matrix of q, k and v to another, which attention reads:
//   output[row] = rotated(qkv[row] · rstd[row] · (offset + weight)),  rstd[row] = 1 / sqrt(mean(qkv[row]²) + eps)
// What becomes of values is VALUES: `copied`, `normed` without a weight, or `keys`: there are none in qkv, and the keys,
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
  let pair_$i = thread % ROW_THREADS + ${i}u * ROW_THREADS;
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
