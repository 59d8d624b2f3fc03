// Generated from wgsl/ by `deno task bundle`. Do not edit.
// deno-fmt-ignore-file

/** Kernel sources by file name. */
export const kernelSources: Readonly<Record<string, string>> = {
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
};
