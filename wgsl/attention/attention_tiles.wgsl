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
  //! unroll n 0 LEFT_LOADS
  if (slot + ${n}u * COLUMN_THREADS < ROW_SLOTS) {
    slices.left[$n] = load_transposed(a, 4u * (slot + ${n}u * COLUMN_THREADS), 1u, pair);
  }
  //! end
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
    //! unroll n 0 LEFT_LOADS
    if (slot + ${n}u * COLUMN_THREADS < ROW_SLOTS) {
      left[pair / UNROLL][pair % UNROLL][slot + ${n}u * COLUMN_THREADS] = slices.left[$n].even;
      left[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot + ${n}u * COLUMN_THREADS] = slices.left[$n].odd;
    }
    //! end
    right[pair / UNROLL][pair % UNROLL][slot] = slices.right.even;
    right[(pair + PAIRS) / UNROLL][(pair + PAIRS) % UNROLL][slot] = slices.right.odd;
    workgroupBarrier();
    if (first_pair + PAIRS < params.head_pairs) { slices = load_slices(a, b, first_pair + PAIRS, thread); }
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        let columns = right[part][$k][x];
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[part][$k][row_slot + ${v}u];
        //! unroll c 0 4
        (*scores)[4 * $v + $c] = fma(vec4<f32>(rows$v[$c]), columns, (*scores)[4 * $v + $c]);
        //! end
        //! end
      }
      //! end
    }
  }
}

// Loads what one invocation brings of DEPTH tokens: 2 tokens, GROUP_VECTORS vec4s each, the first of them at `slot`.
fn load_tokens(b: Rows, first: u32, slot: u32, y: u32) -> array<vec4<f32>, 2 * GROUP_VECTORS> {
  var values: array<vec4<f32>, 2 * GROUP_VECTORS>;
  //! unroll n 0 2
  //! unroll j 0 GROUP_VECTORS
  {
    let token = b.first + first + y + ${n}u * ROW_GROUPS;
    let pair = 2u * (slot + ${j}u * COLUMN_THREADS);
    let low = guarded_pair(b.source, token, b.head, pair);
    let high = guarded_pair(b.source, token, b.head, pair + 1u);
    values[$n * GROUP_VECTORS + $j] = vec4<f32>(low, high);
  }
  //! end
  //! end
  return values;
}

//! unroll g 0 DIM_GROUPS
// Turns `weights` round and round; in the end they are as they were.
fn add_group_$g(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  let row_slot = y * ROW_VECTORS;
  var values = load_tokens(b, 0u, x + ${g}u * RIGHT_SLOTS, y);
  for (var first = 0u; first < COLUMNS; first += DEPTH) {
    workgroupBarrier();
    //! unroll n 0 16/COLUMN_THREADS
    //! unroll v 0 ROW_VECTORS
    left[(x + ${n}u * COLUMN_THREADS) / UNROLL][(x + ${n}u * COLUMN_THREADS) % UNROLL][row_slot + ${v}u] = vec4<f32>(
      (*weights)[4 * $v][$n], (*weights)[4 * $v + 1][$n], (*weights)[4 * $v + 2][$n], (*weights)[4 * $v + 3][$n]);
    //! end
    //! end
    //! unroll n 0 2
    //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
    right[(y + ${n}u * ROW_GROUPS) / UNROLL][(y + ${n}u * ROW_GROUPS) % UNROLL][x + ${j}u % GROUP_VECTORS * COLUMN_THREADS] =
      values[$n * GROUP_VECTORS + $j % GROUP_VECTORS];
    //! end
    //! end
    workgroupBarrier();
    if (first + DEPTH < COLUMNS) { values = load_tokens(b, first + DEPTH, x + ${g}u * RIGHT_SLOTS, y); }
    //! unroll r 0 4*ROW_VECTORS
    //! if COLUMN_THREADS == 16
    (*weights)[$r] = (*weights)[$r].yzwx;
    //! elif COLUMN_THREADS == 8
    (*weights)[$r] = (*weights)[$r].zwxy;
    //! end
    //! end
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
        let dims$j = right[part][$k][x + ${j}u % GROUP_VECTORS * COLUMN_THREADS];
        //! end
        //! unroll v 0 ROW_VECTORS
        let rows$v = left[part][$k][row_slot + ${v}u];
        //! unroll c 0 4
        //! unroll j $g*GROUP_VECTORS $g*GROUP_VECTORS+GROUP_VECTORS
        (*results)[(4 * $v + $c) * DIM_VECTORS + $j] =
          fma(vec4<f32>(rows$v[$c]), dims$j, (*results)[(4 * $v + $c) * DIM_VECTORS + $j]);
        //! end
        //! end
        //! end
      }
      //! end
    }
  }
}
//! end

fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Scores>, b: Rows, thread: u32) {
  //! unroll g 0 DIM_GROUPS
  add_group_$g(results, weights, b, thread);
  //! end
}
