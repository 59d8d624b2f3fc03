const COLUMN_THREADS = 4;
const DIM_VECTORS = 1;
const DIM_GROUPS = 1;
const GROUP_VECTORS = 1;
const ROW_VECTORS = 2;
const LEFT_LOADS = 4;
const UNROLL = 8;
// Attention forward, tiled with an online softmax: output = softmax(scale · Q·Kᵀ, visible keys) · V for every query head,
// and logSumExp, from which the backward rebuilds the probabilities. No tokens × tokens array exists anywhere.
//
// Shapes: q [tokens, heads · head size], k and v [tokens, kv_heads · head size], each somewhere in the columns of the
// matrix qkv; documents (start, end) per token: token t sees keys start … t; output [tokens, heads · head size];
// log_sum_exp [tokens, heads]. All f32. Query head h reads key head ⌊h · kv_heads / heads⌋.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query (starts do not decrease, so no query sees more).
//
// Online softmax: with the running maximum m and sum l of a row, a new tile of scores s first scales l and the results by
// 2^(m_old − m_new), then adds p = 2^(s − m_new) to l and p·V to the results. l stays split over the invocations of a
// row until the end.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products; for documents of n tokens about
// 2 · n · tokens · heads · head size, plus what the tiles on the diagonal and at document starts compute in vain.
// Parameters and bindings of the attention kernels, in f32, in packed f16 and on tensor cores, and how they read q, k, v
// and the gradient of the output: vectors of WIDTH components (2, 8 or 4) of a head. BACKWARD: those of the gradients.
// qkv is f32 or f16 (QKV), and so is the output (OUTPUT); all else is f32. With a WIDTH of 8 d_output is f16 as well, and
// what is written are vectors of 4. Include-only.
//
// With ROTATED, q and k came out of rope.wgsl: positions and frequencies rotate their gradients back. With SOFT_CAP scores
// go through c · tanh(score / c) before they are masked.

struct Params {
  tokens: u32, heads: u32, kv_heads: u32,
  head_pairs: u32, // half the head size; elsewhere it is HEAD_DIM
  parts: u32,      // of a tile's slices: see attention_tiles.wgsl, attention_half.wgsl
  // All pitches and columns except those of the statistics count vectors: those that are read or written.
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
  output_pitch: u32, statistics_pitch: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> documents: array<vec2<u32>>;
// What attention writes, f32 or f16 (OUTPUT), vectors of WIDTH components (2 or 4) of a head. Include-only.
@group(0) @binding(3) var<storage, read_write> output: array<vec2<f32>>;

fn put_output(at: u32, value: vec2<f32>) { output[at] = value; }

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
  return token * params.qkv_pitch + column + head * params.head_pairs + vector;
}

fn load_vector(source: u32, token: u32, head: u32, vector: u32) -> vec2<f32> {
  return qkv[qkv_index(source, token, head, vector)];
}

// The two tile products that attention, forward and backward, is made of. A workgroup owns ROWS rows (queries, or keys in
// the gradient of keys and values) and walks over tiles of COLUMNS columns (keys, or queries).
//
//   add_products       scores[row, column] += Σ_dim left[row, dim] · right[column, dim]        contraction over the head
//   add_combinations   results[row, dim]   += Σ_column weights[row, column] · right[column, dim]     ... over the columns
//
// Who holds what: the THREADS = ROW_GROUPS · COLUMN_THREADS invocations form a grid, y in 0 … ROW_GROUPS and x in
// 0 … COLUMN_THREADS. Invocation (x, y) keeps in registers, for its R = 4 · ROW_VECTORS rows  R·y … R·y + R - 1,
//   the scores of columns  x + COLUMN_THREADS · {0, 1, 2, 3}, one vec4 per row, and
//   the results of dims    4 · (x + COLUMN_THREADS · j) … + 3, j < DIM_VECTORS, DIM_VECTORS vec4s per row.
// With that spacing the i-th score of all invocations is COLUMN_THREADS consecutive columns: the weights go to
// workgroup memory by a fixed component, DEPTH columns at a time, and neither tile exists there as a whole.
//
// Both products bring DEPTH slices of the contraction to workgroup memory (left: by slice and row, right: by slice and
// column or dim, all vec4), while the registers of the next slices are already being loaded. An odd number of vec4s per
// slice spreads the stores over the banks. 12.8 KB for heads of 128: more than 16 KB is not there by default, and on an
// NVIDIA GPU costs more in workgroups at a time than it saves in loads. Heads over 192 would need 19 KB: their combinations
// are made in DIM_GROUPS = 2 halves of the dims, one after the other, which also halves the vectors on their way; those of
// heads over 256 in 4 groups.
//
// The host chooses COLUMN_THREADS, DIM_VECTORS, in DIM_GROUPS of GROUP_VECTORS, and ROW_VECTORS for the head size, LEFT_LOADS
// (left vec4 pairs per slice that an invocation brings) and UNROLL (slices multiplied without a loop: code that compiles for longer). Of slices
// there are PARTS times as many, which only params.parts says: a driver that knew would write them all out. The kernel that includes this has
// included attention_operands.wgsl with a WIDTH of 2. Heads are padded with zeros to the dims of the grid; tokens
// past the end repeat the last one: the caller masks them.

