enable f16;
const BM = 128;
const BN = 64;
const BK = 32;
const TM = 8;
const TN = 8;
const A_LOADS = 4;
const B_LOADS = 2;
const PROMOTE = 4;
const BAND = 16;
// Matrix product with packed half-precision arithmetic: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], both from pack.wgsl.
//
// a, b: f16 in panels of BM and BN, rounded up to whole ones, and k filled up with zeros.
// Idea: a pair (k, k + 1) of one operand is multiplied by a pair of the other, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. The two halves of a sum are joined when it
// is promoted to f32, every PROMOTE steps of BK: f16 sums stay short. k is a multiple of BK.
// A step's values wait in workgroup memory, the next step's are fetched into registers meanwhile.
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
  k: u32, split_k: u32,
  out_pitch: u32, out_column: u32,
  second_from: u32, second_pitch: u32,
  addend_pitch: u32, // OPTIONAL: 0 without an addend, as second_from is past all columns without a second output
  alpha: f32,
  has_row_scales: u32,
  has_column_scales: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> out: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> second_output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> addend: array<vec4<f32>>;

// Results are made in two parts, so that a thread can read all that its results need before it writes any of them:
// a compiler must not move a read over a write that might be to the same memory, and would wait for each in turn.

// What the sums of a row are multiplied by.
fn row_factor(row: u32) -> f32 {
  if (params.has_row_scales == 0u) { return params.alpha; }
  return params.alpha / row_scales[min(row, params.m - 1u)];
}

// And those of four columns, from one that is a multiple of 4.
fn column_factors(column: u32) -> vec4<f32> {
  if (params.has_column_scales == 0u) { return vec4<f32>(1.0); }
  return 1.0 / column_scales[min(column, (params.n - 1u) & ~3u) / 4u];
}

// The nearest column from which on something is added to results; those outside only have to read inside.
fn kept_column(column: u32) -> u32 {
  let c = min(column, (params.n - 1u) & ~3u);
  return min(c, params.second_from - 4u);
}

fn addend_values(row: u32, kept: u32) -> vec4<f32> {
  return addend[(min(row, params.m - 1u) * params.addend_pitch + kept) / 4u];
}


