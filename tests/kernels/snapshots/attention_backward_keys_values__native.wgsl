const COLUMN_THREADS = 4;
const DIM_VECTORS = 1;
const DIM_GROUPS = 1;
const GROUP_VECTORS = 1;
const ROW_VECTORS = 2;
const LEFT_LOADS = 4;
const UNROLL = 8;
// Attention backward, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over the query heads that
// share a key head. P and dS as in attention_backward_queries.wgsl, made transposed: rows are keys, columns queries.
//
// Shapes: as there; dk and dv somewhere in the columns of d_qkv [tokens, ·].
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Nobody else adds to its rows, so there are no atomics and the
// order is fixed.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products. Two sets of results live in registers,
// so for heads over 64 a tile has half the rows of the other kernels.
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

// What the two tiled kernels of the attention backward share: operands, and how they write a row of a gradient.
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
  head_pairs: u32, // half the head size; elsewhere it is HEAD_DIM
  parts: u32,      // of a tile's slices: see attention_tiles.wgsl, attention_half.wgsl
  // All pitches and columns except those of the statistics count vectors: those that are read or written.
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<u32>;
@group(0) @binding(2) var<storage, read> d_output: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec2<f32>>;
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
  return token * params.qkv_pitch + column + head * params.head_pairs + vector;
}

fn load_vector(source: u32, token: u32, head: u32, vector: u32) -> vec2<f32> {
  if (source == D_OUTPUT) { return d_output[token * params.d_output_pitch + head * params.head_pairs + vector]; }
  return unpack2x16float(qkv[qkv_index(source, token, head, vector)]);
}


// A row's results: DIM_VECTORS quads of dims, COLUMN_THREADS apart.
alias Dims = array<vec4<f32>, DIM_VECTORS>;

// A dim of the row that row group y has in `right`.
fn exchanged(y: u32, dim: u32) -> f32 {
  let quad = dim / 4u;
  return right[y / UNROLL][y % UNROLL][quad][dim % 4u];
}

// Rotates a row of the gradient of q or k back by the position of its token. Both dims of a plane meet in `right`, where
// each of the ROW_GROUPS has a place for one row: as many of the DEPTH slices as there are DIM_GROUPS. For the 4 of the
// widest heads, half of the groups take turns. To be called by the whole workgroup.
fn rotated_back(dims: Dims, token: u32, thread: u32) -> Dims {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  workgroupBarrier();
  right[(y + 0u * ROW_GROUPS) / UNROLL][(y + 0u * ROW_GROUPS) % UNROLL][x + 0u * COLUMN_THREADS] =
    dims[0 * GROUP_VECTORS + 0];
  workgroupBarrier();
  var rotated: Dims;
  let half = params.head_pairs;
  let position = positions[token];
  {
    // Dims past the head mean nothing: they take the last plane.
    let dim = min(4u * (x + 0u * COLUMN_THREADS) + LANES, vec4<u32>(2u * half - 1u));
    let first = dim < vec4<u32>(half);
    let other = select(dim - half, dim + half, first);
    let others = vec4<f32>(exchanged(y, other.x), exchanged(y, other.y), exchanged(y, other.z), exchanged(y, other.w));
    let angle = rotation(position, min(dim, other));
    rotated[0] = dims[0] * angle.cosine + others * select(-angle.sine, angle.sine, first);
  }
  return rotated;
}

// Writes four dims of a head whose first column is given.
fn store_gradient(token: u32, column: u32, quad: u32, value: vec4<f32>) {
  let at = token * params.d_qkv_pitch + column + 2u * quad;
  if (2u * quad < params.head_pairs) { d_qkv[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { d_qkv[at + 1u] = value.zw; }
}


@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  var dk = Results();
  var dv = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      let statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]);
      let deltas = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);

      var p = Scores();
      add_products(&p, Rows(K, kv_head, first_key), Rows(Q, head, first_query), thread);
      {
        let key = min(first_key + 4u * (row_slot + 0u) + 0u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 0 + 0] = select(vec4<f32>(), exp2((p[4 * 0 + 0] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 0u) + 1u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 0 + 1] = select(vec4<f32>(), exp2((p[4 * 0 + 1] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 0u) + 2u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 0 + 2] = select(vec4<f32>(), exp2((p[4 * 0 + 2] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 0u) + 3u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 0 + 3] = select(vec4<f32>(), exp2((p[4 * 0 + 3] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 1u) + 0u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 1 + 0] = select(vec4<f32>(), exp2((p[4 * 1 + 0] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 1u) + 1u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 1 + 1] = select(vec4<f32>(), exp2((p[4 * 1 + 1] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 1u) + 2u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 1 + 2] = select(vec4<f32>(), exp2((p[4 * 1 + 2] * params.scale - statistics) * LOG2_E), visible);
      }
      {
        let key = min(first_key + 4u * (row_slot + 1u) + 3u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        p[4 * 1 + 3] = select(vec4<f32>(), exp2((p[4 * 1 + 3] * params.scale - statistics) * LOG2_E), visible);
      }
      add_combinations(&dv, &p, Rows(D_OUTPUT, head, first_query), thread);

      var ds = Scores();
      add_products(&ds, Rows(V, kv_head, first_key), Rows(D_OUTPUT, head, first_query), thread);
      ds[0] = p[0] * (ds[0] - deltas);
      ds[1] = p[1] * (ds[1] - deltas);
      ds[2] = p[2] * (ds[2] - deltas);
      ds[3] = p[3] * (ds[3] - deltas);
      ds[4] = p[4] * (ds[4] - deltas);
      ds[5] = p[5] * (ds[5] - deltas);
      ds[6] = p[6] * (ds[6] - deltas);
      ds[7] = p[7] * (ds[7] - deltas);
      add_combinations(&dk, &ds, Rows(Q, head, first_query), thread);
    }
  }

  {
    let key = first_key + 4u * (row_slot + 0u) + 0u;
    var dims: Dims;
    dims[0] = dk[(4 * 0 + 0) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 0 + 0) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 0u) + 1u;
    var dims: Dims;
    dims[0] = dk[(4 * 0 + 1) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 0 + 1) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 0u) + 2u;
    var dims: Dims;
    dims[0] = dk[(4 * 0 + 2) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 0 + 2) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 0u) + 3u;
    var dims: Dims;
    dims[0] = dk[(4 * 0 + 3) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 0 + 3) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 1u) + 0u;
    var dims: Dims;
    dims[0] = dk[(4 * 1 + 0) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 1 + 0) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 1u) + 1u;
    var dims: Dims;
    dims[0] = dk[(4 * 1 + 1) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 1 + 1) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 1u) + 2u;
    var dims: Dims;
    dims[0] = dk[(4 * 1 + 2) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 1 + 2) * DIM_VECTORS + 0]);
    }
  }
  {
    let key = first_key + 4u * (row_slot + 1u) + 3u;
    var dims: Dims;
    dims[0] = dk[(4 * 1 + 3) * DIM_VECTORS + 0] * params.scale;
    dims = rotated_back(dims, min(key, last_key), thread);
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      let quad0 = x + 0u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad0, dims[0]);
      store_gradient(key, params.dv_column + head_start, quad0, dv[(4 * 1 + 3) * DIM_VECTORS + 0]);
    }
  }
}

