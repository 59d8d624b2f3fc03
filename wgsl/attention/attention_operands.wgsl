// Parameters and bindings of the attention kernels, in f32, in packed f16 and on tensor cores, and how they read q, k, v
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
  return token * params.qkv_pitch + column + head * (HEAD_DIM / ${WIDTH}u) + vector;
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
