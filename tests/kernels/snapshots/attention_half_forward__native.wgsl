enable f16;
const HEAD_DIM = 80;
const UNROLL = 8;
// Attention forward in packed half-precision arithmetic, tiled with an online softmax: what attention_forward.wgsl
// computes, for q, k and v in f16.
//
// Shapes: as there, qkv f16; probabilities are rounded to f16 before they meet v.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query.
//
// Online softmax: the running maximum of a row is kept in f16. It need not be the maximum to the last bit, only the same
// number in all invocations of the row, so they tell each other half the bytes.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products.
// Parameters and bindings of the attention kernels, in f32, in packed f16 and on tensor cores, and how they read q, k, v
// and the gradient of the output: vectors of WIDTH components (2, 8 or 4) of a head. BACKWARD: those of the gradients.
// qkv is f32 or f16 (QKV), and so is the output (OUTPUT); all else is f32. With a WIDTH of 8 d_output is f16 as well, and
// what is written are vectors of 4. Include-only.
//
// With ROTATED, q and k came out of rope.wgsl: positions and frequencies rotate their gradients back. With SOFT_CAP scores
// go through c · tanh(score / c) before they are masked.

struct Params {
  tokens: u32, heads: u32, kv_heads: u32,
  parts: u32,      // of a tile's slices: see attention_tiles.wgsl, attention_half.wgsl
  steps: u32,      // runs of 32 dims of a head
  halves: u32,     // 2: of a tile's columns, and of the rows of an invocation
  // All pitches and columns except those of the statistics count vectors: those that are read or written.
  qkv_pitch: u32, q_column: u32, k_column: u32, v_column: u32,
  output_pitch: u32, statistics_pitch: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Eight neighbours of a row.
alias Eight = array<vec4<f16>, 2>;

@group(0) @binding(1) var<storage, read> qkv: array<Eight>;
@group(0) @binding(2) var<storage, read> documents: array<vec2<u32>>;
// What attention writes, f32 or f16 (OUTPUT), vectors of WIDTH components (2 or 4) of a head. Include-only.
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

fn put_output(at: u32, value: vec4<f32>) { output[at] = value; }

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
  return token * params.qkv_pitch + column + head * (HEAD_DIM / 8u) + vector;
}


// The two tile products that attention is made of, in packed half-precision arithmetic, for GPUs without tensor cores.
// A workgroup owns 64 rows (queries, or keys in the gradient of keys and values) and walks over tiles of 64 columns (keys,
// or queries).
//
//   add_products       scores[row, column] += Σ_dim left[row, dim] · right[column, dim]        contraction over the head
//   add_combinations   results[row, dim]   += Σ_column weights[row, column] · right[column, dim]     ... over the columns
//
// Idea, as in gemm_f16.wgsl: a pair of neighbours along the contraction is multiplied by a pair, so no value has to be
// broadcast into both halves of a register, which would halve the rate of the packed multiply-add. f16 sums are short: a
// product's go to f32 after one run of 16 pairs, as scores must be exact, a combination's after the two of a tile.
//
// Who holds what: 128 invocations form a grid, x in 0 … 16 and y in 0 … 8. Invocation (x, y) keeps in registers, for the
// rows 4y … 4y + 3 and 32 more,
//   the scores of the columns 2x, 2x + 1 and 32 more: pairs, as the weights of the second product must be, and
//   the results of the dims 4x … 4x + 3 and half a head more: both dims of a plane that rope turned.
// In workgroup memory is a run of 16 pairs along the contraction (32 dims, or 32 columns), of which each vector has four
// rows, columns or dims; the next run is fetched into registers meanwhile. Two vectors more per pair keep the stores of
// four pairs at once apart, and so does the order of lanes: eight x beside four y, neighbours in y first.
//
// With two ROLES, 128 invocations each multiply tiles of their own. Runs are multiplied in params.parts parts of UNROLL
// pairs: a driver that knew their number would write them all out, and compile for longer.
// The including kernel has included attention_operands.wgsl with a WIDTH of 8. HEAD_DIM is a multiple of 16 from 80 to 128;
// tokens past the end repeat the last one: the caller masks them.

const ROWS = 64u;
const COLUMNS = 64u;
const PAIRS = 16u;
const PARTS = PAIRS / UNROLL;
const HEAD_EIGHTS = HEAD_DIM / 8u;
const HALF_QUADS = HEAD_DIM / 8u; // vec4s of half a head

