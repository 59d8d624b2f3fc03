const BM = 32;
const BN = 32;
const BK = 64;
const TM = 4;
const TN = 4;
const A_LOADS = 1;
const B_LOADS = 1;
const AT_ONCE = 16;
const BAND = 16;
// Matrix product of int8 codes without tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; params.k is a multiple of 64, and one of both is
// zero from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: four neighbours along k are multiplied by one instruction. So words of four codes wait in workgroup memory as
// [word][row], and a vector of them is four rows: a thread fetches 16 codes of four rows and transposes their words in
// its registers on the way. The next step's words are fetched while this one's are multiplied.
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

const THREADS = (BM / TM) * (BN / TN);
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

// One more vector per word, so that the stores of neighbouring threads, of different words, meet different banks.
var<workgroup> a_tile: array<array<vec4<u32>, BM / 4 + 1>, 16>;
var<workgroup> b_tile: array<array<vec4<u32>, BN / 4 + 1>, 16>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let steps = params.k / 64u;
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
  let vector = thread % 4u;
  let to_0 = vector * 4u + 0u;
  let to_1 = vector * 4u + 1u;
  let to_2 = vector * 4u + 2u;
  let to_3 = vector * 4u + 3u;
  let a_panel = (m0 / 128u * (params.a_pitch / 64u) + params.a_column / 64u) * BLOCK + m0 % 128u * 4u;
  let a_quad_0 = thread / 4u + 0u * (THREADS / 4u);
  let a_at_0 = a_panel + a_quad_0 * 16u + vector;
  var a_next_0_0 = vec4<u32>();
  var a_next_0_1 = vec4<u32>();
  var a_next_0_2 = vec4<u32>();
  var a_next_0_3 = vec4<u32>();
  let b_panel = (n0 / 128u * (params.b_pitch / 64u) + params.b_column / 64u) * BLOCK + n0 % 128u * 4u;
  let b_quad_0 = thread / 4u + 0u * (THREADS / 4u);
  let b_at_0 = b_panel + b_quad_0 * 16u + vector;
  var b_next_0_0 = vec4<u32>();
  var b_next_0_1 = vec4<u32>();
  var b_next_0_2 = vec4<u32>();
  var b_next_0_3 = vec4<u32>();
  let a_from_0 = tm + 0u * (BM / TM);
  let b_from_0 = tn + 0u * (BN / TN);
  var total_0_0_0 = vec4<i32>();
  var total_0_1_0 = vec4<i32>();
  var total_0_2_0 = vec4<i32>();
  var total_0_3_0 = vec4<i32>();

// Fetches a thread's words of both operands of gemm_int8.wgsl for the step STEP: pasted into `main` before the first
// step, and into each step for the next one. Include-only.
  if (a_quad_0 < BM / 4) {
    a_next_0_0 = a[a_at_0 + 0u * BLOCK + 0u * 4u];
    a_next_0_1 = a[a_at_0 + 0u * BLOCK + 1u * 4u];
    a_next_0_2 = a[a_at_0 + 0u * BLOCK + 2u * 4u];
    a_next_0_3 = a[a_at_0 + 0u * BLOCK + 3u * 4u];
  }
  if (b_quad_0 < BN / 4) {
    b_next_0_0 = b[b_at_0 + 0u * BLOCK + 0u * 4u];
    b_next_0_1 = b[b_at_0 + 0u * BLOCK + 1u * 4u];
    b_next_0_2 = b[b_at_0 + 0u * BLOCK + 2u * 4u];
    b_next_0_3 = b[b_at_0 + 0u * BLOCK + 3u * 4u];
  }

  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
    if (a_quad_0 < BM / 4) {
      a_tile[to_0][a_quad_0] =
        vec4<u32>(a_next_0_0[0], a_next_0_1[0], a_next_0_2[0], a_next_0_3[0]);
      a_tile[to_1][a_quad_0] =
        vec4<u32>(a_next_0_0[1], a_next_0_1[1], a_next_0_2[1], a_next_0_3[1]);
      a_tile[to_2][a_quad_0] =
        vec4<u32>(a_next_0_0[2], a_next_0_1[2], a_next_0_2[2], a_next_0_3[2]);
      a_tile[to_3][a_quad_0] =
        vec4<u32>(a_next_0_0[3], a_next_0_1[3], a_next_0_2[3], a_next_0_3[3]);
    }
    if (b_quad_0 < BN / 4) {
      b_tile[to_0][b_quad_0] =
        vec4<u32>(b_next_0_0[0], b_next_0_1[0], b_next_0_2[0], b_next_0_3[0]);
      b_tile[to_1][b_quad_0] =
        vec4<u32>(b_next_0_0[1], b_next_0_1[1], b_next_0_2[1], b_next_0_3[1]);
      b_tile[to_2][b_quad_0] =
        vec4<u32>(b_next_0_0[2], b_next_0_1[2], b_next_0_2[2], b_next_0_3[2]);
      b_tile[to_3][b_quad_0] =
        vec4<u32>(b_next_0_0[3], b_next_0_1[3], b_next_0_2[3], b_next_0_3[3]);
    }
    workgroupBarrier();
    // The last step fetches its own words again: cheaper than to ask.
    let next = min(step + 1u, steps - 1u);
