const BM = 128;
const BN = 64;
const BK = 16;
const TM = 8;
const TN = 8;
const A_LOADS = 1;
const B_LOADS = 1;
// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then
// each thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is
// multiplied. Pitches and columns are multiples of 4, and columns between a matrix' width and its pitch are zero by
// invariant, so only row indices need guards: rows behind the last repeat it where they are outer, as their products
// are not written, and count as zeros where they are contracted.
//
// Workgroups along z each take a split of k and write a partial product; sum_partials adds them.
// The FP8 codec of src/numerics/fp8.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding gives the codes of the TypeScript, bit for bit, in a third of the operations: the adder rounds.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

// The codes of four magnitudes, none above the largest finite value, as mantissa bits stored and the exponent of 1 give
// them: f16's too.
//
// A magnitude m in [2^e, 2^(e+1)) plus 2^(e + 23 - mantissa) is rounded by the f32 adder, to nearest even, to steps of
// 2^(e - mantissa), and what the sum's bits are above the power's is the number of those steps: mantissa and implicit
// bit of the code, a carry into the exponent included. With e no less than the smallest normal exponent this holds for
// subnormal codes too, whose implicit bit is missing by itself. The steps are counted on the bits, since a compiler may
// simplify (m + power) - power but not the difference of integers.
fn encode4(magnitude: vec4<f32>, mantissa: u32, bias: u32) -> vec4<u32> {
  let smallest = vec4<u32>((128u - bias) << 23u);
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), smallest) + vec4<u32>((23u - mantissa) << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power;
  // Exponent field of the code, less the implicit bit: (e + bias - 1) << mantissa.
  return steps + (power >> vec4<u32>(23u - mantissa)) - vec4<u32>((151u - mantissa - bias) << mantissa);
}

