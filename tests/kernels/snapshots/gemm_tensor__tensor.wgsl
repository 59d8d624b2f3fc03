enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const BM = 128;
const BN = 128;
const BK = 32;
const BAND = 22;
const A_LOADS = 2;
const B_LOADS = 2;
const K = 128;
const SPLIT_K = 128;
// Matrix product on tensor cores: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], f16 factors and f32 sums.
//
// a, b: both FP8 from pack_codes.wgsl (CODES) or both f16 from pack.wgsl, in panels of BM and BN, rounded up to whole
// ones, and k filled up with zeros.
// Idea: a workgroup is 2 × 2 subgroups of 32, each of which keeps (BM / 2) × (BN / 2) sums in fragments of 16 × 16. A
// step of BK waits in workgroup memory, the next one is fetched into registers meanwhile. k outermost makes both the
// fetches and the stores whole vectors; fragments are loaded transposed at no cost. A pad of 8 f16 values per row
// spreads the rows over the banks. More than about 22 KB per workgroup would leave room for only one of them on a
// core. Codes become f16 on their way into workgroup memory: fetched as f16, the operands alone would keep the
// second-level cache of an H200 busy for nine tenths of the time. K is known to the compiler: a fifth of the time of
// f16 on an H200, whose loop it unrolls. That of codes stays rolled, and in the instruction cache, which is a tenth
// faster. A fragment's elements have no known place, so sums go through workgroup memory on their way out.
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


@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 128u;
const PER_VECTOR = 16u; // values
// Rows of the tiles in vectors of 8 f16 values.
const A_ROW = BM / 8u + 1u;
const B_ROW = BN / 8u + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// What a subgroup makes, and a row of its outgoing sums in vectors of 4 floats.
const SUB_M = BM / 2u;
const SUB_N = BN / 2u;
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BK * B_ROW, 64u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> { return bitcast<vec4<f32>>(tile[at + row * OUT_ROW + quad]); }