// What q·k is divided by while it is f16, about the root of the head size: it then ends where scores end. Where outliers of
// q and k meet, as in Qwen2, q·k itself leaves f16's range. A power of two changes nothing else.
const DIVISOR = 8.0h;

alias RowNumbers = array<vec4<f32>, 2>; // one number per row
alias Scores = array<vec4<f32>, 8>;     // [row]
alias Weights = array<vec4<f16>, 8>;    // [row]
alias Results = array<vec4<f32>, 16>;   // [row][half]

// Pair s of a run is [s / UNROLL][s % UNROLL].
var<workgroup> left: array<array<array<array<Eight, 18>, UNROLL>, PARTS>, 1>;
var<workgroup> right: array<array<array<array<Eight, 34>, UNROLL>, PARTS>, 1>;

// Tokens from `first` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// An invocation's place in the grid of its role.
struct Place { role: u32, thread: u32, x: u32, y: u32 }

fn place_of(thread: u32) -> Place {
  let lane = thread % 32u;
  let warp = thread / 32u % 4u;
  return Place(
    thread / 128u, thread % 128u, lane / 2u % 8u + warp % 2u * 8u, lane % 2u + lane / 16u * 2u + warp / 2u * 4u);
}

// The columns of an invocation, and the rows that come together as a vector.
fn columns_of(place: Place) -> vec4<u32> { return 2u * place.x + vec4<u32>(0u, 1u, 32u, 33u); }
fn row_of(place: Place, v: u32, c: u32) -> u32 { return 4u * place.y + 32u * v + c; }

// Where a head of a token begins.
fn start_of(rows: Rows, token: u32) -> u32 {
  let inside = min(rows.first + token, params.tokens - 1u);
  return qkv_index(rows.source, inside, rows.head, 0u);
}