// What four sums of a row come to, multiplied by these, from a column that is a multiple of 4.
fn finished(part: u32, row: u32, column: u32, scaled: vec4<f32>) -> vec4<f32> {
  // Columns behind n stay zero: operands may hold anything there.
  let inside = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  var value = select(vec4<f32>(), scaled, inside);
  let kept = kept_column(column);
  if (params.addend_pitch == 0u) { return value; }
  value += select(vec4<f32>(), addend_values(row, kept), kept == column);
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


alias Pairs = array<vec4<f16>, 2>; // four neighbours along m or n, each a pair along k

@group(0) @binding(1) var<storage, read> a: array<Pairs>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;

const THREADS = (BM / TM) * (BN / TN);
const STEP_PAIRS = BK / 2;

var<workgroup> a_tile: array<array<Pairs, BM / 4>, STEP_PAIRS>;
var<workgroup> b_tile: array<array<Pairs, BN / 4>, STEP_PAIRS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  let a_pair = thread / (BM / 4u);
  let a_quad = thread % (BM / 4u);
  let b_pair = thread / (BN / 4u);
  let b_quad = thread % (BN / 4u);
  let a_at = place.y * params.k / 2u * (BM / 4u) + thread;
  let b_at = place.x * params.k / 2u * (BN / 4u) + thread;
  // Named once: an index that is computed again in every step costs a twentieth of the time under naga.
  let a_to_0 = a_pair + 0u * (THREADS / (BM / 4u));
  let a_to_1 = a_pair + 1u * (THREADS / (BM / 4u));
  let a_to_2 = a_pair + 2u * (THREADS / (BM / 4u));
  let a_to_3 = a_pair + 3u * (THREADS / (BM / 4u));
  let b_to_0 = b_pair + 0u * (THREADS / (BN / 4u));
  let b_to_1 = b_pair + 1u * (THREADS / (BN / 4u));
  let a_from_0 = tm + 0u * (BM / TM);
  let a_from_1 = tm + 1u * (BM / TM);
  let b_from_0 = tn + 0u * (BN / TN);
  let b_from_1 = tn + 1u * (BN / TN);
  var a_next_0 = a[a_at + k_begin / 2u * (BM / 4u) + 0u * THREADS];
  var a_next_1 = a[a_at + k_begin / 2u * (BM / 4u) + 1u * THREADS];
  var a_next_2 = a[a_at + k_begin / 2u * (BM / 4u) + 2u * THREADS];
  var a_next_3 = a[a_at + k_begin / 2u * (BM / 4u) + 3u * THREADS];
  var b_next_0 = b[b_at + k_begin / 2u * (BN / 4u) + 0u * THREADS];
  var b_next_1 = b[b_at + k_begin / 2u * (BN / 4u) + 1u * THREADS];

  var sum_00_00 = vec2<f32>();
  var sum_00_01 = vec2<f32>();
  var sum_00_10 = vec2<f32>();
  var sum_00_11 = vec2<f32>();
  var sum_01_00 = vec2<f32>();
  var sum_01_01 = vec2<f32>();
  var sum_01_10 = vec2<f32>();
  var sum_01_11 = vec2<f32>();
  var sum_02_00 = vec2<f32>();
  var sum_02_01 = vec2<f32>();
  var sum_02_10 = vec2<f32>();
  var sum_02_11 = vec2<f32>();
  var sum_03_00 = vec2<f32>();
  var sum_03_01 = vec2<f32>();
  var sum_03_10 = vec2<f32>();
  var sum_03_11 = vec2<f32>();
  var sum_10_00 = vec2<f32>();
  var sum_10_01 = vec2<f32>();
  var sum_10_10 = vec2<f32>();
  var sum_10_11 = vec2<f32>();
  var sum_11_00 = vec2<f32>();
  var sum_11_01 = vec2<f32>();
  var sum_11_10 = vec2<f32>();
  var sum_11_11 = vec2<f32>();
  var sum_12_00 = vec2<f32>();
  var sum_12_01 = vec2<f32>();
  var sum_12_10 = vec2<f32>();
  var sum_12_11 = vec2<f32>();
  var sum_13_00 = vec2<f32>();
  var sum_13_01 = vec2<f32>();
  var sum_13_10 = vec2<f32>();
  var sum_13_11 = vec2<f32>();
  for (var k_sum = k_begin; k_sum < k_end; k_sum += BK * PROMOTE) {
    var half_00_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_00_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_00_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_00_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_10 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_11 = vec4<f16>(); // here, so that it takes no register while values are moved
    let k_stop = min(k_sum + BK * PROMOTE, k_end);
    for (var k0 = k_sum; k0 < k_stop; k0 += BK) {
      workgroupBarrier();
      a_tile[a_to_0][a_quad] = a_next_0;
      a_tile[a_to_1][a_quad] = a_next_1;
      a_tile[a_to_2][a_quad] = a_next_2;
      a_tile[a_to_3][a_quad] = a_next_3;
      b_tile[b_to_0][b_quad] = b_next_0;
      b_tile[b_to_1][b_quad] = b_next_1;
      workgroupBarrier();
      // The last step fetches its own values again: cheaper than to ask.
      let next = min(k0 + BK, k_end - BK) / 2u;
      a_next_0 = a[a_at + next * (BM / 4u) + 0u * THREADS];
      a_next_1 = a[a_at + next * (BM / 4u) + 1u * THREADS];
      a_next_2 = a[a_at + next * (BM / 4u) + 2u * THREADS];
      a_next_3 = a[a_at + next * (BM / 4u) + 3u * THREADS];
      b_next_0 = b[b_at + next * (BN / 4u) + 0u * THREADS];
      b_next_1 = b[b_at + next * (BN / 4u) + 1u * THREADS];
      {
        let a_0 = a_tile[0][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[0][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[0][b_from_0];
        let b_1 = b_tile[0][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[1][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[1][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[1][b_from_0];
        let b_1 = b_tile[1][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[2][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[2][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[2][b_from_0];
        let b_1 = b_tile[2][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[3][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[3][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[3][b_from_0];
        let b_1 = b_tile[3][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[4][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[4][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[4][b_from_0];
        let b_1 = b_tile[4][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[5][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[5][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[5][b_from_0];
        let b_1 = b_tile[5][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[6][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[6][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[6][b_from_0];
        let b_1 = b_tile[6][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[7][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[7][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[7][b_from_0];
        let b_1 = b_tile[7][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[8][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[8][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[8][b_from_0];
        let b_1 = b_tile[8][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[9][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[9][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[9][b_from_0];
        let b_1 = b_tile[9][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[10][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[10][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[10][b_from_0];
        let b_1 = b_tile[10][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[11][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[11][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[11][b_from_0];
        let b_1 = b_tile[11][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[12][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[12][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[12][b_from_0];
        let b_1 = b_tile[12][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[13][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[13][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[13][b_from_0];
        let b_1 = b_tile[13][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[14][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[14][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[14][b_from_0];
        let b_1 = b_tile[14][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
      {
        let a_0 = a_tile[15][a_from_0];
        let a_00 = a_0[0].xyxy;
        let a_01 = a_0[0].zwzw;
        let a_02 = a_0[1].xyxy;
        let a_03 = a_0[1].zwzw;
        let a_1 = a_tile[15][a_from_1];
        let a_10 = a_1[0].xyxy;
        let a_11 = a_1[0].zwzw;
        let a_12 = a_1[1].xyxy;
        let a_13 = a_1[1].zwzw;
        let b_0 = b_tile[15][b_from_0];
        let b_1 = b_tile[15][b_from_1];
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_00_10 = fma(a_00, b_1[0], half_00_10);
        half_00_11 = fma(a_00, b_1[1], half_00_11);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_01_10 = fma(a_01, b_1[0], half_01_10);
        half_01_11 = fma(a_01, b_1[1], half_01_11);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_02_10 = fma(a_02, b_1[0], half_02_10);
        half_02_11 = fma(a_02, b_1[1], half_02_11);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_03_10 = fma(a_03, b_1[0], half_03_10);
        half_03_11 = fma(a_03, b_1[1], half_03_11);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_10_10 = fma(a_10, b_1[0], half_10_10);
        half_10_11 = fma(a_10, b_1[1], half_10_11);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_11_10 = fma(a_11, b_1[0], half_11_10);
        half_11_11 = fma(a_11, b_1[1], half_11_11);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_12_10 = fma(a_12, b_1[0], half_12_10);
        half_12_11 = fma(a_12, b_1[1], half_12_11);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
        half_13_10 = fma(a_13, b_1[0], half_13_10);
        half_13_11 = fma(a_13, b_1[1], half_13_11);
      }
    }
    {
      let wide = vec4<f32>(half_00_00);
      sum_00_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_00_01);
      sum_00_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_00_10);
      sum_00_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_00_11);
      sum_00_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_01_00);
      sum_01_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_01_01);
      sum_01_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_01_10);
      sum_01_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_01_11);
      sum_01_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_02_00);
      sum_02_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_02_01);
      sum_02_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_02_10);
      sum_02_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_02_11);
      sum_02_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_03_00);
      sum_03_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_03_01);
      sum_03_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_03_10);
      sum_03_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_03_11);
      sum_03_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_10_00);
      sum_10_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_10_01);
      sum_10_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_10_10);
      sum_10_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_10_11);
      sum_10_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_11_00);
      sum_11_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_11_01);
      sum_11_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_11_10);
      sum_11_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_11_11);
      sum_11_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_12_00);
      sum_12_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_12_01);
      sum_12_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_12_10);
      sum_12_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_12_11);
      sum_12_11 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_13_00);
      sum_13_00 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_13_01);
      sum_13_01 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_13_10);
      sum_13_10 += wide.xz + wide.yw;
    }
    {
      let wide = vec4<f32>(half_13_11);
      sum_13_11 += wide.xz + wide.yw;
    }
  }

  let sum_0_0_0 = vec4<f32>(sum_00_00, sum_00_01);
  let sum_0_0_1 = vec4<f32>(sum_00_10, sum_00_11);
  let sum_0_1_0 = vec4<f32>(sum_01_00, sum_01_01);
  let sum_0_1_1 = vec4<f32>(sum_01_10, sum_01_11);
  let sum_0_2_0 = vec4<f32>(sum_02_00, sum_02_01);
  let sum_0_2_1 = vec4<f32>(sum_02_10, sum_02_11);
  let sum_0_3_0 = vec4<f32>(sum_03_00, sum_03_01);
  let sum_0_3_1 = vec4<f32>(sum_03_10, sum_03_11);
  let sum_1_0_0 = vec4<f32>(sum_10_00, sum_10_01);
  let sum_1_0_1 = vec4<f32>(sum_10_10, sum_10_11);
  let sum_1_1_0 = vec4<f32>(sum_11_00, sum_11_01);
  let sum_1_1_1 = vec4<f32>(sum_11_10, sum_11_11);
  let sum_1_2_0 = vec4<f32>(sum_12_00, sum_12_01);
  let sum_1_2_1 = vec4<f32>(sum_12_10, sum_12_11);
  let sum_1_3_0 = vec4<f32>(sum_13_00, sum_13_01);
  let sum_1_3_1 = vec4<f32>(sum_13_10, sum_13_11);
// Writes the sums of a thread of the GEMM kernels without tensor cores, sum_i_c_j for row c of row block i and column
// block j, all vec4s of columns. Pasted at the end of `main`. Include-only.
//
// All results are finished before any is written: see gemm_output.wgsl.
  let factors_0 = column_factors(n0 + b_from_0 * 4u);
  let factors_1 = column_factors(n0 + b_from_1 * 4u);
  let factor_00 = row_factor(m0 + a_from_0 * 4u + 0u);
  let value_0_0_0 = finished(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_0 * 4u,
    sum_0_0_0 * (factor_00 * factors_0));
  let value_0_0_1 = finished(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_1 * 4u,
    sum_0_0_1 * (factor_00 * factors_1));
  let factor_01 = row_factor(m0 + a_from_0 * 4u + 1u);
  let value_0_1_0 = finished(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_0 * 4u,
    sum_0_1_0 * (factor_01 * factors_0));
  let value_0_1_1 = finished(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_1 * 4u,
    sum_0_1_1 * (factor_01 * factors_1));
  let factor_02 = row_factor(m0 + a_from_0 * 4u + 2u);
  let value_0_2_0 = finished(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_0 * 4u,
    sum_0_2_0 * (factor_02 * factors_0));
  let value_0_2_1 = finished(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_1 * 4u,
    sum_0_2_1 * (factor_02 * factors_1));
  let factor_03 = row_factor(m0 + a_from_0 * 4u + 3u);
  let value_0_3_0 = finished(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_0 * 4u,
    sum_0_3_0 * (factor_03 * factors_0));
  let value_0_3_1 = finished(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_1 * 4u,
    sum_0_3_1 * (factor_03 * factors_1));
  let factor_10 = row_factor(m0 + a_from_1 * 4u + 0u);
  let value_1_0_0 = finished(group.z, m0 + a_from_1 * 4u + 0u, n0 + b_from_0 * 4u,
    sum_1_0_0 * (factor_10 * factors_0));
  let value_1_0_1 = finished(group.z, m0 + a_from_1 * 4u + 0u, n0 + b_from_1 * 4u,
    sum_1_0_1 * (factor_10 * factors_1));
  let factor_11 = row_factor(m0 + a_from_1 * 4u + 1u);
  let value_1_1_0 = finished(group.z, m0 + a_from_1 * 4u + 1u, n0 + b_from_0 * 4u,
    sum_1_1_0 * (factor_11 * factors_0));
  let value_1_1_1 = finished(group.z, m0 + a_from_1 * 4u + 1u, n0 + b_from_1 * 4u,
    sum_1_1_1 * (factor_11 * factors_1));
  let factor_12 = row_factor(m0 + a_from_1 * 4u + 2u);
  let value_1_2_0 = finished(group.z, m0 + a_from_1 * 4u + 2u, n0 + b_from_0 * 4u,
    sum_1_2_0 * (factor_12 * factors_0));
  let value_1_2_1 = finished(group.z, m0 + a_from_1 * 4u + 2u, n0 + b_from_1 * 4u,
    sum_1_2_1 * (factor_12 * factors_1));
  let factor_13 = row_factor(m0 + a_from_1 * 4u + 3u);
  let value_1_3_0 = finished(group.z, m0 + a_from_1 * 4u + 3u, n0 + b_from_0 * 4u,
    sum_1_3_0 * (factor_13 * factors_0));
  let value_1_3_1 = finished(group.z, m0 + a_from_1 * 4u + 3u, n0 + b_from_1 * 4u,
    sum_1_3_1 * (factor_13 * factors_1));
  put(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_0 * 4u, value_0_0_0);
  put(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_1 * 4u, value_0_0_1);
  put(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_0 * 4u, value_0_1_0);
  put(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_1 * 4u, value_0_1_1);
  put(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_0 * 4u, value_0_2_0);
  put(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_1 * 4u, value_0_2_1);
  put(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_0 * 4u, value_0_3_0);
  put(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_1 * 4u, value_0_3_1);
  put(group.z, m0 + a_from_1 * 4u + 0u, n0 + b_from_0 * 4u, value_1_0_0);
  put(group.z, m0 + a_from_1 * 4u + 0u, n0 + b_from_1 * 4u, value_1_0_1);
  put(group.z, m0 + a_from_1 * 4u + 1u, n0 + b_from_0 * 4u, value_1_1_0);
  put(group.z, m0 + a_from_1 * 4u + 1u, n0 + b_from_1 * 4u, value_1_1_1);
  put(group.z, m0 + a_from_1 * 4u + 2u, n0 + b_from_0 * 4u, value_1_2_0);
  put(group.z, m0 + a_from_1 * 4u + 2u, n0 + b_from_1 * 4u, value_1_2_1);
  put(group.z, m0 + a_from_1 * 4u + 3u, n0 + b_from_0 * 4u, value_1_3_0);
  put(group.z, m0 + a_from_1 * 4u + 3u, n0 + b_from_1 * 4u, value_1_3_1);

}