// The f16 of the first values of lanes from pack_codes.wgsl, and of the others.
fn first_e4m3(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xbf80bf80u); }
fn other_e4m3(lanes: vec4<u32>) -> vec4<u32> {
  return ((lanes << vec4<u32>(7u)) & vec4<u32>(0x3f803f80u)) | ((lanes << vec4<u32>(1u)) & vec4<u32>(0x80008000u));
}
fn first_e5m2(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xff00ff00u); }
fn other_e5m2(lanes: vec4<u32>) -> vec4<u32> { return (lanes << vec4<u32>(8u)) & vec4<u32>(0xff00ff00u); }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let k_begin = 0u;
  const k_end = u32(K);
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  // Vectors of a step come one after another in a panel.
  let a_at = place.y * K * (BM / PER_VECTOR) + thread;
  let b_at = place.x * K * (BN / PER_VECTOR) + thread;
  let a_to = thread / (BM / PER_VECTOR) * A_ROW + thread % (BM / PER_VECTOR);
  let b_to = B_TILE + thread / (BN / PER_VECTOR) * B_ROW + thread % (BN / PER_VECTOR);
  var a_next_0 = a[a_at + k_begin * (BM / PER_VECTOR) + 0u * THREADS];
  var a_next_1 = a[a_at + k_begin * (BM / PER_VECTOR) + 1u * THREADS];
  var b_next_0 = b[b_at + k_begin * (BN / PER_VECTOR) + 0u * THREADS];
  var b_next_1 = b[b_at + k_begin * (BN / PER_VECTOR) + 1u * THREADS];
  var sum_0_0 = Sum();
  var sum_0_1 = Sum();
  var sum_0_2 = Sum();
  var sum_0_3 = Sum();
  var sum_1_0 = Sum();
  var sum_1_1 = Sum();
  var sum_1_2 = Sum();
  var sum_1_3 = Sum();
  var sum_2_0 = Sum();
  var sum_2_1 = Sum();
  var sum_2_2 = Sum();
  var sum_2_3 = Sum();
  var sum_3_0 = Sum();
  var sum_3_1 = Sum();
  var sum_3_2 = Sum();
  var sum_3_3 = Sum();
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
    tile[a_to + 0u * (THREADS / (BM / 16u)) * A_ROW] = first_e4m3(a_next_0);
    tile[a_to + 0u * (THREADS / (BM / 16u)) * A_ROW + BM / 16u] = other_e4m3(a_next_0);
    tile[a_to + 1u * (THREADS / (BM / 16u)) * A_ROW] = first_e4m3(a_next_1);
    tile[a_to + 1u * (THREADS / (BM / 16u)) * A_ROW + BM / 16u] = other_e4m3(a_next_1);
    tile[b_to + 0u * (THREADS / (BN / 16u)) * B_ROW] = first_e4m3(b_next_0);
    tile[b_to + 0u * (THREADS / (BN / 16u)) * B_ROW + BN / 16u] = other_e4m3(b_next_0);
    tile[b_to + 1u * (THREADS / (BN / 16u)) * B_ROW] = first_e4m3(b_next_1);
    tile[b_to + 1u * (THREADS / (BN / 16u)) * B_ROW + BN / 16u] = other_e4m3(b_next_1);
    // Codes are fetched while the others still store, which f16 would only hold up.
    // The last step fetches its own values again: cheaper than to ask.
    let next = min(k0 + BK, k_end - BK);
    a_next_0 = a[a_at + next * (BM / PER_VECTOR) + 0u * THREADS];
    a_next_1 = a[a_at + next * (BM / PER_VECTOR) + 1u * THREADS];
    b_next_0 = b[b_at + next * (BN / PER_VECTOR) + 0u * THREADS];
    b_next_1 = b[b_at + next * (BN / PER_VECTOR) + 1u * THREADS];
    workgroupBarrier();
    {
      let a_0 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 0u, A_ROW);
      let a_1 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 1u, A_ROW);
      let a_2 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 2u, A_ROW);
      let a_3 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 3u, A_ROW);
      let b_0 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 0u, B_ROW);
      let b_1 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 1u, B_ROW);
      let b_2 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 2u, B_ROW);
      let b_3 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 3u, B_ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_0_2 = multiply_add(a_0, b_2, sum_0_2);
      sum_0_3 = multiply_add(a_0, b_3, sum_0_3);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
      sum_1_2 = multiply_add(a_1, b_2, sum_1_2);
      sum_1_3 = multiply_add(a_1, b_3, sum_1_3);
      sum_2_0 = multiply_add(a_2, b_0, sum_2_0);
      sum_2_1 = multiply_add(a_2, b_1, sum_2_1);
      sum_2_2 = multiply_add(a_2, b_2, sum_2_2);
      sum_2_3 = multiply_add(a_2, b_3, sum_2_3);
      sum_3_0 = multiply_add(a_3, b_0, sum_3_0);
      sum_3_1 = multiply_add(a_3, b_1, sum_3_1);
      sum_3_2 = multiply_add(a_3, b_2, sum_3_2);
      sum_3_3 = multiply_add(a_3, b_3, sum_3_3);
    }
    {
      let a_0 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 0u, A_ROW);
      let a_1 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 1u, A_ROW);
      let a_2 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 2u, A_ROW);
      let a_3 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 3u, A_ROW);
      let b_0 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 0u, B_ROW);
      let b_1 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 1u, B_ROW);
      let b_2 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 2u, B_ROW);
      let b_3 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 3u, B_ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_0_2 = multiply_add(a_0, b_2, sum_0_2);
      sum_0_3 = multiply_add(a_0, b_3, sum_0_3);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
      sum_1_2 = multiply_add(a_1, b_2, sum_1_2);
      sum_1_3 = multiply_add(a_1, b_3, sum_1_3);
      sum_2_0 = multiply_add(a_2, b_0, sum_2_0);
      sum_2_1 = multiply_add(a_2, b_1, sum_2_1);
      sum_2_2 = multiply_add(a_2, b_2, sum_2_2);
      sum_2_3 = multiply_add(a_2, b_3, sum_2_3);
      sum_3_0 = multiply_add(a_3, b_0, sum_3_0);
      sum_3_1 = multiply_add(a_3, b_1, sum_3_1);
      sum_3_2 = multiply_add(a_3, b_2, sum_3_2);
      sum_3_3 = multiply_add(a_3, b_3, sum_3_3);
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
  let slab_row_4 = (lane + 32u * 4u) / (SUB_N / 4u);
  var added_4 = added_to(group.z, m0 + subgroup_row + slab_row_4, column);
  let slab_row_5 = (lane + 32u * 5u) / (SUB_N / 4u);
  var added_5 = added_to(group.z, m0 + subgroup_row + slab_row_5, column);
  let slab_row_6 = (lane + 32u * 6u) / (SUB_N / 4u);
  var added_6 = added_to(group.z, m0 + subgroup_row + slab_row_6, column);
  let slab_row_7 = (lane + 32u * 7u) / (SUB_N / 4u);
  var added_7 = added_to(group.z, m0 + subgroup_row + slab_row_7, column);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_0_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_0_1);
  store_sum(mine + 4u * 2u, OUT_ROW, sum_0_2);
  store_sum(mine + 4u * 3u, OUT_ROW, sum_0_3);
  let next_0_0 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_0, column);
  let next_0_1 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_1, column);
  let next_0_2 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_2, column);
  let next_0_3 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_3, column);
  let next_0_4 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_4, column);
  let next_0_5 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_5, column);
  let next_0_6 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_6, column);
  let next_0_7 = added_to(group.z, m0 + subgroup_row + 16u * (0u + 1u) + slab_row_7, column);
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
  let row_0_4 = subgroup_row + 16u * 0u + slab_row_4;
  let scaled_0_4 = four_sums(mine, slab_row_4, quad) * (row_factors[row_0_4] * factors);
  let value_0_4 = finished(column, scaled_0_4, added_4);
  added_4 = next_0_4;
  let row_0_5 = subgroup_row + 16u * 0u + slab_row_5;
  let scaled_0_5 = four_sums(mine, slab_row_5, quad) * (row_factors[row_0_5] * factors);
  let value_0_5 = finished(column, scaled_0_5, added_5);
  added_5 = next_0_5;
  let row_0_6 = subgroup_row + 16u * 0u + slab_row_6;
  let scaled_0_6 = four_sums(mine, slab_row_6, quad) * (row_factors[row_0_6] * factors);
  let value_0_6 = finished(column, scaled_0_6, added_6);
  added_6 = next_0_6;
  let row_0_7 = subgroup_row + 16u * 0u + slab_row_7;
  let scaled_0_7 = four_sums(mine, slab_row_7, quad) * (row_factors[row_0_7] * factors);
  let value_0_7 = finished(column, scaled_0_7, added_7);
  added_7 = next_0_7;
  put(group.z, m0 + row_0_0, column, value_0_0);
  put(group.z, m0 + row_0_1, column, value_0_1);
  put(group.z, m0 + row_0_2, column, value_0_2);
  put(group.z, m0 + row_0_3, column, value_0_3);
  put(group.z, m0 + row_0_4, column, value_0_4);
  put(group.z, m0 + row_0_5, column, value_0_5);
  put(group.z, m0 + row_0_6, column, value_0_6);
  put(group.z, m0 + row_0_7, column, value_0_7);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_1_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_1_1);
  store_sum(mine + 4u * 2u, OUT_ROW, sum_1_2);
  store_sum(mine + 4u * 3u, OUT_ROW, sum_1_3);
  let next_1_0 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_0, column);
  let next_1_1 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_1, column);
  let next_1_2 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_2, column);
  let next_1_3 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_3, column);
  let next_1_4 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_4, column);
  let next_1_5 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_5, column);
  let next_1_6 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_6, column);
  let next_1_7 = added_to(group.z, m0 + subgroup_row + 16u * (1u + 1u) + slab_row_7, column);
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
  let row_1_4 = subgroup_row + 16u * 1u + slab_row_4;
  let scaled_1_4 = four_sums(mine, slab_row_4, quad) * (row_factors[row_1_4] * factors);
  let value_1_4 = finished(column, scaled_1_4, added_4);
  added_4 = next_1_4;
  let row_1_5 = subgroup_row + 16u * 1u + slab_row_5;
  let scaled_1_5 = four_sums(mine, slab_row_5, quad) * (row_factors[row_1_5] * factors);
  let value_1_5 = finished(column, scaled_1_5, added_5);
  added_5 = next_1_5;
  let row_1_6 = subgroup_row + 16u * 1u + slab_row_6;
  let scaled_1_6 = four_sums(mine, slab_row_6, quad) * (row_factors[row_1_6] * factors);
  let value_1_6 = finished(column, scaled_1_6, added_6);
  added_6 = next_1_6;
  let row_1_7 = subgroup_row + 16u * 1u + slab_row_7;
  let scaled_1_7 = four_sums(mine, slab_row_7, quad) * (row_factors[row_1_7] * factors);
  let value_1_7 = finished(column, scaled_1_7, added_7);
  added_7 = next_1_7;
  put(group.z, m0 + row_1_0, column, value_1_0);
  put(group.z, m0 + row_1_1, column, value_1_1);
  put(group.z, m0 + row_1_2, column, value_1_2);
  put(group.z, m0 + row_1_3, column, value_1_3);
  put(group.z, m0 + row_1_4, column, value_1_4);
  put(group.z, m0 + row_1_5, column, value_1_5);
  put(group.z, m0 + row_1_6, column, value_1_6);
  put(group.z, m0 + row_1_7, column, value_1_7);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_2_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_2_1);
  store_sum(mine + 4u * 2u, OUT_ROW, sum_2_2);
  store_sum(mine + 4u * 3u, OUT_ROW, sum_2_3);
  let next_2_0 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_0, column);
  let next_2_1 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_1, column);
  let next_2_2 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_2, column);
  let next_2_3 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_3, column);
  let next_2_4 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_4, column);
  let next_2_5 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_5, column);
  let next_2_6 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_6, column);
  let next_2_7 = added_to(group.z, m0 + subgroup_row + 16u * (2u + 1u) + slab_row_7, column);
  workgroupBarrier();
  let row_2_0 = subgroup_row + 16u * 2u + slab_row_0;
  let scaled_2_0 = four_sums(mine, slab_row_0, quad) * (row_factors[row_2_0] * factors);
  let value_2_0 = finished(column, scaled_2_0, added_0);
  added_0 = next_2_0;
  let row_2_1 = subgroup_row + 16u * 2u + slab_row_1;
  let scaled_2_1 = four_sums(mine, slab_row_1, quad) * (row_factors[row_2_1] * factors);
  let value_2_1 = finished(column, scaled_2_1, added_1);
  added_1 = next_2_1;
  let row_2_2 = subgroup_row + 16u * 2u + slab_row_2;
  let scaled_2_2 = four_sums(mine, slab_row_2, quad) * (row_factors[row_2_2] * factors);
  let value_2_2 = finished(column, scaled_2_2, added_2);
  added_2 = next_2_2;
  let row_2_3 = subgroup_row + 16u * 2u + slab_row_3;
  let scaled_2_3 = four_sums(mine, slab_row_3, quad) * (row_factors[row_2_3] * factors);
  let value_2_3 = finished(column, scaled_2_3, added_3);
  added_3 = next_2_3;
  let row_2_4 = subgroup_row + 16u * 2u + slab_row_4;
  let scaled_2_4 = four_sums(mine, slab_row_4, quad) * (row_factors[row_2_4] * factors);
  let value_2_4 = finished(column, scaled_2_4, added_4);
  added_4 = next_2_4;
  let row_2_5 = subgroup_row + 16u * 2u + slab_row_5;
  let scaled_2_5 = four_sums(mine, slab_row_5, quad) * (row_factors[row_2_5] * factors);
  let value_2_5 = finished(column, scaled_2_5, added_5);
  added_5 = next_2_5;
  let row_2_6 = subgroup_row + 16u * 2u + slab_row_6;
  let scaled_2_6 = four_sums(mine, slab_row_6, quad) * (row_factors[row_2_6] * factors);
  let value_2_6 = finished(column, scaled_2_6, added_6);
  added_6 = next_2_6;
  let row_2_7 = subgroup_row + 16u * 2u + slab_row_7;
  let scaled_2_7 = four_sums(mine, slab_row_7, quad) * (row_factors[row_2_7] * factors);
  let value_2_7 = finished(column, scaled_2_7, added_7);
  added_7 = next_2_7;
  put(group.z, m0 + row_2_0, column, value_2_0);
  put(group.z, m0 + row_2_1, column, value_2_1);
  put(group.z, m0 + row_2_2, column, value_2_2);
  put(group.z, m0 + row_2_3, column, value_2_3);
  put(group.z, m0 + row_2_4, column, value_2_4);
  put(group.z, m0 + row_2_5, column, value_2_5);
  put(group.z, m0 + row_2_6, column, value_2_6);
  put(group.z, m0 + row_2_7, column, value_2_7);
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_3_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_3_1);
  store_sum(mine + 4u * 2u, OUT_ROW, sum_3_2);
  store_sum(mine + 4u * 3u, OUT_ROW, sum_3_3);
  let next_3_0 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_0, column);
  let next_3_1 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_1, column);
  let next_3_2 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_2, column);
  let next_3_3 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_3, column);
  let next_3_4 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_4, column);
  let next_3_5 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_5, column);
  let next_3_6 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_6, column);
  let next_3_7 = added_to(group.z, m0 + subgroup_row + 16u * (3u + 1u) + slab_row_7, column);
  workgroupBarrier();
  let row_3_0 = subgroup_row + 16u * 3u + slab_row_0;
  let scaled_3_0 = four_sums(mine, slab_row_0, quad) * (row_factors[row_3_0] * factors);
  let value_3_0 = finished(column, scaled_3_0, added_0);
  added_0 = next_3_0;
  let row_3_1 = subgroup_row + 16u * 3u + slab_row_1;
  let scaled_3_1 = four_sums(mine, slab_row_1, quad) * (row_factors[row_3_1] * factors);
  let value_3_1 = finished(column, scaled_3_1, added_1);
  added_1 = next_3_1;
  let row_3_2 = subgroup_row + 16u * 3u + slab_row_2;
  let scaled_3_2 = four_sums(mine, slab_row_2, quad) * (row_factors[row_3_2] * factors);
  let value_3_2 = finished(column, scaled_3_2, added_2);
  added_2 = next_3_2;
  let row_3_3 = subgroup_row + 16u * 3u + slab_row_3;
  let scaled_3_3 = four_sums(mine, slab_row_3, quad) * (row_factors[row_3_3] * factors);
  let value_3_3 = finished(column, scaled_3_3, added_3);
  added_3 = next_3_3;
  let row_3_4 = subgroup_row + 16u * 3u + slab_row_4;
  let scaled_3_4 = four_sums(mine, slab_row_4, quad) * (row_factors[row_3_4] * factors);
  let value_3_4 = finished(column, scaled_3_4, added_4);
  added_4 = next_3_4;
  let row_3_5 = subgroup_row + 16u * 3u + slab_row_5;
  let scaled_3_5 = four_sums(mine, slab_row_5, quad) * (row_factors[row_3_5] * factors);
  let value_3_5 = finished(column, scaled_3_5, added_5);
  added_5 = next_3_5;
  let row_3_6 = subgroup_row + 16u * 3u + slab_row_6;
  let scaled_3_6 = four_sums(mine, slab_row_6, quad) * (row_factors[row_3_6] * factors);
  let value_3_6 = finished(column, scaled_3_6, added_6);
  added_6 = next_3_6;
  let row_3_7 = subgroup_row + 16u * 3u + slab_row_7;
  let scaled_3_7 = four_sums(mine, slab_row_7, quad) * (row_factors[row_3_7] * factors);
  let value_3_7 = finished(column, scaled_3_7, added_7);
  added_7 = next_3_7;
  put(group.z, m0 + row_3_0, column, value_3_0);
  put(group.z, m0 + row_3_1, column, value_3_1);
  put(group.z, m0 + row_3_2, column, value_3_2);
  put(group.z, m0 + row_3_3, column, value_3_3);
  put(group.z, m0 + row_3_4, column, value_3_4);
  put(group.z, m0 + row_3_5, column, value_3_5);
  put(group.z, m0 + row_3_6, column, value_3_6);
  put(group.z, m0 + row_3_7, column, value_3_7);

}

