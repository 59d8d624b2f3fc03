enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const HEAD_DIM = 16;
const SUBGROUPS = 4;
const COLUMNS = 32;
const LEFT_TILES = 2;
const FETCHES = 1;
const ROW_BLOCKS = 1;
const SUM_BLOCKS = 1;
// Attention forward on tensor cores: what attention_forward.wgsl computes, with products of f16 rounded q, k, v and
// probabilities, summed in f32.
//
// Shapes: as there; columns and pitches are multiples of 4.
// Grid: (⌈tokens / ROWS⌉, heads), the last rows first: in a long document they have the most keys, and would be
// waited for. Each subgroup has 16 of the ROWS queries: their q stays in fragments, their results too.
//
// Online softmax with a lazy reference: a row's probabilities are 2^(s − reference), where the reference is a maximum of
// earlier scores, renewed only when a score exceeds it by GROWTH. Results are then still exact, probabilities at most
// 2^GROWTH, and the results in fragments, whose rows cannot be scaled where they are, need that rarely: they take the way
// through workgroup memory. Two invocations share a row, 16 of every 32 columns each.
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
  output_pitch: u32, statistics_pitch: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> documents: array<vec2<u32>>;
// What attention writes, f32 or f16 (OUTPUT), vectors of WIDTH components (2 or 4) of a head. Include-only.
// Rounding to f16. Include-only.

// Four values in two words: finite ones saturate at f16's largest, and what is not finite stays so, to be seen.
fn saturated_halves(value: vec4<f32>) -> vec2<u32> {
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let inside = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  return vec2<u32>(pack2x16float(inside.xy), pack2x16float(inside.zw));
}

@group(0) @binding(3) var<storage, read_write> output: array<vec2<u32>>;

fn put_output(at: u32, value: vec4<f32>) { output[at] = saturated_halves(value); }