const DEPTH = 16u;
const ROW_GROUPS = 8u;
const THREADS = ROW_GROUPS * COLUMN_THREADS;
const ROWS = ROW_GROUPS * ROW_VECTORS * 4u;
const COLUMNS = 4u * COLUMN_THREADS;
const ROW_SLOTS = ROW_GROUPS * ROW_VECTORS; // vec4s of rows
const PAIRS = DEPTH / 2u;
const PARTS = DEPTH / UNROLL;
const RIGHT_SLOTS = GROUP_VECTORS * COLUMN_THREADS;

alias RowVectors = array<vec4<f32>, ROW_VECTORS>;             // one number per row
alias Scores = array<vec4<f32>, 4 * ROW_VECTORS>;             // [row]
alias Results = array<vec4<f32>, 4 * ROW_VECTORS * DIM_VECTORS>; // [row][j]

// Slice s is [s / UNROLL][s % UNROLL].
var<workgroup> left: array<array<array<vec4<f32>, ROW_SLOTS + 1u>, UNROLL>, PARTS>;
var<workgroup> right: array<array<array<vec4<f32>, RIGHT_SLOTS + 1u>, UNROLL>, PARTS>;

// Tokens from `first` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// Two dims of four tokens, transposed.
struct Transposed { even: vec4<f32>, odd: vec4<f32> }

struct Slices { left: array<Transposed, LEFT_LOADS>, right: Transposed }

fn guarded_pair(source: u32, token: u32, head: u32, pair: u32) -> vec2<f32> {
  let inside = min(pair, params.head_pairs - 1u);
  return select(vec2<f32>(), load_vector(source, min(token, params.tokens - 1u), head, inside), pair < params.head_pairs);
}

