enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const HEAD_DIM = 16;
const SUBGROUPS = 8;
const COLUMNS = 32;
const LEFT_TILES = 2;
const FETCHES = 1;
const ROW_BLOCKS = 2;
const SUM_BLOCKS = 1;
// Attention backward on tensor cores, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over
// the query heads that share a key head, as attention_backward_keys_values.wgsl. Rows are keys, columns queries.
//
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Of the results, a subgroup has rows of dV (role 0) or dK (role 1):
// 16 of them whole, or where ROW_BLOCKS is 2, every second subgroup the first half of the vectors of 32 rows, the
// next one the second.
// What the two kernels of the attention backward on tensor cores share. Half of the subgroups (role 0) make the
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
// Parameters and bindings of the attention kernels, in f32, in packed f16 and on tensor cores, and how they read q, k, v
// and the gradient of the output: vectors of WIDTH components (2, 8 or 4) of a head. BACKWARD: those of the gradients.
// qkv is f32 or f16 (QKV), and so is the output (OUTPUT); all else is f32. With a WIDTH of 8 d_output is f16 as well, and
// what is written are vectors of 4. Include-only.
//
// With ROTATED, q and k came out of rope.wgsl: positions and frequencies rotate their gradients back. With SOFT_CAP scores
// go through c · tanh(score / c) before they are masked.

struct Params {
  tokens: u32, heads: u32, kv_heads: u32,
  // All pitches and columns except those of the statistics count vectors: those that are read or written.
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4<f32>>;
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

@group(0) @binding(7) var<storage, read> positions: array<u32>;
@group(0) @binding(8) var<storage, read> frequencies: array<vec2<u32>>;

// What load_vector reads.
const Q = 0u;
const K = 1u;
const V = 2u;
const D_OUTPUT = 3u;

// Scores are kept in units of log 2, as exp2 is what the hardware has.
const LOG2_E = 1.44269504088896;
const LN_2 = 0.693147180559945;

// Where a vector of q, k or v is.
fn qkv_index(source: u32, token: u32, head: u32, vector: u32) -> u32 {
  let column = select(select(params.v_column, params.k_column, source == K), params.q_column, source == Q);
  return token * params.qkv_pitch + column + head * (HEAD_DIM / 4u) + vector;
}


// What attention on tensor cores, forward and backward, is made of. A workgroup owns rows (queries, or keys in the
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
// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): f16 factors, f32 sums.
//
// Fragments come from and go to `tile`, a workgroup array of vec4<u32> that the including kernel declares besides
// THREADS. `at` and `stride` (from one row to the next) count its vectors: 8 f16 values of a factor, 4 floats of a
// sum. Which invocation holds which element is implementation-defined: elements are seen only in `tile`, after a
// barrier.

const F16_MAX = 65504.0;

// A vector of a factor's tile.
fn to_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}

fn saturated(values: vec4<f32>) -> vec4<f32> { return clamp(values, vec4<f32>(-F16_MAX), vec4<f32>(F16_MAX)); }

// The same of values that may be out of range.
fn to_saturated_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  // Half as many operations once two elements are packed: out of range they are infinite then.
  const MAX = vec4<f16>(65504.0);
  return vec4<u32>(
    bitcast<vec2<u32>>(clamp(vec4<f16>(low), -MAX, MAX)), bitcast<vec2<u32>>(clamp(vec4<f16>(high), -MAX, MAX)));
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


const THREADS = 32u * SUBGROUPS;
const HEAD_BLOCKS = HEAD_DIM / 16u;
const HEAD_CHUNKS = HEAD_DIM / 8u;
const TILE_ROW = HEAD_CHUNKS + 1u;
const TILE = COLUMNS * TILE_ROW;
const SCORE_ROW = COLUMNS / 4u + 1u;
const STRIP = 16u * SCORE_ROW; // the scores of a subgroup
const SCORES = TILES * TILE;

alias Fetched = array<vec4<f32>, 2 * FETCHES>;
alias FetchedQkv = array<vec4<u32>, FETCHES>;
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
  {
    let place = fetched_place(first, 0u, thread);
    let at = qkv_index(source, place.x, head, place.y);
    values[0] = vec4<u32>(qkv[at], qkv[at + HEAD_CHUNKS]);
  }
  return values;
}

// Brings what was fetched to the tile that begins at `at`.
fn place(at: u32, values: FetchedQkv, thread: u32) {
  {
    let item = thread + 0u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      let halves = values[0];
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] = halves;
    }
  }
}

