// What the two tiled kernels of the attention backward share: parameters, bindings, and how they read and write pairs.
// With ROTATED, q and k came out of rope.wgsl, and their gradients are turned back on their way to memory.
//! if ROTATED
//! include rotation.wgsl
//! end

struct Params {
  tokens: u32, heads: u32, kv_heads: u32, head_pairs: u32,
  // all pitches and columns but that of the statistics count pairs
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> d_output: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec2<f32>>;
//! if ROTATED
@group(0) @binding(7) var<storage, read> positions: array<u32>;
@group(0) @binding(8) var<storage, read> frequencies: array<vec2<u32>>;
//! end

const Q = 0u;
const K = 1u;
const V = 2u;
const D_OUTPUT = 3u;
const LOG2_E = 1.44269504088896;

fn load_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  let at = head * params.head_pairs + pair;
  switch source {
    case Q: { return qkv[token * params.qkv_pitch + params.q_column + at]; }
    case K: { return qkv[token * params.qkv_pitch + params.k_column + at]; }
    case V: { return qkv[token * params.qkv_pitch + params.v_column + at]; }
    default: { return d_output[token * params.d_output_pitch + at]; }
  }
}

// A row's results: DIM_VECTORS quads of dims, COLUMN_THREADS apart.
alias Dims = array<vec4<f32>, DIM_VECTORS>;

//! if ROTATED
// Turns a row of the gradient of q or k back by the position of its token. Both dims of a plane meet in `right`, where each
// of the ROW_GROUPS has a place for one row. To be called by the whole workgroup.
fn turned_back(dims: Dims, token: u32, thread: u32) -> Dims {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  workgroupBarrier();
  //! unroll j 0 DIM_VECTORS
  right[y][x + ${j}u * COLUMN_THREADS] = dims[$j];
  //! end
  workgroupBarrier();
  var turned: Dims;
  let half = params.head_pairs;
  let position = positions[token];
  //! unroll j 0 DIM_VECTORS
  {
    // Dims past the head mean nothing: they take the last plane.
    let dim = min(4u * (x + ${j}u * COLUMN_THREADS) + LANES, vec4<u32>(2u * half - 1u));
    let first = dim < vec4<u32>(half);
    let other = select(dim - half, dim + half, first);
    let others = vec4<f32>(
      right[y][other.x / 4u][other.x % 4u], right[y][other.y / 4u][other.y % 4u],
      right[y][other.z / 4u][other.z % 4u], right[y][other.w / 4u][other.w % 4u]);
    let turn = rotation(position, min(dim, other));
    turned[$j] = dims[$j] * turn.cosine + others * select(-turn.sine, turn.sine, first);
  }
  //! end
  return turned;
}
//! end

// Writes four dims of a head whose first column is given.
fn store_gradient(token: u32, column: u32, quad: u32, value: vec4<f32>) {
  let at = token * params.d_qkv_pitch + column + 2u * quad;
  if (2u * quad < params.head_pairs) { d_qkv[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { d_qkv[at + 1u] = value.zw; }
}
