const BM = 4;
const BN = 8;
const BK = 64;
const GROUPS = 8;
// Matrix product of few rows of int8 codes: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: as for gemm_int8.wgsl. Reading B once is all the time there is, so nothing of it goes through workgroup memory.
// Idea: four neighbouring threads read the 64 codes of a row of B in a step, BN times as many a run of memory, and every
// GROUPS-th step is theirs. Each multiplies them by the codes of BM rows of A, and what all have is added at the end.
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
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
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

// Exact sums a[i] · b[i] of four signed bytes each, packed in a u32, the first in the lowest bits. Include-only.
//
// PACKED_DOT: WGSL has it built in (language feature packed_4x8_integer_dot_product), and GPUs as one instruction.

fn dot4(a: u32, b: u32) -> i32 {
  return dot4I8Packed(a, b);
}

// The same of sixteen.
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}


@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 4 * BN * GROUPS;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

var<workgroup> parts: array<array<vec4<i32>, BN * GROUPS>, BM>; // of the four threads of a row and step
var<workgroup> totals: array<array<vec4<i32>, BN / 4>, BM>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let steps = params.k / 64u;
  let vector = thread % 4u;
  let column = thread / 4u % BN;
  let first = thread / (4u * BN);
  let a_at = (m0 / 128u * (params.a_pitch / 64u) + params.a_column / 64u) * BLOCK + m0 % 128u * 4u + vector;
  let b_at = (n0 / 128u * (params.b_pitch / 64u) + params.b_column / 64u) * BLOCK + (n0 % 128u + column) * 4u + vector;
  var sum_0 = 0i;
  var sum_1 = 0i;
  var sum_2 = 0i;
  var sum_3 = 0i;
  for (var step = first; step < steps; step += GROUPS) {
    let codes = b[b_at + step * BLOCK];
    sum_0 += dot16(a[a_at + step * BLOCK + 0u * 4u], codes);
    sum_1 += dot16(a[a_at + step * BLOCK + 1u * 4u], codes);
    sum_2 += dot16(a[a_at + step * BLOCK + 2u * 4u], codes);
    sum_3 += dot16(a[a_at + step * BLOCK + 3u * 4u], codes);
  }
  parts[0][thread / 4u][vector] = sum_0;
  parts[1][thread / 4u][vector] = sum_1;
  parts[2][thread / 4u][vector] = sum_2;
  parts[3][thread / 4u][vector] = sum_3;
  workgroupBarrier();
  if (thread < BM * BN) {
    let row = thread / BN;
    var all = vec4<i32>();
    for (var g = 0u; g < GROUPS; g += 1u) { all += parts[row][g * BN + thread % BN]; }
    totals[row][thread % BN / 4u][thread % 4u] = all.x + all.y + all.z + all.w;
  }
  workgroupBarrier();
  if (thread >= BM * BN / 4) { return; }
  let row = thread / (BN / 4u);
  let quad = thread % (BN / 4u);
  let sum = vec4<f32>(totals[row][quad]);
  let scaled = sum * (row_factor(m0 + row) * column_factors(n0 + 4u * quad));
  put(group.z, m0 + row, n0 + 4u * quad, finished(group.z, m0 + row, n0 + 4u * quad, scaled));
}

