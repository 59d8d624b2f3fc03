// What the two tiled kernels of the attention backward share: parameters, bindings, and how they read and write pairs.

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