// 16 rows of a tile.
fn load_rows(at: u32) -> LeftRows {
  var rows: LeftRows;
  rows[0] = load_left(at + 2u * 0u, TILE_ROW);
  return rows;
}

fn store_scores(strip: u32, rows: ptr<function, LeftRows>, right: u32) {
  var scores: array<Sum, COLUMNS / 16>;
  scores[0] = multiply_add(
    (*rows)[0], load_right_transposed(right + 16u * 0u * TILE_ROW + 2u * 0u, TILE_ROW), scores[0]);
  scores[1] = multiply_add(
    (*rows)[0], load_right_transposed(right + 16u * 1u * TILE_ROW + 2u * 0u, TILE_ROW), scores[1]);
  store_sum(strip + 4u * 0u, SCORE_ROW, scores[0]);
  store_sum(strip + 4u * 1u, SCORE_ROW, scores[1]);
}

// Sums are those of the vectors from `first` on; one past the head means nothing.
fn add_weighted(sums: ptr<function, Sums>, weights_at: u32, right: u32, first: u32) {
  {
    let weights_0 = load_left(weights_at + 16u * 0u * SCORE_ROW + 0u * WEIGHT_BLOCK, SCORE_ROW);
    let weights_1 = load_left(weights_at + 16u * 1u * SCORE_ROW + 0u * WEIGHT_BLOCK, SCORE_ROW);
    {
      let dims = load_right(right + 16u * 0u * TILE_ROW + first + 2u * 0u, TILE_ROW);
      (*sums)[0 * SUM_BLOCKS + 0] = multiply_add(weights_0, dims, (*sums)[0 * SUM_BLOCKS + 0]);
      (*sums)[1 * SUM_BLOCKS + 0] = multiply_add(weights_1, dims, (*sums)[1 * SUM_BLOCKS + 0]);
    }
  }
  {
    let weights_0 = load_left(weights_at + 16u * 0u * SCORE_ROW + 1u * WEIGHT_BLOCK, SCORE_ROW);
    let weights_1 = load_left(weights_at + 16u * 1u * SCORE_ROW + 1u * WEIGHT_BLOCK, SCORE_ROW);
    {
      let dims = load_right(right + 16u * 1u * TILE_ROW + first + 2u * 0u, TILE_ROW);
      (*sums)[0 * SUM_BLOCKS + 0] = multiply_add(weights_0, dims, (*sums)[0 * SUM_BLOCKS + 0]);
      (*sums)[1 * SUM_BLOCKS + 0] = multiply_add(weights_1, dims, (*sums)[1 * SUM_BLOCKS + 0]);
    }
  }
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
  {
    let place = fetched_place(first, 0u, thread);
    let at = place.x * params.d_output_pitch + head * (HEAD_DIM / 4u) + place.y;
    values[2 * 0] = d_output[at];
    values[2 * 0 + 1] = d_output[at + HEAD_CHUNKS];
  }
  return values;
}

// Brings it to the tile that begins at `at`, times its power of two: then it is in f16's range.
fn place_gradient(at: u32, values: Fetched, power: f32, thread: u32) {
  {
    let item = thread + 0u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] =
        to_f16(values[2 * 0] * power, values[2 * 0 + 1] * power);
    }
  }
}

// What one invocation brings of ROWS tokens of the rows' two sources.
struct FetchedRows {
  first: array<FetchedQkv, LEFT_TILES>,
  second: array<FetchedQkv, LEFT_TILES>,
}

fn fetch_rows(head: u32, first: u32, thread: u32) -> FetchedRows {
  var values: FetchedRows;
  values.first[0] = fetch(K, head, first + 0u * COLUMNS, thread);
  values.second[0] = fetch(V, head, first + 0u * COLUMNS, thread);
  values.first[1] = fetch(K, head, first + 1u * COLUMNS, thread);
  values.second[1] = fetch(V, head, first + 1u * COLUMNS, thread);
  return values;
}