@group(0) @binding(4) var<storage, read_write> log_sum_exp: array<f32>;

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
    {
      let dims = load_right(right + 16u * 0u * TILE_ROW + first + 2u * 0u, TILE_ROW);
      (*sums)[0 * SUM_BLOCKS + 0] = multiply_add(weights_0, dims, (*sums)[0 * SUM_BLOCKS + 0]);
    }
  }
  {
    let weights_0 = load_left(weights_at + 16u * 0u * SCORE_ROW + 1u * WEIGHT_BLOCK, SCORE_ROW);
    {
      let dims = load_right(right + 16u * 1u * TILE_ROW + first + 2u * 0u, TILE_ROW);
      (*sums)[0 * SUM_BLOCKS + 0] = multiply_add(weights_0, dims, (*sums)[0 * SUM_BLOCKS + 0]);
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


const ROWS = 16u * SUBGROUPS;
const TILES = 1u;
const KV_TILE = 0u; // keys and values take turns in it
const GROWTH = 8.0;
const MASKED = -3e38; // below every score

var<workgroup> grown: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let strip = SCORES + subgroup * STRIP;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = (groups.x - 1u - group.x) * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  // What this invocation has of the scores: one row, and of it columns 16 · (column_block + 2 · n) on.
  let row = 16u * subgroup + thread % 16u;
  let column_block = thread % 32u / 16u;
  let scores_at = strip + thread % 16u * SCORE_ROW + 4u * column_block;
  let query = min(first_query + row, last_query);
  let start = documents[query].x;
  let last_start = documents[last_query].x;
  let factor = params.scale * LOG2_E;

  // All that is read before the first scores is fetched at once.
  let first_tile = documents[first_query].x;
  let rows_0 = fetch(Q, head, first_query + 0u * COLUMNS, thread);
  let rows_1 = fetch(Q, head, first_query + 1u * COLUMNS, thread);
  let first_k = fetch(K, kv_head, first_tile, thread);
  var queries: LeftRows;
  place(KV_TILE, rows_0, thread);
  workgroupBarrier();
  if (16u * subgroup / COLUMNS == 0) { queries = load_rows(KV_TILE + 16u * subgroup % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  place(KV_TILE, rows_1, thread);
  workgroupBarrier();
  if (16u * subgroup / COLUMNS == 1) { queries = load_rows(KV_TILE + 16u * subgroup % COLUMNS * TILE_ROW); }
  workgroupBarrier();

  var results: Sums;
  var reference = MASKED;
  var sum = 0.0;
  let last_row = first_query + 16u * subgroup + 15u;
  place(KV_TILE, first_k, thread);
  for (var first_key = first_tile; first_key <= last_query; first_key += COLUMNS) {
    workgroupBarrier();
    let more = first_key + COLUMNS <= last_query;
    let reaches = first_key <= last_row;
    var next = fetch(V, kv_head, first_key, thread);
    if (reaches) { store_scores(strip, &queries, KV_TILE); }
    workgroupBarrier();
    place(KV_TILE, next, thread);
    if (more) { next = fetch(K, kv_head, first_key + COLUMNS, thread); }

    var scores: array<vec4<f32>, COLUMNS / 8>;
    scores[4 * 0 + 0] = bitcast<vec4<f32>>(tile[scores_at + 8u * 0 + 0]) * factor;
    scores[4 * 0 + 1] = bitcast<vec4<f32>>(tile[scores_at + 8u * 0 + 1]) * factor;
    scores[4 * 0 + 2] = bitcast<vec4<f32>>(tile[scores_at + 8u * 0 + 2]) * factor;
    scores[4 * 0 + 3] = bitcast<vec4<f32>>(tile[scores_at + 8u * 0 + 3]) * factor;
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      {
        let keys = first_key + 16u * (column_block + 2u * 0) + 4u * 0 + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 0] = select(vec4<f32>(MASKED), scores[4 * 0 + 0], visible);
      }
      {
        let keys = first_key + 16u * (column_block + 2u * 0) + 4u * 1 + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 1] = select(vec4<f32>(MASKED), scores[4 * 0 + 1], visible);
      }
      {
        let keys = first_key + 16u * (column_block + 2u * 0) + 4u * 2 + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 2] = select(vec4<f32>(MASKED), scores[4 * 0 + 2], visible);
      }
      {
        let keys = first_key + 16u * (column_block + 2u * 0) + 4u * 3 + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 3] = select(vec4<f32>(MASKED), scores[4 * 0 + 3], visible);
      }
    }
    var maxima = scores[0];
    maxima = max(maxima, scores[1]);
    maxima = max(maxima, scores[2]);
    maxima = max(maxima, scores[3]);
    var maximum = max(max(maxima.x, maxima.y), max(maxima.z, maxima.w));
    maximum = max(maximum, from_other_half(maximum, thread));
    var decay = 1.0;
    if (maximum > reference + GROWTH) {
      // A row that has seen no key yet has nothing to scale.
      if (reference != MASKED) {
        decay = exp2(reference - maximum);
        atomicStore(&grown, 1u);
      }
      reference = maximum;
    }
    sum *= decay;
    let base = max(reference, 0.5 * MASKED); // 2^(MASKED − base) is 0 also before the first key
    var weights: array<vec4<u32>, COLUMNS / 16>;
    {
      let low = exp2(scores[4 * 0 + 2 * 0] - base);
      let high = exp2(scores[4 * 0 + 2 * 0 + 1] - base);
      sum += (low.x + low.y + low.z + low.w) + (high.x + high.y + high.z + high.w);
      let halves = to_f16(low, high);
      tile[scores_at + 2u * WEIGHT_BLOCK * 0 + 0] = halves; // where this invocation took the scores
      weights[2 * 0 + 0] = halves;
    }
    {
      let low = exp2(scores[4 * 0 + 2 * 1] - base);
      let high = exp2(scores[4 * 0 + 2 * 1 + 1] - base);
      sum += (low.x + low.y + low.z + low.w) + (high.x + high.y + high.z + high.w);
      let halves = to_f16(low, high);
      tile[scores_at + 2u * WEIGHT_BLOCK * 0 + 1] = halves; // where this invocation took the scores
      weights[2 * 0 + 1] = halves;
    }

    if (workgroupUniformLoad(&grown) != 0u) {
      {
        let elements = sum_elements(results[0], strip, thread);
        tile[sum_place(strip, thread)] = bitcast<vec4<u32>>(elements[0] * decay);
        tile[sum_place(strip, thread) + 1u] = bitcast<vec4<u32>>(elements[1] * decay);
        workgroupBarrier();
        results[0] = load_sum(strip, SCORE_ROW);
      }
      workgroupBarrier();
      tile[scores_at + 2u * WEIGHT_BLOCK * 0 + 0] = weights[2 * 0 + 0];
      tile[scores_at + 2u * WEIGHT_BLOCK * 0 + 1] = weights[2 * 0 + 1];
      if (thread == 0u) { atomicStore(&grown, 0u); }
      workgroupBarrier();
    }
    if (reaches) { add_weighted(&results, strip, KV_TILE, 0u); }
    workgroupBarrier();
    if (more) { place(KV_TILE, next, thread); }
  }

  sum += from_other_half(sum, thread);
  let inverse = 1.0 / sum;
  let written = first_query + row <= last_query;
  if (written && column_block == 0u) {
    log_sum_exp[query * params.statistics_pitch + head] = (reference + log2(sum)) * LN_2;
  }
  {
    let elements = sum_elements(results[0], strip, thread);
    if (written) {
      let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + 2u * 0 + column_block;
      put_output(at, elements[0] * inverse);
      put_output(at + HEAD_CHUNKS, elements[1] * inverse);
    }
  }

  // The columns up to the pitch are zero; output has none.
  if (head + 1u == params.heads) {
    for (var token = first_query; token <= last_query; token += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[token * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