fn load_transposed(rows: Rows, token: u32, step: u32, pair: u32) -> Transposed {
  let a = guarded_pair(rows.source, rows.first + token, rows.head, pair);
  let b = guarded_pair(rows.source, rows.first + token + step, rows.head, pair);
  let c = guarded_pair(rows.source, rows.first + token + 2u * step, rows.head, pair);
  let d = guarded_pair(rows.source, rows.first + token + 3u * step, rows.head, pair);
  return Transposed(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

fn load_slices(a: Rows, b: Rows, first_pair: u32, thread: u32) -> Slices {
  let pair = first_pair + thread % PAIRS;
  let slot = thread / PAIRS;
  var slices: Slices;
  if (slot + 0u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[0] = load_transposed(a, 4u * (slot + 0u * COLUMN_THREADS), 1u, pair);
  }
  if (slot + 1u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[1] = load_transposed(a, 4u * (slot + 1u * COLUMN_THREADS), 1u, pair);
  }
  if (slot + 2u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[2] = load_transposed(a, 4u * (slot + 2u * COLUMN_THREADS), 1u, pair);
  }
  if (slot + 3u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[3] = load_transposed(a, 4u * (slot + 3u * COLUMN_THREADS), 1u, pair);
  }
  slices.right = load_transposed(b, slot, COLUMN_THREADS, pair);
  return slices;
}

fn add_products(scores: ptr<function, Scores>, a: Rows, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  // The order of the dims does not matter to a sum, so even dims come first, then odd ones: fewer bank conflicts.
  let pair = thread % PAIRS;
  let slot = thread / PAIRS;
  var slices = load_slices(a, b, 0u, thread);
  for (var first_pair = 0u; first_pair < params.head_pairs; first_pair += PAIRS) {
    workgroupBarrier();
    if (slot + 0u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair / UNROLL][pair % UNROLL][slot + 0u * COLUMN_THREADS] = slices.left[0].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + 0u * COLUMN_THREADS] = slices.left[0].odd;
    }
    if (slot + 1u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair / UNROLL][pair % UNROLL][slot + 1u * COLUMN_THREADS] = slices.left[1].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + 1u * COLUMN_THREADS] = slices.left[1].odd;
    }
    if (slot + 2u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair / UNROLL][pair % UNROLL][slot + 2u * COLUMN_THREADS] = slices.left[2].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + 2u * COLUMN_THREADS] = slices.left[2].odd;
    }
    if (slot + 3u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair / UNROLL][pair % UNROLL][slot + 3u * COLUMN_THREADS] = slices.left[3].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + 3u * COLUMN_THREADS] = slices.left[3].odd;
    }
    right[pair / UNROLL][pair % UNROLL][slot] = slices.right.even;
    right[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot] = slices.right.odd;
    workgroupBarrier();
    if (first_pair + PAIRS < params.head_pairs) { slices = load_slices(a, b, first_pair + PAIRS, thread); }
    for (var part = 0u; part < params.parts; part += 1u) {
      {
        let columns = right[part][0][x];
        let rows0 = left[part][0][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][0][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][1][x];
        let rows0 = left[part][1][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][1][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][2][x];
        let rows0 = left[part][2][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][2][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][3][x];
        let rows0 = left[part][3][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][3][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][4][x];
        let rows0 = left[part][4][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][4][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][5][x];
        let rows0 = left[part][5][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][5][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][6][x];
        let rows0 = left[part][6][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][6][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
      {
        let columns = right[part][7][x];
        let rows0 = left[part][7][row_slot + 0u];
        (*scores)[4 * 0 + 0] = fma(vec4<f32>(rows0[0]), columns, (*scores)[4 * 0 + 0]);
        (*scores)[4 * 0 + 1] = fma(vec4<f32>(rows0[1]), columns, (*scores)[4 * 0 + 1]);
        (*scores)[4 * 0 + 2] = fma(vec4<f32>(rows0[2]), columns, (*scores)[4 * 0 + 2]);
        (*scores)[4 * 0 + 3] = fma(vec4<f32>(rows0[3]), columns, (*scores)[4 * 0 + 3]);
        let rows1 = left[part][7][row_slot + 1u];
        (*scores)[4 * 1 + 0] = fma(vec4<f32>(rows1[0]), columns, (*scores)[4 * 1 + 0]);
        (*scores)[4 * 1 + 1] = fma(vec4<f32>(rows1[1]), columns, (*scores)[4 * 1 + 1]);
        (*scores)[4 * 1 + 2] = fma(vec4<f32>(rows1[2]), columns, (*scores)[4 * 1 + 2]);
        (*scores)[4 * 1 + 3] = fma(vec4<f32>(rows1[3]), columns, (*scores)[4 * 1 + 3]);
      }
    }
  }
}

// Loads what one invocation brings of DEPTH tokens: 2 tokens, GROUP_VECTORS vec4s each, the first of them at `slot`.
fn load_tokens(b: Rows, first: u32, slot: u32, y: u32) -> array<vec4<f32>, 2 * GROUP_VECTORS> {
  var values: array<vec4<f32>, 2 * GROUP_VECTORS>;
  {
    let token = b.first + first + y + 0u * ROW_GROUPS;
    let pair = 2u * (slot + 0u * COLUMN_THREADS);
    let low = guarded_pair(b.source, token, b.head, pair);
    let high = guarded_pair(b.source, token, b.head, pair + 1u);
    values[0 * GROUP_VECTORS + 0] = vec4<f32>(low, high);
  }
  {
    let token = b.first + first + y + 1u * ROW_GROUPS;
    let pair = 2u * (slot + 0u * COLUMN_THREADS);
    let low = guarded_pair(b.source, token, b.head, pair);
    let high = guarded_pair(b.source, token, b.head, pair + 1u);
    values[1 * GROUP_VECTORS + 0] = vec4<f32>(low, high);
  }
  return values;
}

