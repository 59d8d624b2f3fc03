enable f16;
const HEAD_DIM = 80;
const UNROLL = 8;
// Attention backward in packed half-precision arithmetic, gradients of keys and values: dV = Pᵀ·dO and
// dK = scale · dSᵀ·Q, summed over the query heads that share a key head, as attention_backward_keys_values.wgsl.
//
// Shapes: as there; qkv and d_output f16, the latter times a power of two; P and dS are rounded to f16.
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its first
// key to the end of its last key's document. Nobody else adds to its rows, so the order is fixed.
//
// Roles: two gradients of 64 rows are more than 128 invocations have registers for. The first half makes the scores, P and
// dV; the second dP, dS and dK, to which the first lends P through workgroup memory, times the cap's slope with SOFT_CAP.
// Both walk through the same code.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products.
// What the two kernels of the attention backward in packed half-precision arithmetic share: operands, the power of two in
// d_output, and how they write rows of a gradient. With ROTATED, q and k came out of rope.wgsl, and their gradients are
// rotated back on their way to memory.
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
  d_output_pitch: u32, statistics_pitch: u32,
  d_qkv_pitch: u32, d_qkv_columns: u32, dq_column: u32, dk_column: u32, dv_column: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Eight neighbours of a row.
alias Eight = array<vec4<f16>, 2>;

@group(0) @binding(1) var<storage, read> qkv: array<Eight>;
@group(0) @binding(2) var<storage, read> d_output: array<Eight>;
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
  return token * params.qkv_pitch + column + head * (HEAD_DIM / 8u) + vector;
}



// The power of two that d_output was multiplied by (attention_half_gradient.wgsl), and its inverse.
fn gradient_scale() -> vec2<f32> {
  let at = params.tokens * params.statistics_pitch;
  return vec2<f32>(delta[at], delta[at + 1u]);
}

// Writes the gradient of a tile's rows from token `first` on to `last`, times a factor. `column`: where their head begins.
// A loop over the rows of an invocation, so that the rotation is compiled once: row by row the results move up.
fn write_gradient(
  given: Results, first: u32, last: u32, column: u32, factor: f32, rotated: bool, place: Place,
) {
  if (place.x >= HALF_QUADS) { return; }
  var results = given;
  for (var r = 0u; r < 4u * params.halves; r += 1u) {
    let token = first + row_of(place, r / 4u, r % 4u);
    if (token > last) { break; }
    var low = results[0] * factor;
    var high = results[1] * factor;
    if (rotated) {
      let angle = rotation(positions[token], 4u * place.x + LANES);
      let turned = low * angle.cosine + high * angle.sine;
      high = high * angle.cosine - low * angle.sine;
      low = turned;
    }
    let at = token * params.d_qkv_pitch + column + place.x;
    d_qkv[at] = low;
    d_qkv[at + HALF_QUADS] = high;
    results[0] = results[0 + 2];
    results[1] = results[1 + 2];
    results[2] = results[2 + 2];
    results[3] = results[3 + 2];
    results[4] = results[4 + 2];
    results[5] = results[5 + 2];
    results[6] = results[6 + 2];
    results[7] = results[7 + 2];
    results[8] = results[8 + 2];
    results[9] = results[9 + 2];
    results[10] = results[10 + 2];
    results[11] = results[11 + 2];
    results[12] = results[12 + 2];
    results[13] = results[13 + 2];
  }
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
var<workgroup> left: array<array<array<array<Eight, 18>, UNROLL>, PARTS>, 2>;
var<workgroup> right: array<array<array<array<Eight, 34>, UNROLL>, PARTS>, 2>;

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
  if (rows.source == D_OUTPUT) { return inside * params.d_output_pitch + rows.head * HEAD_EIGHTS; }
  return qkv_index(rows.source, inside, rows.head, 0u);
}

fn load_eights(source: u32, at: vec4<u32>) -> array<Eight, 4> {
  if (source == D_OUTPUT) {
    return array<Eight, 4>(d_output[at.x], d_output[at.y], d_output[at.z], d_output[at.w]);
  }
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


const THREADS = 256u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let second = place.role == 1u;
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let first_end = documents[first_key].y;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let gradient = gradient_scale();
  let scale = params.scale * f32(DIVISOR) * LOG2_E;
  var results = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + columns_of(place);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      var statistics: vec4<f32>;
      if (second) {
        statistics = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]) * gradient.x;
      } else {
        statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]) * LOG2_E;
      }
      var scores = Scores();
      add_products(
        &scores, Rows(select(K, V, second), kv_head, first_key), Rows(select(Q, D_OUTPUT, second), head, first_query),
        select(1.0h / DIVISOR, 1.0h, second), place);

      var weights: Weights;
      if (!second) {
        let cut = first_query < last_key || first_query + COLUMNS > first_end;
        {
          var p = exp2(scores[4 * 0 + 0] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 0u, 0u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 0 + 0] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 0 + 1] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 0u, 1u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 0 + 1] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 0 + 2] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 0u, 2u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 0 + 2] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 0 + 3] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 0u, 3u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 0 + 3] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 1 + 0] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 1u, 0u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 1 + 0] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 1 + 1] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 1u, 1u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 1 + 1] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 1 + 2] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 1u, 2u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 1 + 2] = vec4<f16>(p);
        }
        {
          var p = exp2(scores[4 * 1 + 3] * scale - statistics);
          if (cut) {
            let key = min(first_key + row_of(place, 1u, 3u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * 1 + 3] = vec4<f16>(p);
        }
      }
      workgroupBarrier();
      if (!second) {
        right[0 / 2][part][pair][place.y + 8u * (0 % 2)] = Eight(weights[2 * 0], weights[2 * 0 + 1]);
        right[1 / 2][part][pair][place.y + 8u * (1 % 2)] = Eight(weights[2 * 1], weights[2 * 1 + 1]);
        right[2 / 2][part][pair][place.y + 8u * (2 % 2)] = Eight(weights[2 * 2], weights[2 * 2 + 1]);
        right[3 / 2][part][pair][place.y + 8u * (3 % 2)] = Eight(weights[2 * 3], weights[2 * 3 + 1]);
      }
      workgroupBarrier();
      if (second) {
        {
          let p = right[0 / 2][part][pair][place.y + 8u * (0 % 2)];
          weights[2 * 0] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * 0] - statistics));
          weights[2 * 0 + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * 0 + 1] - statistics));
        }
        {
          let p = right[1 / 2][part][pair][place.y + 8u * (1 % 2)];
          weights[2 * 1] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * 1] - statistics));
          weights[2 * 1 + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * 1 + 1] - statistics));
        }
        {
          let p = right[2 / 2][part][pair][place.y + 8u * (2 % 2)];
          weights[2 * 2] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * 2] - statistics));
          weights[2 * 2 + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * 2 + 1] - statistics));
        }
        {
          let p = right[3 / 2][part][pair][place.y + 8u * (3 % 2)];
          weights[2 * 3] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * 3] - statistics));
          weights[2 * 3 + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * 3 + 1] - statistics));
        }
      }
      add_combinations(&results, &weights, Rows(select(D_OUTPUT, Q, second), head, first_query), place);
    }
  }
  let column = select(params.dv_column, params.dk_column, second) + kv_head * (HEAD_DIM / 4u);
  let factor = select(gradient.y, params.scale * gradient.y, second);
  write_gradient(results, first_key, last_key, column, factor, second, place);
}

