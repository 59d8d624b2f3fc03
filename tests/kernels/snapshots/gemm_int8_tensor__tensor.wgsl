enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const BM = 64;
const BN = 64;
const BK = 64;
const SUBGROUPS_M = 2;
const SUBGROUPS_N = 2;
const A_LOADS = 2;
const B_LOADS = 2;
const BAND = 16;
const K = 128;
// Matrix product of int8 codes on tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; K is a multiple of 64, and one of both is zero
// from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: a workgroup is SUBGROUPS_M × SUBGROUPS_N subgroups of 32, each of which keeps its part of the BM × BN sums in
// fragments of 16 × 16. A step of 64 k waits in workgroup memory, the next one is fetched into registers meanwhile: one
// run of memory for each 128 rows.
// Banks: a pad of one vector per row spreads the rows over them, without which the product takes 1.7 times as long on an
// H100. Of eight rows the even ones wait first, then the odd ones: eight neighbouring threads bring two rows, which
// fill the banks once where they are four places apart, but meet in one where they are neighbours. That is 13 % of the
// product on an H200. Threads that share out the rows in another way need more requests to memory, and lose 20 %. Sums come
// out in the same order. K is known to the compiler, which is worth 1 %.
// Parameters of every GEMM kernel, and how it writes a result. Include-only.
//
// A sum is divided by the scale of its row and of its column (quantised operands), plus an addend, plus the old value
// (ACCUMULATE). Output columns from second_from on go to a second matrix (FALQON's O_A = x·Aᵀ behind O).
//
// With OPTIONAL all of these are bound, and the parameters tell which of them count: where a runtime compiles one
// kernel after another, each for a second, one that serves most products is worth more than branches that all threads
// take alike.
//
// A thread has many results of few rows and columns. A division takes a dozen instructions, so it divides once for
// each row and column.
//
// With READ_AHEAD what is added is read by the including kernel, which is never OPTIONAL, before it is needed.

struct Params {
  m: u32, n: u32,
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
  out_pitch: u32, out_column: u32,
  second_from: u32, second_pitch: u32,
  addend_pitch: u32, // OPTIONAL: 0 without an addend, as second_from is past all columns without a second output
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> out: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> second_output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;

// Results are made in two parts, so that a thread can read all that its results need before it writes any of them:
// a compiler must not move a read over a write that might be to the same memory, and would wait for each in turn.

// What the sums of a row are multiplied by.
fn row_factor(row: u32) -> f32 {
  return params.alpha / row_scales[min(row, params.m - 1u)];
}

// And those of four columns, from one that is a multiple of 4.
fn column_factors(column: u32) -> vec4<f32> {
  return 1.0 / column_scales[min(column, (params.n - 1u) & ~3u) / 4u];
}

// The nearest column from which on something is added to results; those outside only have to read inside.
fn kept_column(column: u32) -> u32 {
  let c = min(column, (params.n - 1u) & ~3u);
  return min(c, params.second_from - 4u);
}


// What is added to four results of a row: old values and addend.
alias Added = array<vec4<f32>, 2>;

fn added_to(part: u32, row: u32, column: u32) -> Added {
  let kept = kept_column(column);
  var added: Added;
  return added;
}

// What four sums of a row come to, multiplied by these, from a column that is a multiple of 4.
fn finished(column: u32, scaled: vec4<f32>, added: Added) -> vec4<f32> {
  // Columns behind n stay zero: operands may hold anything there.
  let inside = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  var value = select(vec4<f32>(), scaled, inside);
  let kept = kept_column(column);
  return value;
}

fn put(part: u32, row: u32, column: u32, value: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  if (column >= params.second_from) {
    second_output[(row * params.second_pitch + column - params.second_from) / 4u] = value;
    return;
  }
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
  // What is not finite stays so, to be seen.
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let saturated = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  out[at] = vec2<u32>(pack2x16float(saturated.xy), pack2x16float(saturated.zw));
}

// Which tile of the output a workgroup makes. Include-only.
//
// Workgroups that run at the same time should need few rows of both operands, so that these stay in the cache: tiles go
// down in bands of BAND rows of tiles, column by column, instead of along the whole width.

fn output_tile(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
  let index = group.y * groups.x + group.x;
  let band = index / (BAND * groups.x);
  let height = min(u32(BAND), groups.y - band * BAND);
  let within = index - band * BAND * groups.x;
  return vec2<u32>(within / height, band * BAND + within % height);
}

// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): signed bytes, 32 of them
// contracted at once, and i32 sums. Include-only.
//
// Fragments come from and go to `tile`, a workgroup array of vec4<u32> that the including kernel declares. Both factors
// lie there by rows of the contraction: [row][contraction] and [column][contraction], since fragments of bytes are not
// transposed on the way. `at` and `stride` (from one row to the next) count its vectors: 16 bytes of a factor, 4 sums.
// Which invocation holds which element is implementation-defined: elements are seen only in `tile`, after a barrier.

// EMULATE stands in for devices without such matrices, so that tests run the same kernels anywhere: an invocation makes
// 8 sums of a row, from column lane_column on. Sums are exact in any order.

alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;

fn begin_fragments(thread: u32) {}

fn load_left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile, at, stride); }