fn load_eights(source: u32, at: vec4<u32>) -> array<Eight, 4> {
  return array<Eight, 4>(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
}

// `factor`: what the rows are multiplied by before.
fn add_products(scores: ptr<function, Scores>, a: Rows, b: Rows, factor: f16, place: Place) {
  // Half of the invocations bring rows, half columns: four of them, four pairs of each.
  let brings_left = place.thread < 64u;
  let eight = place.thread % 4u;
  let slot = place.thread / 4u % 16u;
  var brought = b;
  var tokens = 2u * slot + vec4<u32>(0u, 1u, 32u, 33u);
  if (brings_left) {
    brought = a;
    tokens = 4u * slot + vec4<u32>(0u, 1u, 2u, 3u);
  }
  let at = eight + vec4<u32>(
    start_of(brought, tokens.x), start_of(brought, tokens.y), start_of(brought, tokens.z), start_of(brought, tokens.w));
  var next = array<Eight, 4>();
  if (HEAD_DIM % 32u == 0u || eight < HEAD_EIGHTS) { next = load_eights(brought.source, at); }
  for (var step = 0u; step < params.steps; step += 1u) {
    workgroupBarrier();
    {
      let four = Eight(
        vec4<f16>(next[0][0].xy, next[1][0].xy),
        vec4<f16>(next[2][0].xy, next[3][0].xy));
      let pair = eight + 4u * 0;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    {
      let four = Eight(
        vec4<f16>(next[0][0].zw, next[1][0].zw),
        vec4<f16>(next[2][0].zw, next[3][0].zw));
      let pair = eight + 4u * 1;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    {
      let four = Eight(
        vec4<f16>(next[0][1].xy, next[1][1].xy),
        vec4<f16>(next[2][1].xy, next[3][1].xy));
      let pair = eight + 4u * 2;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    {
      let four = Eight(
        vec4<f16>(next[0][1].zw, next[1][1].zw),
        vec4<f16>(next[2][1].zw, next[3][1].zw));
      let pair = eight + 4u * 3;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    workgroupBarrier();
    if (step + 1u < params.steps) {
      next = array<Eight, 4>();
      // Past the head there are zeros.
      if (HEAD_DIM % 32u == 0u || 4u * (step + 1u) + eight < HEAD_EIGHTS) {
        next = load_eights(brought.source, at + 4u * (step + 1u));
      }
    }
    var sums = array<vec4<f16>, 16>(); // [row][columns]: pairs of sums
    for (var part = 0u; part < params.parts; part += 1u) {
      {
        let columns = right[place.role][part][0][place.x];
        let rows0 = left[place.role][part][0][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][0][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][1][place.x];
        let rows0 = left[place.role][part][1][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][1][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][2][place.x];
        let rows0 = left[place.role][part][2][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][2][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][3][place.x];
        let rows0 = left[place.role][part][3][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][3][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][4][place.x];
        let rows0 = left[place.role][part][4][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][4][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][5][place.x];
        let rows0 = left[place.role][part][5][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][5][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][6][place.x];
        let rows0 = left[place.role][part][6][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][6][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
      {
        let columns = right[place.role][part][7][place.x];
        let rows0 = left[place.role][part][7][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[2 * (4 * 0 + 0)] = fma(row, columns[0], sums[2 * (4 * 0 + 0)]);
          sums[2 * (4 * 0 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 0) + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[2 * (4 * 0 + 1)] = fma(row, columns[0], sums[2 * (4 * 0 + 1)]);
          sums[2 * (4 * 0 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 1) + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[2 * (4 * 0 + 2)] = fma(row, columns[0], sums[2 * (4 * 0 + 2)]);
          sums[2 * (4 * 0 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 2) + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[2 * (4 * 0 + 3)] = fma(row, columns[0], sums[2 * (4 * 0 + 3)]);
          sums[2 * (4 * 0 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 0 + 3) + 1]);
        }
        let rows1 = left[place.role][part][7][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[2 * (4 * 1 + 0)] = fma(row, columns[0], sums[2 * (4 * 1 + 0)]);
          sums[2 * (4 * 1 + 0) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 0) + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[2 * (4 * 1 + 1)] = fma(row, columns[0], sums[2 * (4 * 1 + 1)]);
          sums[2 * (4 * 1 + 1) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 1) + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[2 * (4 * 1 + 2)] = fma(row, columns[0], sums[2 * (4 * 1 + 2)]);
          sums[2 * (4 * 1 + 2) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 2) + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[2 * (4 * 1 + 3)] = fma(row, columns[0], sums[2 * (4 * 1 + 3)]);
          sums[2 * (4 * 1 + 3) + 1] = fma(row, columns[1], sums[2 * (4 * 1 + 3) + 1]);
        }
      }
    }
    (*scores)[0] += joined(sums[2 * 0], sums[2 * 0 + 1]);
    (*scores)[1] += joined(sums[2 * 1], sums[2 * 1 + 1]);
    (*scores)[2] += joined(sums[2 * 2], sums[2 * 2 + 1]);
    (*scores)[3] += joined(sums[2 * 3], sums[2 * 3 + 1]);
    (*scores)[4] += joined(sums[2 * 4], sums[2 * 4 + 1]);
    (*scores)[5] += joined(sums[2 * 5], sums[2 * 5 + 1]);
    (*scores)[6] += joined(sums[2 * 6], sums[2 * 6 + 1]);
    (*scores)[7] += joined(sums[2 * 7], sums[2 * 7 + 1]);
  }
}

// The two parts of four sums, added in f32.
fn joined(low: vec4<f16>, high: vec4<f16>) -> vec4<f32> {
  let a = vec4<f32>(low);
  let b = vec4<f32>(high);
  return vec4<f32>(a.xz + a.yw, b.xz + b.yw);
}

// What an invocation brings of a run of columns: eight dims of four of them.
fn load_columns(b: Rows, first: u32, place: Place) -> array<Eight, 4> {
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  let half = chunk / 8u;
  var values = array<Eight, 4>();
  if (chunk % 8u < HEAD_EIGHTS / 2u) {
    let eight = half * (HEAD_EIGHTS / 2u) + chunk % 8u;
    let token = first + 2u * pair;
    values = load_eights(b.source, eight + vec4<u32>(
      start_of(b, token), start_of(b, token + 1u), start_of(b, token + 16u), start_of(b, token + 17u)));
  }
  return values;
}

// Turns `weights` after each half of the columns; in the end they are as they were.
fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Weights>, b: Rows, place: Place) {
  let x = place.x;
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  // Eight invocations that store, or load, vectors at once need eight places of different remainders.
  let low = 2u * chunk + chunk / 4u % 2u;
  let high = 2u * chunk + 1u - chunk / 4u % 2u;
  let slot = x ^ (x / 8u);
  var next = load_columns(b, 0u, place);
  var sums = array<vec4<f16>, 32>(); // [row][half][dims]: pairs of sums
  for (var step = 0u; step < params.halves; step += 1u) {
    workgroupBarrier();
    left[place.role][x / UNROLL][x % UNROLL][place.y + 8u * 0] = Eight(
      vec4<f16>((*weights)[4 * 0].xy, (*weights)[4 * 0 + 1].xy),
      vec4<f16>((*weights)[4 * 0 + 2].xy, (*weights)[4 * 0 + 3].xy));
    left[place.role][x / UNROLL][x % UNROLL][place.y + 8u * 1] = Eight(
      vec4<f16>((*weights)[4 * 1].xy, (*weights)[4 * 1 + 1].xy),
      vec4<f16>((*weights)[4 * 1 + 2].xy, (*weights)[4 * 1 + 3].xy));
    right[place.role][(pair + 8u * 0) / UNROLL][(pair + 8u * 0) % UNROLL][low] = Eight(
      vec4<f16>(next[2 * 0][0].x, next[2 * 0 + 1][0].x, next[2 * 0][0].y, next[2 * 0 + 1][0].y),
      vec4<f16>(next[2 * 0][0].z, next[2 * 0 + 1][0].z, next[2 * 0][0].w, next[2 * 0 + 1][0].w));
    right[place.role][(pair + 8u * 0) / UNROLL][(pair + 8u * 0) % UNROLL][high] = Eight(
      vec4<f16>(next[2 * 0][1].x, next[2 * 0 + 1][1].x, next[2 * 0][1].y, next[2 * 0 + 1][1].y),
      vec4<f16>(next[2 * 0][1].z, next[2 * 0 + 1][1].z, next[2 * 0][1].w, next[2 * 0 + 1][1].w));
    right[place.role][(pair + 8u * 1) / UNROLL][(pair + 8u * 1) % UNROLL][low] = Eight(
      vec4<f16>(next[2 * 1][0].x, next[2 * 1 + 1][0].x, next[2 * 1][0].y, next[2 * 1 + 1][0].y),
      vec4<f16>(next[2 * 1][0].z, next[2 * 1 + 1][0].z, next[2 * 1][0].w, next[2 * 1 + 1][0].w));
    right[place.role][(pair + 8u * 1) / UNROLL][(pair + 8u * 1) % UNROLL][high] = Eight(
      vec4<f16>(next[2 * 1][1].x, next[2 * 1 + 1][1].x, next[2 * 1][1].y, next[2 * 1 + 1][1].y),
      vec4<f16>(next[2 * 1][1].z, next[2 * 1 + 1][1].z, next[2 * 1][1].w, next[2 * 1 + 1][1].w));
    workgroupBarrier();
    if (step + 1u < params.halves) { next = load_columns(b, 32u * (step + 1u), place); }
    (*weights)[0] = (*weights)[0].zwxy;
    (*weights)[1] = (*weights)[1].zwxy;
    (*weights)[2] = (*weights)[2].zwxy;
    (*weights)[3] = (*weights)[3].zwxy;
    (*weights)[4] = (*weights)[4].zwxy;
    (*weights)[5] = (*weights)[5].zwxy;
    (*weights)[6] = (*weights)[6].zwxy;
    (*weights)[7] = (*weights)[7].zwxy;
    for (var part = 0u; part < params.parts; part += 1u) {
      {
        let dims0 = right[place.role][part][0][slot + 16u * 0];
        let dims1 = right[place.role][part][0][slot + 16u * 1];
        let rows0 = left[place.role][part][0][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][0][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][1][slot + 16u * 0];
        let dims1 = right[place.role][part][1][slot + 16u * 1];
        let rows0 = left[place.role][part][1][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][1][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][2][slot + 16u * 0];
        let dims1 = right[place.role][part][2][slot + 16u * 1];
        let rows0 = left[place.role][part][2][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][2][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][3][slot + 16u * 0];
        let dims1 = right[place.role][part][3][slot + 16u * 1];
        let rows0 = left[place.role][part][3][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][3][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][4][slot + 16u * 0];
        let dims1 = right[place.role][part][4][slot + 16u * 1];
        let rows0 = left[place.role][part][4][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][4][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][5][slot + 16u * 0];
        let dims1 = right[place.role][part][5][slot + 16u * 1];
        let rows0 = left[place.role][part][5][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][5][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][6][slot + 16u * 0];
        let dims1 = right[place.role][part][6][slot + 16u * 1];
        let rows0 = left[place.role][part][6][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][6][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
      {
        let dims0 = right[place.role][part][7][slot + 16u * 0];
        let dims1 = right[place.role][part][7][slot + 16u * 1];
        let rows0 = left[place.role][part][7][place.y + 8u * 0];
        {
          let row = rows0[0].xyxy;
          sums[4 * (4 * 0 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows0[0].zwzw;
          sums[4 * (4 * 0 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].xyxy;
          sums[4 * (4 * 0 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows0[1].zwzw;
          sums[4 * (4 * 0 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 0 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 0 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 0 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 0 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 0 + 3) + 2 * 1 + 1]);
        }
        let rows1 = left[place.role][part][7][place.y + 8u * 1];
        {
          let row = rows1[0].xyxy;
          sums[4 * (4 * 1 + 0) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 0) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 0) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 0) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 0) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 0) + 2 * 1 + 1]);
        }
        {
          let row = rows1[0].zwzw;
          sums[4 * (4 * 1 + 1) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 1) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 1) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 1) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 1) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 1) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].xyxy;
          sums[4 * (4 * 1 + 2) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 2) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 2) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 2) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 2) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 2) + 2 * 1 + 1]);
        }
        {
          let row = rows1[1].zwzw;
          sums[4 * (4 * 1 + 3) + 2 * 0 + 0] = fma(row, dims0[0], sums[4 * (4 * 1 + 3) + 2 * 0 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 0 + 1] = fma(row, dims0[1], sums[4 * (4 * 1 + 3) + 2 * 0 + 1]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 0] = fma(row, dims1[0], sums[4 * (4 * 1 + 3) + 2 * 1 + 0]);
          sums[4 * (4 * 1 + 3) + 2 * 1 + 1] = fma(row, dims1[1], sums[4 * (4 * 1 + 3) + 2 * 1 + 1]);
        }
      }
    }
  }
  (*results)[0] += joined(sums[2 * 0], sums[2 * 0 + 1]);
  (*results)[1] += joined(sums[2 * 1], sums[2 * 1 + 1]);
  (*results)[2] += joined(sums[2 * 2], sums[2 * 2 + 1]);
  (*results)[3] += joined(sums[2 * 3], sums[2 * 3 + 1]);
  (*results)[4] += joined(sums[2 * 4], sums[2 * 4 + 1]);
  (*results)[5] += joined(sums[2 * 5], sums[2 * 5 + 1]);
  (*results)[6] += joined(sums[2 * 6], sums[2 * 6 + 1]);
  (*results)[7] += joined(sums[2 * 7], sums[2 * 7 + 1]);
  (*results)[8] += joined(sums[2 * 8], sums[2 * 8 + 1]);
  (*results)[9] += joined(sums[2 * 9], sums[2 * 9 + 1]);
  (*results)[10] += joined(sums[2 * 10], sums[2 * 10 + 1]);
  (*results)[11] += joined(sums[2 * 11], sums[2 * 11 + 1]);
  (*results)[12] += joined(sums[2 * 12], sums[2 * 12 + 1]);
  (*results)[13] += joined(sums[2 * 13], sums[2 * 13 + 1]);
  (*results)[14] += joined(sums[2 * 14], sums[2 * 14 + 1]);
  (*results)[15] += joined(sums[2 * 15], sums[2 * 15 + 1]);
}


