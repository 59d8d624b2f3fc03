const THREADS = 128;
const ROW_THREADS = 8;
const LOADS = 1;
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
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// Sines and cosines of rotary position embedding: the planes (i, i + half) of a head are rotated by the angle
// position · inverseFrequency[i]. Four planes at a time with VEC4, else one.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any
// sine is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in
// turns per position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied
// by a position below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the
// exact fraction of a turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn
// either way, goes into Taylor polynomials that are exact to f32 there.
//
// The including kernel declares `frequencies`, u32 [half, 2].

const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

alias Values = vec4<f32>;
alias Words = vec4<u32>;
alias Integers = vec4<i32>;
const LANES = vec4<u32>(0u, 1u, 2u, 3u);

// The fraction of a turn of some planes at a position, in units of 2⁻³².
fn phase(position: u32, planes: Words) -> Words {
  let f = array<vec2<u32>, 4>(frequencies[planes.x], frequencies[planes.y], frequencies[planes.z], frequencies[planes.w]);
  let upper = vec4<u32>(f[0].x, f[1].x, f[2].x, f[3].x);
  let lower = vec4<u32>(f[0].y, f[1].y, f[2].y, f[3].y);
  return position * upper + ((position * lower) >> Words(12u));
}

struct Rotation {
  cosine: Values,
  sine: Values,
}

// The rotation of planes at a position.
fn rotation(position: u32, planes: Words) -> Rotation {
  let turned = phase(position, planes);
  let quadrant = (turned + 0x20000000u) >> Words(30u);
  let x = Values(bitcast<Integers>(turned - (quadrant << Words(30u)))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let odd = (quadrant & Words(1u)) == Words(1u);
  let back = quadrant >= Words(2u);
  let c = select(cosine, -sine, odd);
  let s = select(sine, cosine, odd);
  return Rotation(select(c, -c, back), select(s, -s, back));
}

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
  q_column: u32, k_column: u32, v_column: u32,
  pitch: u32,
  out_pitch: u32,
  half: u32, // vectors of half a head
  rstd_pitch: u32,
  eps: f32,
  weight_offset: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Values>;
@group(0) @binding(2) var<storage, read_write> output: array<Values>;

fn narrow(values: Values) -> Values { return values; }
@group(0) @binding(3) var<storage, read> q_weight: array<Values>;
@group(0) @binding(4) var<storage, read> k_weight: array<Values>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(6) var<storage, read> positions: array<u32>;
@group(0) @binding(7) var<storage, read> frequencies: array<vec2<u32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let normed_rows = params.q_rows + params.k_rows;
  let count = normed_rows + params.k_rows;
  let item = linear_index(group, groups) * ROWS + thread / ROW_THREADS;
  let known = item < params.tokens * count;
  // The last row stands in for rows that are missing: read, not written.
  var row = row_of(min(item, params.tokens * count - 1u), count);
  // Queries and keys have the same columns in the output.
  var out_at = row.at - row.token * params.pitch;
  let is_value = row.index >= normed_rows;
  if (is_value) {
    let place = out_at - (params.k_column + params.k_rows * row.vectors);
    row.at += params.v_column - (params.k_column + params.k_rows * row.vectors);
    out_at = params.v_column + place;
  }
  out_at += row.token * params.out_pitch;

  // The first components of planes, in vectors, and their other components half a head further.
  let pairs = row.vectors / 2u;
  let pair_0 = thread % ROW_THREADS + 0u * ROW_THREADS;
  let known_0 = min(pair_0, pairs - 1u);
  let place_0 = known_0 + known_0 / params.half * params.half;
  let a_0 = qkv_at(row.at + place_0);
  let b_0 = qkv_at(row.at + place_0 + params.half);
  var squares = 0.0;
  squares += select(0.0, product(a_0, a_0) + product(b_0, b_0), pair_0 < pairs);
  let row_rstd = 1.0 / sqrt(row_sum(squares, thread) / f32(row.vectors * WIDTH) + params.eps);
  let counts = !is_value;
  if (known && counts && thread % ROW_THREADS == 0u) { rstd[row.token * params.rstd_pitch + row.index] = row_rstd; }

  let n_0 = a_0 * row_rstd;
  let m_0 = b_0 * row_rstd;
  let c_0 = n_0 * factor_at(row, place_0);
  let d_0 = m_0 * factor_at(row, place_0 + params.half);
  let angle_0 = rotation(positions[row.token], known_0 % params.half * WIDTH + LANES);
  let e_0 = c_0 * angle_0.cosine - d_0 * angle_0.sine;
  let f_0 = d_0 * angle_0.cosine + c_0 * angle_0.sine;
  if (known && pair_0 < pairs) {
    output[out_at + place_0] = narrow(select(e_0, a_0, is_value));
    output[out_at + place_0 + params.half] = narrow(select(f_0, b_0, is_value));
  }
}