fn load_right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tile, at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) { subgroupMatrixStore<row_major>(&tile, at, sum, stride); }

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(left, right, sum); }


@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 32u * SUBGROUPS_M * SUBGROUPS_N;
const STEPS = K / 64u;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;
// What a subgroup makes.
const SUB_M = BM / SUBGROUPS_M;
const SUB_N = BN / SUBGROUPS_N;
// A row of the tiles in vectors, with its pad.
const ROW = 5u;
const B_TILE = BM * ROW; // where b's codes begin
// Rows of the outgoing sums of a subgroup in vectors of 4.
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BN * ROW, SUBGROUPS_M * SUBGROUPS_N * 16u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

// The place of a row of an operand among the rows of the tile.
fn place_of(row: u32) -> u32 { return (row & ~7u) | ((row >> 1u) & 3u) | ((row & 1u) << 2u); }

// Two quads of columns in their places: 0, 2, 4, 6 and 1, 3, 5, 7.
fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> {
  let pair = at + place_of(row) * OUT_ROW + (quad & ~1u);
  let even = bitcast<vec4<i32>>(tile[pair]);
  let odd = bitcast<vec4<i32>>(tile[pair + 1u]);
  let second = (quad & 1u) == 1u;
  let evens = vec2<f32>(select(even.xy, even.zw, second));
  let odds = vec2<f32>(select(odd.xy, odd.zw, second));
  return vec4<f32>(evens.x, odds.x, evens.y, odds.y);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let sub_m = subgroup / SUBGROUPS_N;
  let sub_n = subgroup % SUBGROUPS_N;

  // A thread's first vector of the tile's rows, and how far on those of a second panel are: where the operand has none,
  // the first one's serve, as nothing of them is written.
  let a_panel = params.a_pitch / 64u * BLOCK;
  let a_at = m0 / 128u * a_panel + params.a_column / 64u * BLOCK + m0 % 128u * 4u + thread;
  let a_second = select(0u, a_panel, m0 + 128u < params.m);
  let b_panel = params.b_pitch / 64u * BLOCK;
  let b_at = n0 / 128u * b_panel + params.b_column / 64u * BLOCK + n0 % 128u * 4u + thread;
  let b_second = select(0u, b_panel, n0 + 128u < params.n);
  let a_to = place_of(thread / 4u) * ROW + thread % 4u;
  let b_to = B_TILE + a_to;
  var a_next_0 = a[a_at + 0u * THREADS / BLOCK * a_second + 0u * THREADS % BLOCK];
  var a_next_1 = a[a_at + 1u * THREADS / BLOCK * a_second + 1u * THREADS % BLOCK];
  var b_next_0 = b[b_at + 0u * THREADS / BLOCK * b_second + 0u * THREADS % BLOCK];
  var b_next_1 = b[b_at + 1u * THREADS / BLOCK * b_second + 1u * THREADS % BLOCK];
  var sum_0_0 = Sum();
  var sum_0_1 = Sum();
  var sum_1_0 = Sum();
  var sum_1_1 = Sum();
  for (var step = 0u; step < STEPS; step += 1u) {
    workgroupBarrier();
    tile[a_to + 0u * (THREADS / 4u) * ROW] = a_next_0;
    tile[a_to + 1u * (THREADS / 4u) * ROW] = a_next_1;
    tile[b_to + 0u * (THREADS / 4u) * ROW] = b_next_0;
    tile[b_to + 1u * (THREADS / 4u) * ROW] = b_next_1;
    workgroupBarrier();
    // The last step fetches its own codes again: cheaper than to ask.
    let next = min(step + 1u, STEPS - 1u) * BLOCK;
    a_next_0 = a[a_at + next + 0u * THREADS / BLOCK * a_second + 0u * THREADS % BLOCK];
    a_next_1 = a[a_at + next + 1u * THREADS / BLOCK * a_second + 1u * THREADS % BLOCK];
    b_next_0 = b[b_at + next + 0u * THREADS / BLOCK * b_second + 0u * THREADS % BLOCK];
    b_next_1 = b[b_at + next + 1u * THREADS / BLOCK * b_second + 1u * THREADS % BLOCK];
    {
      let a_0 = load_left((sub_m * SUB_M + 16u * 0u) * ROW + 2u * 0u, ROW);
      let a_1 = load_left((sub_m * SUB_M + 16u * 1u) * ROW + 2u * 0u, ROW);
      let b_0 = load_right(B_TILE + (sub_n * SUB_N + 16u * 0u) * ROW + 2u * 0u, ROW);
      let b_1 = load_right(B_TILE + (sub_n * SUB_N + 16u * 1u) * ROW + 2u * 0u, ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
    }
    {
      let a_0 = load_left((sub_m * SUB_M + 16u * 0u) * ROW + 2u * 1u, ROW);
      let a_1 = load_left((sub_m * SUB_M + 16u * 1u) * ROW + 2u * 1u, ROW);
      let b_0 = load_right(B_TILE + (sub_n * SUB_N + 16u * 0u) * ROW + 2u * 1u, ROW);
      let b_1 = load_right(B_TILE + (sub_n * SUB_N + 16u * 1u) * ROW + 2u * 1u, ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
    }
  }

// Writes the sums of a workgroup of the GEMM kernels for tensor cores, sum_i_j for fragment j of fragment row i, by
// DOWN × ACROSS subgroups of 32. Pasted at the end of `main`. Include-only.
//
// A fragment's elements have no known place, so sums go through `tile`, 16 rows at a time: a subgroup's 16 × SUB_N sums,
// then its lanes write them row by row, each always the same columns. The including kernel declares SUB_M × SUB_N, what
// a subgroup makes, OUT_ROW, the vectors of such a row with two more against bank conflicts, `four_sums`, those of a row
// from column 4 · quad on, and `row_factors`, of the workgroup's rows. All results of these rows are finished before any
// is written: see gemm_output.wgsl. What is added to the next 16 is read before that, so that they need not wait for it.
  let subgroup_row = subgroup / 2u * SUB_M;
  let subgroup_n0 = n0 + subgroup % 2u * SUB_N;
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
  let quad = lane % (SUB_N / 4u);
  let column = subgroup_n0 + 4u * quad;
  let factors = column_factors(column);
  let slab_row_0 = (lane + 32u * 0u) / (SUB_N / 4u);
  var added_0 = added_to(group.z, m0 + subgroup_row + slab_row_0, column);
  let slab_row_1 = (lane + 32u * 1u) / (SUB_N / 4u);
  var added_1 = added_to(group.z, m0 + subgroup_row + slab_row_1, column);
  let slab_row_2 = (lane + 32u * 2u) / (SUB_N / 4u);
  var added_2 = added_to(group.z, m0 + subgroup_row + slab_row_2, column);
  let slab_row_3 = (lane + 32u * 3u) / (SUB_N / 4u);
  var added_3 = added_to(group.z, m0 + subgroup_row + slab_row_3, column);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_0_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_0_1);
  let next_0_0 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_0, column);
  let next_0_1 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_1, column);
  let next_0_2 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_2, column);
  let next_0_3 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_3, column);
  workgroupBarrier();
  let row_0_0 = subgroup_row + 16u * 0u + slab_row_0;
  let scaled_0_0 = four_sums(mine, slab_row_0, quad) * (row_factors[row_0_0] * factors);
  let value_0_0 = finished(column, scaled_0_0, added_0);
  added_0 = next_0_0;
  let row_0_1 = subgroup_row + 16u * 0u + slab_row_1;
  let scaled_0_1 = four_sums(mine, slab_row_1, quad) * (row_factors[row_0_1] * factors);
  let value_0_1 = finished(column, scaled_0_1, added_1);
  added_1 = next_0_1;
  let row_0_2 = subgroup_row + 16u * 0u + slab_row_2;
  let scaled_0_2 = four_sums(mine, slab_row_2, quad) * (row_factors[row_0_2] * factors);
  let value_0_2 = finished(column, scaled_0_2, added_2);
  added_2 = next_0_2;
  let row_0_3 = subgroup_row + 16u * 0u + slab_row_3;
  let scaled_0_3 = four_sums(mine, slab_row_3, quad) * (row_factors[row_0_3] * factors);
  let value_0_3 = finished(column, scaled_0_3, added_3);
  added_3 = next_0_3;
  put(group.z, m0 + row_0_0, column, value_0_0);
  put(group.z, m0 + row_0_1, column, value_0_1);
  put(group.z, m0 + row_0_2, column, value_0_2);
  put(group.z, m0 + row_0_3, column, value_0_3);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_1_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_1_1);
  let next_1_0 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_0, column);
  let next_1_1 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_1, column);
  let next_1_2 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_2, column);
  let next_1_3 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_3, column);
  workgroupBarrier();
  let row_1_0 = subgroup_row + 16u * 1u + slab_row_0;
  let scaled_1_0 = four_sums(mine, slab_row_0, quad) * (row_factors[row_1_0] * factors);
  let value_1_0 = finished(column, scaled_1_0, added_0);
  added_0 = next_1_0;
  let row_1_1 = subgroup_row + 16u * 1u + slab_row_1;
  let scaled_1_1 = four_sums(mine, slab_row_1, quad) * (row_factors[row_1_1] * factors);
  let value_1_1 = finished(column, scaled_1_1, added_1);
  added_1 = next_1_1;
  let row_1_2 = subgroup_row + 16u * 1u + slab_row_2;
  let scaled_1_2 = four_sums(mine, slab_row_2, quad) * (row_factors[row_1_2] * factors);
  let value_1_2 = finished(column, scaled_1_2, added_2);
  added_2 = next_1_2;
  let row_1_3 = subgroup_row + 16u * 1u + slab_row_3;
  let scaled_1_3 = four_sums(mine, slab_row_3, quad) * (row_factors[row_1_3] * factors);
  let value_1_3 = finished(column, scaled_1_3, added_3);
  added_3 = next_1_3;
  put(group.z, m0 + row_1_0, column, value_1_0);
  put(group.z, m0 + row_1_1, column, value_1_1);
  put(group.z, m0 + row_1_2, column, value_1_2);
  put(group.z, m0 + row_1_3, column, value_1_3);

}