const THREADS = 128u;
const MASKED = -3e38; // below every score
const LOWEST = -65504.0; // of f16

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let last_start = documents[last_query].x;
  let scale = params.scale * f32(DIVISOR) * LOG2_E;

  var results = Results();
  var sums = RowNumbers();
  var maxima = Eight(vec4<f16>(LOWEST), vec4<f16>(LOWEST));
  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), 1.0h / DIVISOR, place);
    scores[0] *= scale;
    scores[1] *= scale;
    scores[2] *= scale;
    scores[3] *= scale;
    scores[4] *= scale;
    scores[5] *= scale;
    scores[6] *= scale;
    scores[7] *= scale;
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      let keys = first_key + columns_of(place);
      {
        let query = first_query + row_of(place, 0u, 0u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 0] = select(vec4<f32>(MASKED), scores[4 * 0 + 0], visible);
      }
      {
        let query = first_query + row_of(place, 0u, 1u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 1] = select(vec4<f32>(MASKED), scores[4 * 0 + 1], visible);
      }
      {
        let query = first_query + row_of(place, 0u, 2u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 2] = select(vec4<f32>(MASKED), scores[4 * 0 + 2], visible);
      }
      {
        let query = first_query + row_of(place, 0u, 3u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 0 + 3] = select(vec4<f32>(MASKED), scores[4 * 0 + 3], visible);
      }
      {
        let query = first_query + row_of(place, 1u, 0u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 1 + 0] = select(vec4<f32>(MASKED), scores[4 * 1 + 0], visible);
      }
      {
        let query = first_query + row_of(place, 1u, 1u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 1 + 1] = select(vec4<f32>(MASKED), scores[4 * 1 + 1], visible);
      }
      {
        let query = first_query + row_of(place, 1u, 2u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 1 + 2] = select(vec4<f32>(MASKED), scores[4 * 1 + 2], visible);
      }
      {
        let query = first_query + row_of(place, 1u, 3u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * 1 + 3] = select(vec4<f32>(MASKED), scores[4 * 1 + 3], visible);
      }
    }
    let before = maxima;
    {
      var tile: vec4<f32>;
      {
        let s = scores[4 * 0 + 0];
        tile[0] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 0 + 1];
        tile[1] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 0 + 2];
        tile[2] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 0 + 3];
        tile[3] = max(max(s.x, s.y), max(s.z, s.w));
      }
      maxima[0] = vec4<f16>(clamp(tile, vec4<f32>(LOWEST), vec4<f32>(-LOWEST)));
    }
    {
      var tile: vec4<f32>;
      {
        let s = scores[4 * 1 + 0];
        tile[0] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 1 + 1];
        tile[1] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 1 + 2];
        tile[2] = max(max(s.x, s.y), max(s.z, s.w));
      }
      {
        let s = scores[4 * 1 + 3];
        tile[3] = max(max(s.x, s.y), max(s.z, s.w));
      }
      maxima[1] = vec4<f16>(clamp(tile, vec4<f32>(LOWEST), vec4<f32>(-LOWEST)));
    }
    workgroupBarrier();
    left[0][part][pair][place.y] = maxima;
    workgroupBarrier();
    maxima = before;
    {
      let others = left[0][0 / UNROLL][0 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][1 / UNROLL][1 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][2 / UNROLL][2 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][3 / UNROLL][3 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][4 / UNROLL][4 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][5 / UNROLL][5 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][6 / UNROLL][6 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][7 / UNROLL][7 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][8 / UNROLL][8 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][9 / UNROLL][9 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][10 / UNROLL][10 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][11 / UNROLL][11 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][12 / UNROLL][12 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][13 / UNROLL][13 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][14 / UNROLL][14 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    {
      let others = left[0][15 / UNROLL][15 % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    var weights: Weights;
    {
      let maximum = vec4<f32>(maxima[0]);
      let decay = exp2(vec4<f32>(before[0]) - maximum);
      sums[0] *= decay;
      {
        let p = exp2(scores[4 * 0 + 0] - maximum[0]);
        sums[0][0] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 0 + 0] = vec4<f16>(p);
        results[2 * (4 * 0 + 0)] *= decay[0];
        results[2 * (4 * 0 + 0) + 1] *= decay[0];
      }
      {
        let p = exp2(scores[4 * 0 + 1] - maximum[1]);
        sums[0][1] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 0 + 1] = vec4<f16>(p);
        results[2 * (4 * 0 + 1)] *= decay[1];
        results[2 * (4 * 0 + 1) + 1] *= decay[1];
      }
      {
        let p = exp2(scores[4 * 0 + 2] - maximum[2]);
        sums[0][2] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 0 + 2] = vec4<f16>(p);
        results[2 * (4 * 0 + 2)] *= decay[2];
        results[2 * (4 * 0 + 2) + 1] *= decay[2];
      }
      {
        let p = exp2(scores[4 * 0 + 3] - maximum[3]);
        sums[0][3] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 0 + 3] = vec4<f16>(p);
        results[2 * (4 * 0 + 3)] *= decay[3];
        results[2 * (4 * 0 + 3) + 1] *= decay[3];
      }
    }
    {
      let maximum = vec4<f32>(maxima[1]);
      let decay = exp2(vec4<f32>(before[1]) - maximum);
      sums[1] *= decay;
      {
        let p = exp2(scores[4 * 1 + 0] - maximum[0]);
        sums[1][0] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 1 + 0] = vec4<f16>(p);
        results[2 * (4 * 1 + 0)] *= decay[0];
        results[2 * (4 * 1 + 0) + 1] *= decay[0];
      }
      {
        let p = exp2(scores[4 * 1 + 1] - maximum[1]);
        sums[1][1] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 1 + 1] = vec4<f16>(p);
        results[2 * (4 * 1 + 1)] *= decay[1];
        results[2 * (4 * 1 + 1) + 1] *= decay[1];
      }
      {
        let p = exp2(scores[4 * 1 + 2] - maximum[2]);
        sums[1][2] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 1 + 2] = vec4<f16>(p);
        results[2 * (4 * 1 + 2)] *= decay[2];
        results[2 * (4 * 1 + 2) + 1] *= decay[2];
      }
      {
        let p = exp2(scores[4 * 1 + 3] - maximum[3]);
        sums[1][3] += (p.x + p.y) + (p.z + p.w);
        weights[4 * 1 + 3] = vec4<f16>(p);
        results[2 * (4 * 1 + 3)] *= decay[3];
        results[2 * (4 * 1 + 3) + 1] *= decay[3];
      }
    }
    add_combinations(&results, &weights, Rows(V, kv_head, first_key), place);
  }

  // The sums of a row's invocations, as f16 and what that leaves over: 22 bits.
  workgroupBarrier();
  let rounded = Eight(vec4<f16>(sums[0]), vec4<f16>(sums[1]));
  left[0][part][pair][place.y] = rounded;
  left[0][part][pair][place.y + 8u] =
    Eight(vec4<f16>(sums[0] - vec4<f32>(rounded[0])), vec4<f16>(sums[1] - vec4<f32>(rounded[1])));
  workgroupBarrier();
  {
    var total = vec4<f32>();
    total += vec4<f32>(left[0][0 / UNROLL][0 % UNROLL][place.y][0])
      + vec4<f32>(left[0][0 / UNROLL][0 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][1 / UNROLL][1 % UNROLL][place.y][0])
      + vec4<f32>(left[0][1 / UNROLL][1 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][2 / UNROLL][2 % UNROLL][place.y][0])
      + vec4<f32>(left[0][2 / UNROLL][2 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][3 / UNROLL][3 % UNROLL][place.y][0])
      + vec4<f32>(left[0][3 / UNROLL][3 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][4 / UNROLL][4 % UNROLL][place.y][0])
      + vec4<f32>(left[0][4 / UNROLL][4 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][5 / UNROLL][5 % UNROLL][place.y][0])
      + vec4<f32>(left[0][5 / UNROLL][5 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][6 / UNROLL][6 % UNROLL][place.y][0])
      + vec4<f32>(left[0][6 / UNROLL][6 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][7 / UNROLL][7 % UNROLL][place.y][0])
      + vec4<f32>(left[0][7 / UNROLL][7 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][8 / UNROLL][8 % UNROLL][place.y][0])
      + vec4<f32>(left[0][8 / UNROLL][8 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][9 / UNROLL][9 % UNROLL][place.y][0])
      + vec4<f32>(left[0][9 / UNROLL][9 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][10 / UNROLL][10 % UNROLL][place.y][0])
      + vec4<f32>(left[0][10 / UNROLL][10 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][11 / UNROLL][11 % UNROLL][place.y][0])
      + vec4<f32>(left[0][11 / UNROLL][11 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][12 / UNROLL][12 % UNROLL][place.y][0])
      + vec4<f32>(left[0][12 / UNROLL][12 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][13 / UNROLL][13 % UNROLL][place.y][0])
      + vec4<f32>(left[0][13 / UNROLL][13 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][14 / UNROLL][14 % UNROLL][place.y][0])
      + vec4<f32>(left[0][14 / UNROLL][14 % UNROLL][place.y + 8u][0]);
    total += vec4<f32>(left[0][15 / UNROLL][15 % UNROLL][place.y][0])
      + vec4<f32>(left[0][15 / UNROLL][15 % UNROLL][place.y + 8u][0]);
    let statistics = (vec4<f32>(maxima[0]) + log2(total)) * LN_2;
    {
      let query = first_query + row_of(place, 0u, 0u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[0]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 0 + 0)] / total[0]);
          put_output(at + HALF_QUADS, results[2 * (4 * 0 + 0) + 1] / total[0]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 0u, 1u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[1]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 0 + 1)] / total[1]);
          put_output(at + HALF_QUADS, results[2 * (4 * 0 + 1) + 1] / total[1]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 0u, 2u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[2]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 0 + 2)] / total[2]);
          put_output(at + HALF_QUADS, results[2 * (4 * 0 + 2) + 1] / total[2]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 0u, 3u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[3]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 0 + 3)] / total[3]);
          put_output(at + HALF_QUADS, results[2 * (4 * 0 + 3) + 1] / total[3]);
        }
      }
    }
  }
  {
    var total = vec4<f32>();
    total += vec4<f32>(left[0][0 / UNROLL][0 % UNROLL][place.y][1])
      + vec4<f32>(left[0][0 / UNROLL][0 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][1 / UNROLL][1 % UNROLL][place.y][1])
      + vec4<f32>(left[0][1 / UNROLL][1 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][2 / UNROLL][2 % UNROLL][place.y][1])
      + vec4<f32>(left[0][2 / UNROLL][2 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][3 / UNROLL][3 % UNROLL][place.y][1])
      + vec4<f32>(left[0][3 / UNROLL][3 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][4 / UNROLL][4 % UNROLL][place.y][1])
      + vec4<f32>(left[0][4 / UNROLL][4 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][5 / UNROLL][5 % UNROLL][place.y][1])
      + vec4<f32>(left[0][5 / UNROLL][5 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][6 / UNROLL][6 % UNROLL][place.y][1])
      + vec4<f32>(left[0][6 / UNROLL][6 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][7 / UNROLL][7 % UNROLL][place.y][1])
      + vec4<f32>(left[0][7 / UNROLL][7 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][8 / UNROLL][8 % UNROLL][place.y][1])
      + vec4<f32>(left[0][8 / UNROLL][8 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][9 / UNROLL][9 % UNROLL][place.y][1])
      + vec4<f32>(left[0][9 / UNROLL][9 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][10 / UNROLL][10 % UNROLL][place.y][1])
      + vec4<f32>(left[0][10 / UNROLL][10 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][11 / UNROLL][11 % UNROLL][place.y][1])
      + vec4<f32>(left[0][11 / UNROLL][11 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][12 / UNROLL][12 % UNROLL][place.y][1])
      + vec4<f32>(left[0][12 / UNROLL][12 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][13 / UNROLL][13 % UNROLL][place.y][1])
      + vec4<f32>(left[0][13 / UNROLL][13 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][14 / UNROLL][14 % UNROLL][place.y][1])
      + vec4<f32>(left[0][14 / UNROLL][14 % UNROLL][place.y + 8u][1]);
    total += vec4<f32>(left[0][15 / UNROLL][15 % UNROLL][place.y][1])
      + vec4<f32>(left[0][15 / UNROLL][15 % UNROLL][place.y + 8u][1]);
    let statistics = (vec4<f32>(maxima[1]) + log2(total)) * LN_2;
    {
      let query = first_query + row_of(place, 1u, 0u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[0]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 1 + 0)] / total[0]);
          put_output(at + HALF_QUADS, results[2 * (4 * 1 + 0) + 1] / total[0]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 1u, 1u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[1]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 1 + 1)] / total[1]);
          put_output(at + HALF_QUADS, results[2 * (4 * 1 + 1) + 1] / total[1]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 1u, 2u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[2]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 1 + 2)] / total[2]);
          put_output(at + HALF_QUADS, results[2 * (4 * 1 + 2) + 1] / total[2]);
        }
      }
    }
    {
      let query = first_query + row_of(place, 1u, 3u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[3]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * 1 + 3)] / total[3]);
          put_output(at + HALF_QUADS, results[2 * (4 * 1 + 3) + 1] / total[3]);
        }
      }
    }
  }

  // The columns up to the pitch are zero. The output has none: heads are multiples of 16.
  if (head + 1u == params.heads) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