// Fetches a thread's words of both operands of gemm_int8.wgsl for the step STEP: pasted into `main` before the first
// step, and into each step for the next one. Include-only.
  if (a_quad_0 < BM / 4) {
    a_next_0_0 = a[a_at_0 + next * BLOCK + 0u * 4u];
    a_next_0_1 = a[a_at_0 + next * BLOCK + 1u * 4u];
    a_next_0_2 = a[a_at_0 + next * BLOCK + 2u * 4u];
    a_next_0_3 = a[a_at_0 + next * BLOCK + 3u * 4u];
  }
  if (b_quad_0 < BN / 4) {
    b_next_0_0 = b[b_at_0 + next * BLOCK + 0u * 4u];
    b_next_0_1 = b[b_at_0 + next * BLOCK + 1u * 4u];
    b_next_0_2 = b[b_at_0 + next * BLOCK + 2u * 4u];
    b_next_0_3 = b[b_at_0 + next * BLOCK + 3u * 4u];
  }

    {
      const word = 0u; // known, so that nothing is computed to stay in bounds
      {
        let a_0 = a_tile[word + 0][a_from_0];
        let b_0 = b_tile[word + 0][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 1][a_from_0];
        let b_0 = b_tile[word + 1][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 2][a_from_0];
        let b_0 = b_tile[word + 2][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 3][a_from_0];
        let b_0 = b_tile[word + 3][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 4][a_from_0];
        let b_0 = b_tile[word + 4][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 5][a_from_0];
        let b_0 = b_tile[word + 5][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 6][a_from_0];
        let b_0 = b_tile[word + 6][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 7][a_from_0];
        let b_0 = b_tile[word + 7][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 8][a_from_0];
        let b_0 = b_tile[word + 8][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 9][a_from_0];
        let b_0 = b_tile[word + 9][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 10][a_from_0];
        let b_0 = b_tile[word + 10][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 11][a_from_0];
        let b_0 = b_tile[word + 11][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 12][a_from_0];
        let b_0 = b_tile[word + 12][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 13][a_from_0];
        let b_0 = b_tile[word + 13][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 14][a_from_0];
        let b_0 = b_tile[word + 14][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
      {
        let a_0 = a_tile[word + 15][a_from_0];
        let b_0 = b_tile[word + 15][b_from_0];
        total_0_0_0 += vec4<i32>(
          dot4(a_0[0], b_0.x), dot4(a_0[0], b_0.y), dot4(a_0[0], b_0.z), dot4(a_0[0], b_0.w));
        total_0_1_0 += vec4<i32>(
          dot4(a_0[1], b_0.x), dot4(a_0[1], b_0.y), dot4(a_0[1], b_0.z), dot4(a_0[1], b_0.w));
        total_0_2_0 += vec4<i32>(
          dot4(a_0[2], b_0.x), dot4(a_0[2], b_0.y), dot4(a_0[2], b_0.z), dot4(a_0[2], b_0.w));
        total_0_3_0 += vec4<i32>(
          dot4(a_0[3], b_0.x), dot4(a_0[3], b_0.y), dot4(a_0[3], b_0.z), dot4(a_0[3], b_0.w));
      }
    }
  }

  let sum_0_0_0 = vec4<f32>(total_0_0_0);
  let sum_0_1_0 = vec4<f32>(total_0_1_0);
  let sum_0_2_0 = vec4<f32>(total_0_2_0);
  let sum_0_3_0 = vec4<f32>(total_0_3_0);
// Writes the sums of a thread of the GEMM kernels without tensor cores, sum_i_c_j for row c of row block i and column
// block j, all vec4s of columns. Pasted at the end of `main`. Include-only.
//
// All results are finished before any is written: see gemm_output.wgsl.
  let factors_0 = column_factors(n0 + b_from_0 * 4u);
  let factor_00 = row_factor(m0 + a_from_0 * 4u + 0u);
  let value_0_0_0 = finished(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_0 * 4u,
    sum_0_0_0 * (factor_00 * factors_0));
  let factor_01 = row_factor(m0 + a_from_0 * 4u + 1u);
  let value_0_1_0 = finished(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_0 * 4u,
    sum_0_1_0 * (factor_01 * factors_0));
  let factor_02 = row_factor(m0 + a_from_0 * 4u + 2u);
  let value_0_2_0 = finished(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_0 * 4u,
    sum_0_2_0 * (factor_02 * factors_0));
  let factor_03 = row_factor(m0 + a_from_0 * 4u + 3u);
  let value_0_3_0 = finished(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_0 * 4u,
    sum_0_3_0 * (factor_03 * factors_0));
  put(group.z, m0 + a_from_0 * 4u + 0u, n0 + b_from_0 * 4u, value_0_0_0);
  put(group.z, m0 + a_from_0 * 4u + 1u, n0 + b_from_0 * 4u, value_0_1_0);
  put(group.z, m0 + a_from_0 * 4u + 2u, n0 + b_from_0 * 4u, value_0_2_0);
  put(group.z, m0 + a_from_0 * 4u + 3u, n0 + b_from_0 * 4u, value_0_3_0);

}

