// Generated from wgsl/ by `deno task bundle`. Do not edit.
// deno-fmt-ignore-file

/** Kernel sources by file name. */
export const kernelSources: Readonly<Record<string, string>> = {
  "dequantize_rows.wgsl": `// out[r][c] = decode(codes[r][c]) / scales[r]: FP8 back to f32. One thread a vec4.
//! include fp8.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row; the pitch is the same on both sides
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 64u + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
//! if E4M3
  out[item] = unpack4_e4m3(codes[item]) / scales[row];
//! else
  out[item] = unpack4_e5m2(codes[item]) / scales[row];
//! end
}
`,
  "fp8.wgsl": `// The FP8 codec of src/fp8/codec.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding mirrors the TypeScript operation by operation, on integers, so that both are bit-equal on every GPU.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

fn round_shift(value: u32, shift: u32) -> u32 {
  let odd = (value >> shift) & 1u;
  return (value + (1u << (shift - 1u)) - 1u + odd) >> shift;
}

// mantissa: stored mantissa bits; bias: exponent of 1; max_code: code of the largest finite value.
fn encode_fp8(x: f32, mantissa: u32, bias: u32, max_code: u32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 24u) & 0x80u;
  let magnitude = bits & 0x7fffffffu;
  let rebias = (127u - bias) << mantissa;
  let shift = 23u - mantissa;
  let normal = round_shift(magnitude, shift) - rebias;
  let small_shift = min(150u - bias - mantissa + 1u - min(magnitude >> 23u, 127u), 25u);
  let subnormal = round_shift((magnitude & 0x7fffffu) | 0x800000u, small_shift);
  let min_normal = (rebias + (1u << mantissa)) << shift;
  var code = select(subnormal, normal, magnitude >= min_normal);
  code = select(code, max_code, magnitude >= (max_code + rebias) << shift);
  return select(sign | code, 0x7fu, magnitude > 0x7f800000u);
}

fn encode_e4m3(x: f32) -> u32 { return encode_fp8(x, 3u, 7u, 0x7eu); }
fn encode_e5m2(x: f32) -> u32 { return encode_fp8(x, 2u, 15u, 0x7bu); }

fn pack4_e4m3(v: vec4<f32>) -> u32 {
  return encode_e4m3(v.x) | (encode_e4m3(v.y) << 8u) | (encode_e4m3(v.z) << 16u) | (encode_e4m3(v.w) << 24u);
}

fn pack4_e5m2(v: vec4<f32>) -> u32 {
  return encode_e5m2(v.x) | (encode_e5m2(v.y) << 8u) | (encode_e5m2(v.z) << 16u) | (encode_e5m2(v.w) << 24u);
}

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
`,
  "gemm.wgsl": `// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then each
// thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is multiplied.
// Pitches, columns and shapes are multiples of 4 except m, n, k in the guarded direction (rows); columns between a
// matrix' width and its pitch are zero by invariant, so only row indices need guards.
//
// Epilogue: divided by the scale of the row and of the column (quantised operands), plus an addend, plus the old value
// (ACCUMULATE). Output columns from tail_from on go to a second matrix (FALQON's O_A = x·Aᵀ behind O).
// With SPLITS workgroups in z each takes a share of K and writes a partial product; reduce_partials adds them.
//! include fp8.wgsl

struct Params {
  m: u32, n: u32, k: u32,
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
  out_pitch: u32, out_column: u32,
  tail_from: u32, tail_pitch: u32,
  addend_pitch: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
//! if A_TYPE == f32
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
//! end
//! if A_TYPE == f16
@group(0) @binding(1) var<storage, read> a: array<vec2<u32>>;
//! end
//! if A_FP8
@group(0) @binding(1) var<storage, read> a: array<u32>;
//! end
//! if B_TYPE == f32
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
//! end
//! if B_TYPE == f16
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;
//! end
//! if B_FP8
@group(0) @binding(2) var<storage, read> b: array<u32>;
//! end
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if TAIL
@group(0) @binding(4) var<storage, read_write> tail: array<vec4<f32>>;
//! end
//! if ROW_SCALES
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if ADDEND
@group(0) @binding(7) var<storage, read> addend: array<vec4<f32>>;
//! end

const THREADS = (BM / TM) * (BN / TN);
const A_BLOCKS = BM * BK / 16;
const B_BLOCKS = BN * BK / 16;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4 + 1>, BK>;
var<workgroup> b_tile: array<array<vec4<f32>, BN / 4 + 1>, BK>;

// Four elements starting at element \`i\` (a multiple of 4). e4m3 comes times 2^-8, undone by alpha.
fn a4(i: u32) -> vec4<f32> {
//! if A_TYPE == f32
  return a[i / 4u];
//! end
//! if A_TYPE == f16
  let v = a[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if A_TYPE == e4m3
  return unpack4_e4m3_scaled(a[i / 4u]);
//! end
//! if A_TYPE == e5m2
  return unpack4_e5m2(a[i / 4u]);
//! end
}

fn b4(i: u32) -> vec4<f32> {
//! if B_TYPE == f32
  return b[i / 4u];
//! end
//! if B_TYPE == f16
  let v = b[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if B_TYPE == e4m3
  return unpack4_e4m3_scaled(b[i / 4u]);
//! end
//! if B_TYPE == e5m2
  return unpack4_e5m2(b[i / 4u]);
//! end
}

// The 4×4 block at outer index \`row\`, contraction index \`kk\`: column c of the result is k = kk + c, over four rows.
fn a_block(row: u32, kk: u32, k_end: u32) -> mat4x4<f32> {
  var block = mat4x4<f32>();
//! unroll c 0 4
//! if A_BY_K
  if (kk + \${c}u < k_end && row < params.m) { block[$c] = a4((kk + \${c}u) * params.a_pitch + params.a_column + row); }
//! else
  if (row + \${c}u < params.m && kk < k_end) { block[$c] = a4((row + \${c}u) * params.a_pitch + params.a_column + kk); }
//! end
//! end
//! if A_BY_K
  return block;
//! else
  return transpose(block);
//! end
}

fn b_block(row: u32, kk: u32, k_end: u32) -> mat4x4<f32> {
  var block = mat4x4<f32>();
//! unroll c 0 4
//! if B_BY_K
  if (kk + \${c}u < k_end && row < params.n) { block[$c] = b4((kk + \${c}u) * params.b_pitch + params.b_column + row); }
//! else
  if (row + \${c}u < params.n && kk < k_end) { block[$c] = b4((row + \${c}u) * params.b_pitch + params.b_column + kk); }
//! end
//! end
//! if B_BY_K
  return block;
//! else
  return transpose(block);
//! end
}

// Which 4×4 block a task fetches: neighbouring threads walk the direction that is contiguous in memory.
fn a_task(task: u32) -> vec2<u32> {
//! if A_BY_K
  return vec2<u32>(task % (BM / 4u), task / (BM / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

fn b_task(task: u32) -> vec2<u32> {
//! if B_BY_K
  return vec2<u32>(task % (BN / 4u), task / (BN / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

// \`part\` counts the partial products before this one.
fn store(part: u32, row: u32, column: u32, sum: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  var value = sum * params.alpha;
//! if ROW_SCALES
  value /= row_scales[row];
//! end
//! if COLUMN_SCALES
  value /= column_scales[column / 4u];
//! end
//! if TAIL
  if (column >= params.tail_from) {
    tail[(row * params.tail_pitch + column - params.tail_from) / 4u] = value;
    return;
  }
//! end
//! if ADDEND
  value += addend[(row * params.addend_pitch + column) / 4u];
//! end
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
//! if ACCUMULATE
  value += out[at];
//! end
  out[at] = value;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
//! if SPLIT
  // Each split takes a whole number of steps of the contraction.
  let share = (params.k + SPLITS * BK - 1u) / (SPLITS * BK) * BK;
  let k_begin = min(group.z * share, params.k);
  let k_end = min(k_begin + share, params.k);
//! else
  let k_begin = 0u;
  let k_end = params.k;
//! end
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

//! unroll p 0 A_LOADS
  let a_at_$p = a_task(thread + \${p}u * THREADS);
  var a_next_$p = mat4x4<f32>();
//! end
//! unroll p 0 B_LOADS
  let b_at_$p = b_task(thread + \${p}u * THREADS);
  var b_next_$p = mat4x4<f32>();
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_\${i}_\${c}_$j = vec4<f32>();
//! end
//! end
//! end

//! unroll p 0 A_LOADS
  if (thread + \${p}u * THREADS < A_BLOCKS) { a_next_$p = a_block(m0 + a_at_$p.x * 4u, k_begin + a_at_$p.y * 4u, k_end); }
//! end
//! unroll p 0 B_LOADS
  if (thread + \${p}u * THREADS < B_BLOCKS) { b_next_$p = b_block(n0 + b_at_$p.x * 4u, k_begin + b_at_$p.y * 4u, k_end); }
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    if (thread + \${p}u * THREADS < A_BLOCKS) {
//! unroll c 0 4
      a_tile[a_at_$p.y * 4u + \${c}u][a_at_$p.x] = a_next_$p[$c];
//! end
    }
//! end
//! unroll p 0 B_LOADS
    if (thread + \${p}u * THREADS < B_BLOCKS) {
//! unroll c 0 4
      b_tile[b_at_$p.y * 4u + \${c}u][b_at_$p.x] = b_next_$p[$c];
//! end
    }
//! end
    workgroupBarrier();
    let k1 = k0 + BK;
    if (k1 < k_end) {
//! unroll p 0 A_LOADS
      if (thread + \${p}u * THREADS < A_BLOCKS) { a_next_$p = a_block(m0 + a_at_$p.x * 4u, k1 + a_at_$p.y * 4u, k_end); }
//! end
//! unroll p 0 B_LOADS
      if (thread + \${p}u * THREADS < B_BLOCKS) { b_next_$p = b_block(n0 + b_at_$p.x * 4u, k1 + b_at_$p.y * 4u, k_end); }
//! end
    }
//! unroll kk 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][tm + \${i}u * (BM / TM)];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][tn + \${j}u * (BN / TN)];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
      sum_\${i}_\${c}_$j = fma(vec4<f32>(a_$i[$c]), b_$j, sum_\${i}_\${c}_$j);
//! end
//! end
//! end
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  store(group.z, m0 + (tm + \${i}u * (BM / TM)) * 4u + \${c}u, n0 + (tn + \${j}u * (BN / TN)) * 4u, sum_\${i}_\${c}_$j);
//! end
//! end
//! end
}
`,
  "quantize_rows.wgsl": `// FP8 quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] = max / amax(row r).
//
// One workgroup a row, two passes over it; the second finds the row in cache. A lane holds vec4s, so every load is
// 16 bytes and every store one u32 of four codes.
//   GIVEN_SCALES    the scales are inputs (one for the whole tensor) instead of being computed
//   COLUMN_SCALES   x[r][c] is divided by column_scales[c] first: the contraction of a following GEMM runs over columns
//                   whose other operand carries one scale a row, which must be folded in before rounding
//   TAIL            the row goes on with the columns of a second matrix (FALQON's pending term)

//! include fp8.wgsl

struct Params {
  vectors: u32,       // vec4s in a row of x, its pitch / 4
  tail_vectors: u32,  // vec4s in a row of tail
  codes_pitch: u32,   // u32s in a row of codes
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
//! if GIVEN_SCALES
@group(0) @binding(3) var<storage, read> scales: array<f32>;
//! else
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if TAIL
@group(0) @binding(5) var<storage, read> tail: array<vec4<f32>>;
//! end

const THREADS = 128u;
const SMALLEST_AMAX = 0x1p-100; // rows below count as zero: their scale would leave f32's range

var<workgroup> partial: array<f32, THREADS>;

fn value(row: u32, v: u32) -> vec4<f32> {
//! if TAIL
  var q: vec4<f32>;
  if (v < params.vectors) { q = x[row * params.vectors + v]; }
  else { q = tail[row * params.tail_vectors + v - params.vectors]; }
//! else
  var q = x[row * params.vectors + v];
//! end
//! if COLUMN_SCALES
  q /= column_scales[v];
//! end
  return q;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  let vectors = params.vectors + params.tail_vectors;
//! if GIVEN_SCALES
  if (row >= arrayLength(&scales)) { return; }
  let scale = scales[row];
//! else
  if (row >= arrayLength(&scales)) { return; }
  var amax = 0.0;
  for (var v = thread; v < vectors; v += THREADS) {
    let q = abs(value(row, v));
    amax = max(amax, max(max(q.x, q.y), max(q.z, q.w)));
  }
  partial[thread] = amax;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  amax = partial[0];
  let scale = select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
  if (thread == 0u) { scales[row] = scale; }
//! end
  for (var v = thread; v < vectors; v += THREADS) {
//! if E4M3
    codes[row * params.codes_pitch + v] = pack4_e4m3(value(row, v) * scale);
//! else
    codes[row * params.codes_pitch + v] = pack4_e5m2(value(row, v) * scale);
//! end
  }
}
`,
  "rms_norm.wgsl": `// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass.
// Idea: a workgroup takes a row and walks it twice, for the mean square and for the output; the second walk is served
// by the cache. Columns up to the pitch take part: they are zero in the input, so they add nothing and stay zero.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;

  var squares = 0.0;
  for (var c = thread; c < params.vectors; c += THREADS) {
    let x = input[start + c];
    squares += dot(x, x);
  }
  let mean_square = workgroup_sum(squares, thread) / f32(params.cols);
  let row_rstd = 1.0 / sqrt(mean_square + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }

  // The weight ends before the pitch: past it there is nothing to read, and zero is due.
  let weights = (params.cols + 3u) / 4u;
  for (var c = thread; c < params.vectors; c += THREADS) {
    var y = vec4<f32>();
    if (c < weights) { y = input[start + c] * row_rstd * weight[c]; }
    output[start + c] = y;
  }
}
`,
  "rms_norm_backward.wgsl": `// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight:
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With params.accumulate the result
// is added to d_input: the gradient of the residual stream that runs past the norm.
// Idea: as in rms_norm.wgsl, a workgroup walks its row twice.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let weights = (params.cols + 3u) / 4u;

  var partial = 0.0;
  for (var c = thread; c < weights; c += THREADS) {
    partial += dot(d_output[start + c] * weight[c], input[start + c]);
  }
  let mean = workgroup_sum(partial, thread) / f32(params.cols);
  let row_rstd = rstd[row];
  let pull = row_rstd * row_rstd * row_rstd * mean;

  for (var c = thread; c < params.vectors; c += THREADS) {
    var dx = vec4<f32>();
    if (c < weights) {
      dx = row_rstd * d_output[start + c] * weight[c] - pull * input[start + c];
      if (params.accumulate != 0u) { dx += d_input[start + c]; }
    }
    d_input[start + c] = dx;
  }
}
`,
  "rms_norm_weight_gradient.wgsl": `// Partial sums of the gradient of RMSNorm's weight: one row of \`partials\` a chunk of rows,
//   partials[k][c] = Σ_{r in chunk k} d_output[r][c] · input[r][c] · rstd[r]
//
// Shapes: d_output, input [rows, cols], rstd [rows], partials [chunks, cols], all f32. sum_partials.wgsl adds the chunks.
// Idea: one thread a vec4 of columns, neighbours side by side in memory; chunks (y) only give a large GPU enough threads.

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  chunk_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  if (column >= params.vectors) { return; }
  let first = group.y * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
    let at = row * params.vectors + column;
    sum += d_output[at] * input[at] * rstd[row];
  }
  partials[group.y * params.vectors + column] = sum;
}
`,
  "silu.wgsl": `// sigmoid(g) = 1 / (1 + e^−g), the gate of silu(g) = g · sigmoid(g), for f32 or vec4<f32>.

fn sigmoid(g: $ELEMENT) -> $ELEMENT {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, $ELEMENT(-80.0))));
}
`,
  "sum_partials.wgsl": `// out[r][c] (+)= Σ_s partials[s][r][c]: joins the partial products of a GEMM that was split along K.
// The shares are added in order, so the result does not depend on scheduling. One thread a vec4.

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row
  pitch: u32,
  out_pitch: u32,
  out_column: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 64u + thread;
  let row = item / params.vectors;
  let column = item % params.vectors;
  if (row >= params.rows) { return; }
  let at = (row * params.out_pitch + params.out_column) / 4u + column;
  var sum = vec4<f32>();
//! if ACCUMULATE
  sum = out[at];
//! end
  for (var s = 0u; s < params.splits; s++) {
    sum += partials[(s * params.rows + row) * (params.pitch / 4u) + column];
  }
  out[at] = sum;
}
`,
  "swiglu.wgsl": `// SwiGLU: output[t][c] = silu(gate[t][c]) · up[t][c], with silu(g) = g / (1 + e^−g).
//
// Shapes: gate_up [rows, 2·width] with the gate in columns 0 … width and the up projection behind it, output
// [rows, width], both f32. ELEMENT is vec4<f32> where width is a multiple of 4, else f32; all counts are in ELEMENTs.
// Idea: one thread an ELEMENT of the output, columns up to the pitch included, which become zero.
//! include silu.wgsl

struct Params {
  rows: u32,
  width: u32,
  input_pitch: u32,
  output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$ELEMENT>;
@group(0) @binding(2) var<storage, read_write> output: array<$ELEMENT>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 128u + thread;
  let row = item / params.output_pitch;
  let column = item % params.output_pitch;
  if (row >= params.rows) { return; }
  var value = $ELEMENT();
  if (column < params.width) {
    let at = row * params.input_pitch + column;
    let gate = gate_up[at];
    value = gate * sigmoid(gate) * gate_up[at + params.width];
  }
  output[item] = value;
}
`,
  "swiglu_backward.wgsl": `// Gradient of SwiGLU. With s = sigmoid(gate):
//   d_gate = d_output · up · s · (1 + gate · (1 − s)),   d_up = d_output · gate · s
//
// Shapes: gate_up, d_gate_up [rows, 2·width] (gate columns, then up columns), d_output [rows, width], all f32.
// ELEMENT as in swiglu.wgsl. s is computed again rather than kept.
// Idea: one thread an ELEMENT of gate and up together; the threads behind them zero the columns up to the pitch.
//! include silu.wgsl

struct Params {
  rows: u32,
  width: u32,
  input_pitch: u32,
  output_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$ELEMENT>;
@group(0) @binding(2) var<storage, read> d_output: array<$ELEMENT>;
@group(0) @binding(3) var<storage, read_write> d_gate_up: array<$ELEMENT>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * 128u + thread;
  let tasks = params.input_pitch - params.width;
  let row = item / tasks;
  let column = item % tasks;
  if (row >= params.rows) { return; }
  let at = row * params.input_pitch + column;
  if (column >= params.width) {
    d_gate_up[at + params.width] = $ELEMENT();
    return;
  }
  let dy = d_output[row * params.output_pitch + column];
  let gate = gate_up[at];
  let s = sigmoid(gate);
  d_gate_up[at] = dy * gate_up[at + params.width] * s * (1.0 + gate * (1.0 - s));
  d_gate_up[at + params.width] = dy * gate * s;
}
`,
  "tensor_scale.wgsl": `// One scale for a whole matrix, written to each entry of \`scales\` (one a row, so that everything behind sees row scales).
// Two stages, both of this file: STAGE row_amax has a workgroup a row write the row's largest magnitude to \`scales\`;
// STAGE spread has one workgroup replace them all by max / (the largest of them).

struct Params {
  vectors: u32, // vec4s in a row of x, its pitch / 4
  first: u32,   // first scale of the range that shares one
  count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
//! if STAGE == row_amax
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(3) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! end

const THREADS = 128u;
const SMALLEST_AMAX = 0x1p-100;

var<workgroup> partial: array<f32, THREADS>;

fn largest(thread: u32, mine: f32) -> f32 {
  partial[thread] = mine;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  return partial[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var mine = 0.0;
//! if STAGE == row_amax
  let row = group.y * groups.x + group.x;
  if (row >= params.count) { return; }
  for (var v = thread; v < params.vectors; v += THREADS) {
    var q = abs(x[row * params.vectors + v]);
//! if COLUMN_SCALES
    q /= column_scales[v];
//! end
    mine = max(mine, max(max(q.x, q.y), max(q.z, q.w)));
  }
  let amax = largest(thread, mine);
  if (thread == 0u) { scales[params.first + row] = amax; }
//! else
  for (var i = thread; i < params.count; i += THREADS) { mine = max(mine, scales[params.first + i]); }
  let amax = largest(thread, mine);
  storageBarrier();
  let scale = select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
  for (var i = thread; i < params.count; i += THREADS) { scales[params.first + i] = scale; }
//! end
}
`,
  "workgroup_reduce.wgsl": `// Reductions over the THREADS invocations of a workgroup (a power of two). The tree has a fixed shape, so results
// repeat bit for bit. Every invocation gets the result.

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] += reduce_scratch[thread + stride]; }
  }
  workgroupBarrier();
  let total = reduce_scratch[0];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] = max(reduce_scratch[thread], reduce_scratch[thread + stride]); }
  }
  workgroupBarrier();
  let largest = reduce_scratch[0];
  workgroupBarrier();
  return largest;
}
`,
};