// Brings them to fragments by way of both tiles: 16 of the first source for a subgroup of role 0, of the second for
// role 1.
fn place_rows(values: FetchedRows, power: f32, thread: u32) -> LeftRows {
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let row = 16u * (subgroup % (SUBGROUPS / 2u));
  var rows: LeftRows;
  place(TILE_0, values.first[0], thread);
  place(TILE_1, values.second[0], thread);
  workgroupBarrier();
  if (row / COLUMNS == 0) { rows = load_rows(role * TILE_1 + row % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  place(TILE_0, values.first[1], thread);
  place(TILE_1, values.second[1], thread);
  workgroupBarrier();
  if (row / COLUMNS == 1) { rows = load_rows(role * TILE_1 + row % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  return rows;
}

// Where the first row of sums goes: its token, the last token that is written, and the head's first column, in quads.
struct Rows { token: u32, last: u32, column: u32 }

// Writes a subgroup's sums, the vectors of the head from `first` to before `end`, times `factor`; of 16 rows all is read
// before anything is written. To be called by the whole workgroup.
fn write_gradient(
  sums: ptr<function, Sums>, strip: u32, rows: Rows, first: u32, end: u32, factor: f32, rotates_back: bool, thread: u32,
) {
  let vector = first + thread % 32u / 16u;
  {
    let token = rows.token + 16u * 0 + thread % 16u;
    var low: array<vec4<f32>, SUM_BLOCKS>;
    var high: array<vec4<f32>, SUM_BLOCKS>;
    {
      let elements = sum_elements((*sums)[0 * SUM_BLOCKS + 0], strip, thread);
      low[0] = elements[0] * factor;
      high[0] = elements[1] * factor;
    }
    if (rotates_back) {
      let position = positions[min(token, rows.last)];
      {
        let angle = rotation(position, 4u * min(vector + 2u * 0, HEAD_CHUNKS - 1u) + LANES);
        let a = low[0];
        let b = high[0];
        low[0] = a * angle.cosine + b * angle.sine;
        high[0] = b * angle.cosine - a * angle.sine;
      }
    }
    let at = token * params.d_qkv_pitch + rows.column + vector;
    if (token <= rows.last && vector + 2u * 0 < end) {
      d_qkv[at + 2u * 0] = low[0];
      d_qkv[at + 2u * 0 + HEAD_CHUNKS] = high[0];
    }
  }
  {
    let token = rows.token + 16u * 1 + thread % 16u;
    var low: array<vec4<f32>, SUM_BLOCKS>;
    var high: array<vec4<f32>, SUM_BLOCKS>;
    {
      let elements = sum_elements((*sums)[1 * SUM_BLOCKS + 0], strip, thread);
      low[0] = elements[0] * factor;
      high[0] = elements[1] * factor;
    }
    if (rotates_back) {
      let position = positions[min(token, rows.last)];
      {
        let angle = rotation(position, 4u * min(vector + 2u * 0, HEAD_CHUNKS - 1u) + LANES);
        let a = low[0];
        let b = high[0];
        low[0] = a * angle.cosine + b * angle.sine;
        high[0] = b * angle.cosine - a * angle.sine;
      }
    }
    let at = token * params.d_qkv_pitch + rows.column + vector;
    if (token <= rows.last && vector + 2u * 0 < end) {
      d_qkv[at + 2u * 0] = low[0];
      d_qkv[at + 2u * 0 + HEAD_CHUNKS] = high[0];
    }
  }
}


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
    {
      var p: array<vec4<f32>, 2>;
      var ds: array<vec4<f32>, 2>;
      let column = 8u * (column_chunk + 4u * 0);
      let at = row_at + column / 4u;
      {
        let low = statistics[column / 2u + 2u * 0];
        let high = statistics[column / 2u + 2u * 0 + 1u];
        let log_sum = vec4<f32>(low.xz, high.xz);
        let mean = vec4<f32>(low.yw, high.yw);
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + 0]);
        p[0] = exp2(bitcast<vec4<f32>>(tile[at + 0]) * score_factor - log_sum);
        ds[0] = p[0] * (dp - mean);
      }
      {
        let low = statistics[column / 2u + 2u * 1];
        let high = statistics[column / 2u + 2u * 1 + 1u];
        let log_sum = vec4<f32>(low.xz, high.xz);
        let mean = vec4<f32>(low.yw, high.yw);
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + 1]);
        p[1] = exp2(bitcast<vec4<f32>>(tile[at + 1]) * score_factor - log_sum);
        ds[1] = p[1] * (dp - mean);
      }
      if (cut) {
        {
          let queries = first_query + column + 4u * 0 + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(end));
          p[0] = select(vec4<f32>(), p[0], visible);
          ds[0] = select(vec4<f32>(), ds[0], visible);
        }
        {
          let queries = first_query + column + 4u * 1 + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(end));
          p[1] = select(vec4<f32>(), p[1], visible);
          ds[1] = select(vec4<f32>(), ds[1], visible);
        }
      }
      tile[weights_at + 2u * WEIGHT_BLOCK * 0] = to_f16(p[0], p[1]);
      tile[weights_at + GRADIENTS + 2u * WEIGHT_BLOCK * 0] = to_saturated_f16(ds[0], ds[1]);
    }
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