fn pack4_fp8(v: vec4<f32>, max_value: f32, mantissa: u32, bias: u32) -> u32 {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(max_value)), mantissa, bias) | ((bits >> vec4<u32>(24u)) & vec4<u32>(0x80u));
  let codes = select(finite, vec4<u32>(0x7fu), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

fn pack4_e4m3(v: vec4<f32>) -> u32 { return pack4_fp8(v, 448.0, 3u, 7u); }
fn pack4_e5m2(v: vec4<f32>) -> u32 { return pack4_fp8(v, 57344.0, 2u, 15u); }

// Four values times 2^-8: an e4m3 code shifted into an f16 is off by the difference of the exponent biases.
// The NaN code comes out as 480 / 256: the GEMM gains nothing from a test, since a NaN in an activation
// also reaches the loss through the residual stream, which is not quantised.
fn unpack4_e4m3_scaled(codes: u32) -> vec4<f32> {
  let odd = codes >> 8u;
  let even_values = unpack2x16float(((codes & 0x00800080u) << 8u) | ((codes & 0x007f007fu) << 7u));
  let odd_values = unpack2x16float(((odd & 0x00800080u) << 8u) | ((odd & 0x007f007fu) << 7u));
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// Four values, NaN included.
fn unpack4_e4m3(codes: u32) -> vec4<f32> {
  let bytes = vec4<u32>(codes, codes >> 8u, codes >> 16u, codes >> 24u) & vec4<u32>(0x7fu);
  let nan = vec4<f32>(bitcast<f32>(0x7fc00000u | (codes & 0u)));
  return select(unpack4_e4m3_scaled(codes) * 256.0, nan, bytes == vec4<u32>(0x7fu));
}

// Four values, infinities and NaN included: e5m2 is the upper byte of an f16.
fn unpack4_e5m2(codes: u32) -> vec4<f32> {
  let even_values = unpack2x16float((codes << 8u) & 0xff00ff00u);
  let odd_values = unpack2x16float(codes & 0xff00ff00u);
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// Results are made in two parts, so that a thread can read all that its results need before it writes any of them:
// a compiler must not move a read over a write that might be to the same memory, and would wait for each in turn.

// What the sums of a row are multiplied by.
fn row_factor(row: u32) -> f32 {
  return params.alpha;
}

// And those of four columns, from one that is a multiple of 4.
fn column_factors(column: u32) -> vec4<f32> {
  return vec4<f32>(1.0);
}

// The nearest column from which on something is added to results; those outside only have to read inside.
fn kept_column(column: u32) -> u32 {
  let c = min(column, (params.n - 1u) & ~3u);
  return c;
}



// What four sums of a row come to, multiplied by these, from a column that is a multiple of 4.
fn finished(part: u32, row: u32, column: u32, scaled: vec4<f32>) -> vec4<f32> {
  // Columns behind n stay zero: operands may hold anything there.
  let inside = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  var value = select(vec4<f32>(), scaled, inside);
  let kept = kept_column(column);
  return value;
}

fn put(part: u32, row: u32, column: u32, value: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
  out[at] = value;
}


const THREADS = (BM / TM) * (BN / TN);

// Both operands: their bindings, blocks and tiles.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
const A_BLOCKS = BM * BK / 16;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4 + 1>, BK>;

// Four elements starting at element `i` (a multiple of 4), as the format is decoded fastest: alpha undoes the factor.
fn a4(i: u32) -> vec4<f32> {
  return a[i / 4u];
}

// Which 4×4 block a task fetches, along the outer index and along k: neighbouring threads walk the direction that is
// contiguous in memory.
fn a_task(task: u32) -> vec2<u32> {
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
}

@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
const B_BLOCKS = BN * BK / 16;

var<workgroup> b_tile: array<array<vec4<f32>, BN / 4 + 1>, BK>;

// Four elements starting at element `i` (a multiple of 4), as the format is decoded fastest: alpha undoes the factor.
fn b4(i: u32) -> vec4<f32> {
  return b[i / 4u];
}

// Which 4×4 block a task fetches, along the outer index and along k: neighbouring threads walk the direction that is
// contiguous in memory.
fn b_task(task: u32) -> vec2<u32> {
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
  let a_fetches_0 = thread + 0u * THREADS < A_BLOCKS;
  let a_at_0 = a_task(thread + 0u * THREADS);
  let a_to_0_0 = a_at_0.y * 4u + 0u;
  let a_of_0_0 = min(m0 + a_at_0.x * 4u + 0u, params.m - 1u) * params.a_pitch + params.a_column + a_at_0.y * 4u;
  let a_to_0_1 = a_at_0.y * 4u + 1u;
  let a_of_0_1 = min(m0 + a_at_0.x * 4u + 1u, params.m - 1u) * params.a_pitch + params.a_column + a_at_0.y * 4u;
  let a_to_0_2 = a_at_0.y * 4u + 2u;
  let a_of_0_2 = min(m0 + a_at_0.x * 4u + 2u, params.m - 1u) * params.a_pitch + params.a_column + a_at_0.y * 4u;
  let a_to_0_3 = a_at_0.y * 4u + 3u;
  let a_of_0_3 = min(m0 + a_at_0.x * 4u + 3u, params.m - 1u) * params.a_pitch + params.a_column + a_at_0.y * 4u;
  var a_next_0 = mat4x4<f32>();
  let b_fetches_0 = thread + 0u * THREADS < B_BLOCKS;
  let b_at_0 = b_task(thread + 0u * THREADS);
  let b_to_0_0 = b_at_0.y * 4u + 0u;
  let b_of_0_0 = min(n0 + b_at_0.x * 4u + 0u, params.n - 1u) * params.b_pitch + params.b_column + b_at_0.y * 4u;
  let b_to_0_1 = b_at_0.y * 4u + 1u;
  let b_of_0_1 = min(n0 + b_at_0.x * 4u + 1u, params.n - 1u) * params.b_pitch + params.b_column + b_at_0.y * 4u;
  let b_to_0_2 = b_at_0.y * 4u + 2u;
  let b_of_0_2 = min(n0 + b_at_0.x * 4u + 2u, params.n - 1u) * params.b_pitch + params.b_column + b_at_0.y * 4u;
  let b_to_0_3 = b_at_0.y * 4u + 3u;
  let b_of_0_3 = min(n0 + b_at_0.x * 4u + 3u, params.n - 1u) * params.b_pitch + params.b_column + b_at_0.y * 4u;
  var b_next_0 = mat4x4<f32>();
  let a_from_0 = tm + 0u * (BM / TM);
  let a_from_1 = tm + 1u * (BM / TM);
  let b_from_0 = tn + 0u * (BN / TN);
  let b_from_1 = tn + 1u * (BN / TN);
  var sum_0_0_0 = vec4<f32>();
  var sum_0_0_1 = vec4<f32>();
  var sum_0_1_0 = vec4<f32>();
  var sum_0_1_1 = vec4<f32>();
  var sum_0_2_0 = vec4<f32>();
  var sum_0_2_1 = vec4<f32>();
  var sum_0_3_0 = vec4<f32>();
  var sum_0_3_1 = vec4<f32>();
  var sum_1_0_0 = vec4<f32>();
  var sum_1_0_1 = vec4<f32>();
  var sum_1_1_0 = vec4<f32>();
  var sum_1_1_1 = vec4<f32>();
  var sum_1_2_0 = vec4<f32>();
  var sum_1_2_1 = vec4<f32>();
  var sum_1_3_0 = vec4<f32>();
  var sum_1_3_1 = vec4<f32>();

  let k_last = k_begin + (k_end - k_begin - 1u) / BK * BK;
// Fetches a thread's blocks of both operands of gemm.wgsl for the step that begins at K: pasted into `main` before the
// first step, and into each step for the next one. Include-only.
  if (a_fetches_0) {
    a_next_0[0] = a4(a_of_0_0 + k_begin);
    a_next_0[1] = a4(a_of_0_1 + k_begin);
    a_next_0[2] = a4(a_of_0_2 + k_begin);
    a_next_0[3] = a4(a_of_0_3 + k_begin);
  }
  if (b_fetches_0) {
    b_next_0[0] = b4(b_of_0_0 + k_begin);
    b_next_0[1] = b4(b_of_0_1 + k_begin);
    b_next_0[2] = b4(b_of_0_2 + k_begin);
    b_next_0[3] = b4(b_of_0_3 + k_begin);
  }

  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
    if (a_fetches_0) {
      let block = transpose(a_next_0);
      a_tile[a_to_0_0][a_at_0.x] = block[0];
      a_tile[a_to_0_1][a_at_0.x] = block[1];
      a_tile[a_to_0_2][a_at_0.x] = block[2];
      a_tile[a_to_0_3][a_at_0.x] = block[3];
    }
    if (b_fetches_0) {
      let block = transpose(b_next_0);
      b_tile[b_to_0_0][b_at_0.x] = block[0];
      b_tile[b_to_0_1][b_at_0.x] = block[1];
      b_tile[b_to_0_2][b_at_0.x] = block[2];
      b_tile[b_to_0_3][b_at_0.x] = block[3];
    }
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let k1 = min(k0 + BK, k_last);
// Fetches a thread's blocks of both operands of gemm.wgsl for the step that begins at K: pasted into `main` before the
// first step, and into each step for the next one. Include-only.
  if (a_fetches_0) {
    a_next_0[0] = a4(a_of_0_0 + k1);
    a_next_0[1] = a4(a_of_0_1 + k1);
    a_next_0[2] = a4(a_of_0_2 + k1);
    a_next_0[3] = a4(a_of_0_3 + k1);
  }
  if (b_fetches_0) {
    b_next_0[0] = b4(b_of_0_0 + k1);
    b_next_0[1] = b4(b_of_0_1 + k1);
    b_next_0[2] = b4(b_of_0_2 + k1);
    b_next_0[3] = b4(b_of_0_3 + k1);
  }

    {
      let a_0 = a_tile[0][a_from_0];
      let a_1 = a_tile[0][a_from_1];
      let b_0 = b_tile[0][b_from_0];
      let b_1 = b_tile[0][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[1][a_from_0];
      let a_1 = a_tile[1][a_from_1];
      let b_0 = b_tile[1][b_from_0];
      let b_1 = b_tile[1][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[2][a_from_0];
      let a_1 = a_tile[2][a_from_1];
      let b_0 = b_tile[2][b_from_0];
      let b_1 = b_tile[2][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[3][a_from_0];
      let a_1 = a_tile[3][a_from_1];
      let b_0 = b_tile[3][b_from_0];
      let b_1 = b_tile[3][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[4][a_from_0];
      let a_1 = a_tile[4][a_from_1];
      let b_0 = b_tile[4][b_from_0];
      let b_1 = b_tile[4][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[5][a_from_0];
      let a_1 = a_tile[5][a_from_1];
      let b_0 = b_tile[5][b_from_0];
      let b_1 = b_tile[5][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[6][a_from_0];
      let a_1 = a_tile[6][a_from_1];
      let b_0 = b_tile[6][b_from_0];
      let b_1 = b_tile[6][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[7][a_from_0];
      let a_1 = a_tile[7][a_from_1];
      let b_0 = b_tile[7][b_from_0];
      let b_1 = b_tile[7][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[8][a_from_0];
      let a_1 = a_tile[8][a_from_1];
      let b_0 = b_tile[8][b_from_0];
      let b_1 = b_tile[8][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[9][a_from_0];
      let a_1 = a_tile[9][a_from_1];
      let b_0 = b_tile[9][b_from_0];
      let b_1 = b_tile[9][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[10][a_from_0];
      let a_1 = a_tile[10][a_from_1];
      let b_0 = b_tile[10][b_from_0];
      let b_1 = b_tile[10][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[11][a_from_0];
      let a_1 = a_tile[11][a_from_1];
      let b_0 = b_tile[11][b_from_0];
      let b_1 = b_tile[11][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[12][a_from_0];
      let a_1 = a_tile[12][a_from_1];
      let b_0 = b_tile[12][b_from_0];
      let b_1 = b_tile[12][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[13][a_from_0];
      let a_1 = a_tile[13][a_from_1];
      let b_0 = b_tile[13][b_from_0];
      let b_1 = b_tile[13][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[14][a_from_0];
      let a_1 = a_tile[14][a_from_1];
      let b_0 = b_tile[14][b_from_0];
      let b_1 = b_tile[14][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
    {
      let a_0 = a_tile[15][a_from_0];
      let a_1 = a_tile[15][a_from_1];
      let b_0 = b_tile[15][b_from_0];
      let b_1 = b_tile[15][b_from_1];
      sum_0_0_0 = fma(vec4<f32>(a_0[0]), b_0, sum_0_0_0);
      sum_0_0_1 = fma(vec4<f32>(a_0[0]), b_1, sum_0_0_1);
      sum_0_1_0 = fma(vec4<f32>(a_0[1]), b_0, sum_0_1_0);
      sum_0_1_1 = fma(vec4<f32>(a_0[1]), b_1, sum_0_1_1);
      sum_0_2_0 = fma(vec4<f32>(a_0[2]), b_0, sum_0_2_0);
      sum_0_2_1 = fma(vec4<f32>(a_0[2]), b_1, sum_0_2_1);
      sum_0_3_0 = fma(vec4<f32>(a_0[3]), b_0, sum_0_3_0);
      sum_0_3_1 = fma(vec4<f32>(a_0[3]), b_1, sum_0_3_1);
      sum_1_0_0 = fma(vec4<f32>(a_1[0]), b_0, sum_1_0_0);
      sum_1_0_1 = fma(vec4<f32>(a_1[0]), b_1, sum_1_0_1);
      sum_1_1_0 = fma(vec4<f32>(a_1[1]), b_0, sum_1_1_0);
      sum_1_1_1 = fma(vec4<f32>(a_1[1]), b_1, sum_1_1_1);
      sum_1_2_0 = fma(vec4<f32>(a_1[2]), b_0, sum_1_2_0);
      sum_1_2_1 = fma(vec4<f32>(a_1[2]), b_1, sum_1_2_1);
      sum_1_3_0 = fma(vec4<f32>(a_1[3]), b_0, sum_1_3_0);
      sum_1_3_1 = fma(vec4<f32>(a_1[3]), b_1, sum_1_3_1);
    }
  }

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