// Turns `weights` round and round; in the end they are as they were.
fn add_group_0(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  let row_slot = y * ROW_VECTORS;
  var values = load_tokens(b, 0u, x + 0u * RIGHT_SLOTS, y);
  for (var first = 0u; first < COLUMNS; first += DEPTH) {
    workgroupBarrier();
    left[(x + 0u * COLUMN_THREADS) / UNROLL][(x + 0u * COLUMN_THREADS) % UNROLL][row_slot + 0u] = vec4<f32>(
      (*weights)[4 * 0][0], (*weights)[4 * 0 + 1][0], (*weights)[4 * 0 + 2][0], (*weights)[4 * 0 + 3][0]);
    left[(x + 0u * COLUMN_THREADS) / UNROLL][(x + 0u * COLUMN_THREADS) % UNROLL][row_slot + 1u] = vec4<f32>(
      (*weights)[4 * 1][0], (*weights)[4 * 1 + 1][0], (*weights)[4 * 1 + 2][0], (*weights)[4 * 1 + 3][0]);
    left[(x + 1u * COLUMN_THREADS) / UNROLL][(x + 1u * COLUMN_THREADS) % UNROLL][row_slot + 0u] = vec4<f32>(
      (*weights)[4 * 0][1], (*weights)[4 * 0 + 1][1], (*weights)[4 * 0 + 2][1], (*weights)[4 * 0 + 3][1]);
    left[(x + 1u * COLUMN_THREADS) / UNROLL][(x + 1u * COLUMN_THREADS) % UNROLL][row_slot + 1u] = vec4<f32>(
      (*weights)[4 * 1][1], (*weights)[4 * 1 + 1][1], (*weights)[4 * 1 + 2][1], (*weights)[4 * 1 + 3][1]);
    left[(x + 2u * COLUMN_THREADS) / UNROLL][(x + 2u * COLUMN_THREADS) % UNROLL][row_slot + 0u] = vec4<f32>(
      (*weights)[4 * 0][2], (*weights)[4 * 0 + 1][2], (*weights)[4 * 0 + 2][2], (*weights)[4 * 0 + 3][2]);
    left[(x + 2u * COLUMN_THREADS) / UNROLL][(x + 2u * COLUMN_THREADS) % UNROLL][row_slot + 1u] = vec4<f32>(
      (*weights)[4 * 1][2], (*weights)[4 * 1 + 1][2], (*weights)[4 * 1 + 2][2], (*weights)[4 * 1 + 3][2]);
    left[(x + 3u * COLUMN_THREADS) / UNROLL][(x + 3u * COLUMN_THREADS) % UNROLL][row_slot + 0u] = vec4<f32>(
      (*weights)[4 * 0][3], (*weights)[4 * 0 + 1][3], (*weights)[4 * 0 + 2][3], (*weights)[4 * 0 + 3][3]);
    left[(x + 3u * COLUMN_THREADS) / UNROLL][(x + 3u * COLUMN_THREADS) % UNROLL][row_slot + 1u] = vec4<f32>(
      (*weights)[4 * 1][3], (*weights)[4 * 1 + 1][3], (*weights)[4 * 1 + 2][3], (*weights)[4 * 1 + 3][3]);
    right[(y + 0u * ROW_GROUPS) / UNROLL][(y + 0u * ROW_GROUPS) % UNROLL][x + 0u % GROUP_VECTORS * COLUMN_THREADS] =
      values[0 * GROUP_VECTORS + 0 % GROUP_VECTORS];
    right[(y + 1u * ROW_GROUPS) / UNROLL][(y + 1u * ROW_GROUPS) % UNROLL][x + 0u % GROUP_VECTORS * COLUMN_THREADS] =
      values[1 * GROUP_VECTORS + 0 % GROUP_VECTORS];
    workgroupBarrier();
    if (first + DEPTH < COLUMNS) { values = load_tokens(b, first + DEPTH, x + 0u * RIGHT_SLOTS, y); }
    for (var part = 0u; part < params.parts; part += 1u) {
      {
        let dims0 = right[part][0][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][0][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][0][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][1][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][1][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][1][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][2][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][2][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][2][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][3][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][3][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][3][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][4][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][4][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][4][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][5][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][5][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][5][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][6][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][6][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][6][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
      {
        let dims0 = right[part][7][x + 0u % GROUP_VECTORS * COLUMN_THREADS];
        let rows0 = left[part][7][row_slot + 0u];
        (*results)[(4 * 0 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[0]), dims0, (*results)[(4 * 0 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[1]), dims0, (*results)[(4 * 0 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[2]), dims0, (*results)[(4 * 0 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 0 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows0[3]), dims0, (*results)[(4 * 0 + 3) * DIM_VECTORS + 0]);
        let rows1 = left[part][7][row_slot + 1u];
        (*results)[(4 * 1 + 0) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[0]), dims0, (*results)[(4 * 1 + 0) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 1) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[1]), dims0, (*results)[(4 * 1 + 1) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 2) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[2]), dims0, (*results)[(4 * 1 + 2) * DIM_VECTORS + 0]);
        (*results)[(4 * 1 + 3) * DIM_VECTORS + 0] =
          fma(vec4<f32>(rows1[3]), dims0, (*results)[(4 * 1 + 3) * DIM_VECTORS + 0]);
      }
    }
  }
}

fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  add_group_0(results, weights, b, thread);
}


const MASKED = -3e38; // below every score

// Gives the invocations of a row each other's numbers: row slots of slice x.
fn exchange(numbers: ptr<function, RowVectors>, x: u32, row_slot: u32) {
  workgroupBarrier();
  left[x / UNROLL][x % UNROLL][row_slot + 0u] = (*numbers)[0];
  left[x / UNROLL][x % UNROLL][row_slot + 1u] = (*numbers)[1];
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let scale = params.scale * LOG2_E;

  var results = Results();
  var maxima: RowVectors;
  var sums = RowVectors();
  maxima[0] = vec4<f32>(MASKED);
  maxima[1] = vec4<f32>(MASKED);

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), thread);

    var tile_maxima: RowVectors;
    let keys = first_key + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
    {
      let query = first_query + 4u * (row_slot + 0u) + 0u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 0 + 0] * scale, visible);
      scores[4 * 0 + 0] = s;
      tile_maxima[0][0] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 1u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 0 + 1] * scale, visible);
      scores[4 * 0 + 1] = s;
      tile_maxima[0][1] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 2u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 0 + 2] * scale, visible);
      scores[4 * 0 + 2] = s;
      tile_maxima[0][2] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 3u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 0 + 3] * scale, visible);
      scores[4 * 0 + 3] = s;
      tile_maxima[0][3] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 0u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 1 + 0] * scale, visible);
      scores[4 * 1 + 0] = s;
      tile_maxima[1][0] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 1u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 1 + 1] * scale, visible);
      scores[4 * 1 + 1] = s;
      tile_maxima[1][1] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 2u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 1 + 2] * scale, visible);
      scores[4 * 1 + 2] = s;
      tile_maxima[1][2] = max(max(s.x, s.y), max(s.z, s.w));
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 3u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      let s = select(vec4<f32>(MASKED), scores[4 * 1 + 3] * scale, visible);
      scores[4 * 1 + 3] = s;
      tile_maxima[1][3] = max(max(s.x, s.y), max(s.z, s.w));
    }
    exchange(&tile_maxima, x, row_slot);
    {
      let before = maxima[0];
      maxima[0] = max(maxima[0], left[0 / UNROLL][0 % UNROLL][row_slot + 0u]);
      maxima[0] = max(maxima[0], left[1 / UNROLL][1 % UNROLL][row_slot + 0u]);
      maxima[0] = max(maxima[0], left[2 / UNROLL][2 % UNROLL][row_slot + 0u]);
      maxima[0] = max(maxima[0], left[3 / UNROLL][3 % UNROLL][row_slot + 0u]);
      let decay = exp2(before - maxima[0]);
      sums[0] *= decay;
      {
        let s = scores[4 * 0 + 0];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[0][0]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 0 + 0] = p;
        sums[0][0] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 0 + 0) * DIM_VECTORS + 0] *= decay[0];
      }
      {
        let s = scores[4 * 0 + 1];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[0][1]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 0 + 1] = p;
        sums[0][1] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 0 + 1) * DIM_VECTORS + 0] *= decay[1];
      }
      {
        let s = scores[4 * 0 + 2];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[0][2]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 0 + 2] = p;
        sums[0][2] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 0 + 2) * DIM_VECTORS + 0] *= decay[2];
      }
      {
        let s = scores[4 * 0 + 3];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[0][3]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 0 + 3] = p;
        sums[0][3] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 0 + 3) * DIM_VECTORS + 0] *= decay[3];
      }
    }
    {
      let before = maxima[1];
      maxima[1] = max(maxima[1], left[0 / UNROLL][0 % UNROLL][row_slot + 1u]);
      maxima[1] = max(maxima[1], left[1 / UNROLL][1 % UNROLL][row_slot + 1u]);
      maxima[1] = max(maxima[1], left[2 / UNROLL][2 % UNROLL][row_slot + 1u]);
      maxima[1] = max(maxima[1], left[3 / UNROLL][3 % UNROLL][row_slot + 1u]);
      let decay = exp2(before - maxima[1]);
      sums[1] *= decay;
      {
        let s = scores[4 * 1 + 0];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[1][0]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 1 + 0] = p;
        sums[1][0] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 1 + 0) * DIM_VECTORS + 0] *= decay[0];
      }
      {
        let s = scores[4 * 1 + 1];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[1][1]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 1 + 1] = p;
        sums[1][1] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 1 + 1) * DIM_VECTORS + 0] *= decay[1];
      }
      {
        let s = scores[4 * 1 + 2];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[1][2]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 1 + 2] = p;
        sums[1][2] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 1 + 2) * DIM_VECTORS + 0] *= decay[2];
      }
      {
        let s = scores[4 * 1 + 3];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[1][3]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * 1 + 3] = p;
        sums[1][3] += (p.x + p.y) + (p.z + p.w);
        results[(4 * 1 + 3) * DIM_VECTORS + 0] *= decay[3];
      }
    }
    add_combinations(&results, &scores, Rows(V, kv_head, first_key), thread);
  }

  exchange(&sums, x, row_slot);
  {
    var total = vec4<f32>();
    total += left[0 / UNROLL][0 % UNROLL][row_slot + 0u];
    total += left[1 / UNROLL][1 % UNROLL][row_slot + 0u];
    total += left[2 / UNROLL][2 % UNROLL][row_slot + 0u];
    total += left[3 / UNROLL][3 % UNROLL][row_slot + 0u];
    let statistics = (maxima[0] + log2(total)) * LN_2;
    {
      let query = first_query + 4u * (row_slot + 0u) + 0u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[0]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 0 + 0) * DIM_VECTORS + 0] / total[0]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 1u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[1]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 0 + 1) * DIM_VECTORS + 0] / total[1]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 2u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[2]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 0 + 2) * DIM_VECTORS + 0] / total[2]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 0u) + 3u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[3]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 0 + 3) * DIM_VECTORS + 0] / total[3]);
      }
    }
  }
  {
    var total = vec4<f32>();
    total += left[0 / UNROLL][0 % UNROLL][row_slot + 1u];
    total += left[1 / UNROLL][1 % UNROLL][row_slot + 1u];
    total += left[2 / UNROLL][2 % UNROLL][row_slot + 1u];
    total += left[3 / UNROLL][3 % UNROLL][row_slot + 1u];
    let statistics = (maxima[1] + log2(total)) * LN_2;
    {
      let query = first_query + 4u * (row_slot + 1u) + 0u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[0]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 1 + 0) * DIM_VECTORS + 0] / total[0]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 1u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[1]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 1 + 1) * DIM_VECTORS + 0] / total[1]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 2u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[2]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 1 + 2) * DIM_VECTORS + 0] / total[2]);
      }
    }
    {
      let query = first_query + 4u * (row_slot + 1u) + 3u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[3]; }
        store_results(query, head, x + 0u * COLUMN_THREADS, results[(4 * 1 + 3) * DIM_VECTORS + 0] / total[3]);
      }
    }
  }

  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = columns + thread; c < params.output_pitch; c += THREADS) {
        put_output(query * params.output_pitch + c, vec2<f32>());
      }
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

fn store_results(query: u32, head: u32, quad: u32, value: vec4<f32>) {
  let at = query * params.output_pitch + head * params.head_pairs + 2u * quad;
  if (2u * quad < params.head_pairs) { put_output(at, value.xy); }
  if (2u * quad + 1u < params.head_pairs) { put_output(at + 1u, value.zw); }
}

