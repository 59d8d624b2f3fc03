enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const BM = 128;
const BN = 64;
const BK = 32;
const SPLIT_K = 256;
const A_LOADS = 4;
const B_LOADS = 2;
// The gradient of a factor of low rank on tensor cores: out[m][n] = alpha · Σ_t a[t][m] · b[t][n], from operands
// rounded to f16, with f32 sums. As low_rank_gradient.wgsl, where that is bound by arithmetic instead of by the
// reading of `a`.
//
// Shapes: a f32 or f16 (A_TYPE) [tokens, ·] from column a_column on, b f32 or codes [tokens, ·] from b_column on, out f32 [m, n].
// Range: gradients are far smaller than f16 reaches. `a` is multiplied by a power of two (see gradient_scale.wgsl), after its
// columns were divided by their scales (COLUMN_SCALES), and out the other way round. `b` is of ordinary size and limited.
// An `a` in f16 comes with its columns divided and its rows multiplied by row_scales, which bring each of them into range
// by itself. They are taken out again where they can be: b's row t is multiplied by the power / row_scales[t], at most 1.
// Idea: a workgroup of 2 × 2 subgroups of 32 makes BM × BN values of one split of SPLIT_K tokens. A step of BK tokens
// waits in workgroup memory as it is stored, the next is fetched into registers meanwhile; fragments of `a` are
// loaded transposed at no cost. SPLIT_K is known to the compiler, which unrolls the loop. Splits are added by
// sum_partials.wgsl. A vector of 8 f16 values in workgroup memory joins two quads of a row that are half a row apart,
// so that neighbouring invocations fetch neighbouring quads; results are put back in order when they are stored. f16
// values are fetched as they are. Indices are clamped instead of guarded: what is past the end of the tokens counts
// zero by `b`, and rows and columns that are not there are not stored.
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

// The right factor of a gradient of low rank, four columns of a token at a time: f32, or (B_CODES) codes, the rows of
// which were multiplied by b_scales. Include-only; constants of the codes' format from src/kernels/codes.ts.
//
// They are fetched as they are stored, well before they are used, and decoded where they are.
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

alias RightQuad = vec4<f32>;

fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[token * quads + at]; }
fn right_scale(token: u32) -> f32 { return 1.0; }
fn right_values(quad: RightQuad) -> vec4<f32> { return quad; }


struct Params {
  m: u32, n: u32, tokens: u32,
  a_pitch: u32, a_column: u32, // in quads
  b_pitch: u32, b_column: u32,
  out_pitch: u32,
  alpha: f32,
  power_factor: f32, // a power of two
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> power: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> column_scales: array<vec4<f32>>; // of the columns of a

fn used_power() -> f32 { return power[0] * params.power_factor; }

const THREADS = 128u;
// Rows of the tiles in vectors of 8 f16 values, without and with the pad that spreads rows over the banks.
const A_VECTORS = BM / 8u;
const B_VECTORS = BN / 8u;
const A_ROW = A_VECTORS + 1u;
const B_ROW = B_VECTORS + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// Rows of the outgoing sums of a subgroup in vectors of 4 floats.
const OUT_ROW = BN / 8u + 2u;
// Tokens that the invocations fetch at once.
const A_TOKENS = THREADS / A_VECTORS;
const B_TOKENS = THREADS / B_VECTORS;
const STEPS = SPLIT_K / BK;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BK * B_ROW, 64u * OUT_ROW)>;

// Of each token, scale_of is what its rows of `a` and `b` were multiplied by; right_quad turns values of its row of `b`
// into those of the tile, before they are rounded.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

fn scale_of(token: u32) -> f32 {
  return right_scale(token);
}

fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
  return saturated(quad);
}

// The factors of four columns of `a`, from the one at `quad` on.
fn factor_of(quad: u32) -> vec4<f32> {
  return used_power() / column_scales[quad];
}

// Stores four neighbouring sums of a row.
fn store(split: u32, row: u32, column: u32, sum: vec4<f32>) {
  // Up to the pitch: the columns behind n are zeros.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  var value = sum * (params.alpha / used_power());
  value *= column_scales[params.a_column + row / 4u][row % 4u];
  value = select(vec4<f32>(), value, column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n));
  let at = ((split * params.m + row) * params.out_pitch + column) / 4u;
  out[at] += value;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let first = group.z * SPLIT_K;
  let last_token = params.tokens - 1u;
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  // What this invocation fetches: two quads each of every A_TOKENS-th and B_TOKENS-th token.
  let a_token = thread / A_VECTORS;
  let a_vector = thread % A_VECTORS;
  let a_end = params.a_column + (params.m - 1u) / 4u;
  let a_pitch = params.a_pitch;
  let a_low = min(params.a_column + m0 / 4u + a_vector, a_end);
  let a_high = min(params.a_column + m0 / 4u + a_vector + A_VECTORS, a_end);
  let a_low_factor = factor_of(a_low);
  let a_high_factor = factor_of(a_high);
  let b_token = thread / B_VECTORS;
  let b_vector = thread % B_VECTORS;
  let b_end = params.b_column + (params.n - 1u) / 4u;
  let b_low = min(params.b_column + n0 / 4u + b_vector, b_end);
  let b_high = min(params.b_column + n0 / 4u + b_vector + B_VECTORS, b_end);
  let a_row_0 = min(first + a_token + 0u * A_TOKENS, last_token) * a_pitch;
  var a_low_0 = a[a_row_0 + a_low];
  var a_high_0 = a[a_row_0 + a_high];
  let a_row_1 = min(first + a_token + 1u * A_TOKENS, last_token) * a_pitch;
  var a_low_1 = a[a_row_1 + a_low];
  var a_high_1 = a[a_row_1 + a_high];
  let a_row_2 = min(first + a_token + 2u * A_TOKENS, last_token) * a_pitch;
  var a_low_2 = a[a_row_2 + a_low];
  var a_high_2 = a[a_row_2 + a_high];
  let a_row_3 = min(first + a_token + 3u * A_TOKENS, last_token) * a_pitch;
  var a_low_3 = a[a_row_3 + a_low];
  var a_high_3 = a[a_row_3 + a_high];
  let b_row_0 = min(first + b_token + 0u * B_TOKENS, last_token);
  var b_low_0 = fetch_right(b_row_0, b_low, params.b_pitch);
  var b_high_0 = fetch_right(b_row_0, b_high, params.b_pitch);
  var b_scale_0 = scale_of(b_row_0);
  let b_row_1 = min(first + b_token + 1u * B_TOKENS, last_token);
  var b_low_1 = fetch_right(b_row_1, b_low, params.b_pitch);
  var b_high_1 = fetch_right(b_row_1, b_high, params.b_pitch);
  var b_scale_1 = scale_of(b_row_1);
  var sum_0_0 = Sum();
  var sum_0_1 = Sum();
  var sum_1_0 = Sum();
  var sum_1_1 = Sum();
  var sum_2_0 = Sum();
  var sum_2_1 = Sum();
  var sum_3_0 = Sum();
  var sum_3_1 = Sum();

  for (var step = 0u; step < STEPS; step += 1u) {
    let t0 = first + step * BK;
    workgroupBarrier();
    tile[(a_token + 0u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_0 * a_low_factor, a_high_0 * a_high_factor);
    tile[(a_token + 1u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_1 * a_low_factor, a_high_1 * a_high_factor);
    tile[(a_token + 2u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_2 * a_low_factor, a_high_2 * a_high_factor);
    tile[(a_token + 3u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_3 * a_low_factor, a_high_3 * a_high_factor);
    tile[B_TILE + (b_token + 0u * B_TOKENS) * B_ROW + b_vector] = select(
      vec4<u32>(), to_f16(right_quad(b_low_0, b_scale_0), right_quad(b_high_0, b_scale_0)),
      t0 + b_token + 0u * B_TOKENS < params.tokens);
    tile[B_TILE + (b_token + 1u * B_TOKENS) * B_ROW + b_vector] = select(
      vec4<u32>(), to_f16(right_quad(b_low_1, b_scale_1), right_quad(b_high_1, b_scale_1)),
      t0 + b_token + 1u * B_TOKENS < params.tokens);
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let next = first + min(step + 1u, STEPS - 1u) * BK;
    {
      let row = min(next + a_token + 0u * A_TOKENS, last_token) * a_pitch;
      a_low_0 = a[row + a_low];
      a_high_0 = a[row + a_high];
    }
    {
      let row = min(next + a_token + 1u * A_TOKENS, last_token) * a_pitch;
      a_low_1 = a[row + a_low];
      a_high_1 = a[row + a_high];
    }
    {
      let row = min(next + a_token + 2u * A_TOKENS, last_token) * a_pitch;
      a_low_2 = a[row + a_low];
      a_high_2 = a[row + a_high];
    }
    {
      let row = min(next + a_token + 3u * A_TOKENS, last_token) * a_pitch;
      a_low_3 = a[row + a_low];
      a_high_3 = a[row + a_high];
    }
    {
      let row = min(next + b_token + 0u * B_TOKENS, last_token);
      b_low_0 = fetch_right(row, b_low, params.b_pitch);
      b_high_0 = fetch_right(row, b_high, params.b_pitch);
      b_scale_0 = scale_of(row);
    }
    {
      let row = min(next + b_token + 1u * B_TOKENS, last_token);
      b_low_1 = fetch_right(row, b_low, params.b_pitch);
      b_high_1 = fetch_right(row, b_high, params.b_pitch);
      b_scale_1 = scale_of(row);
    }
    {
      let a_0 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 0u, A_ROW);
      let a_1 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 1u, A_ROW);
      let a_2 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 2u, A_ROW);
      let a_3 = load_left_transposed(16u * 0u * A_ROW + half_m * (BM / 16u) + 2u * 3u, A_ROW);
      let b_0 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 0u, B_ROW);
      let b_1 = load_right(B_TILE + 16u * 0u * B_ROW + half_n * (BN / 16u) + 2u * 1u, B_ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
      sum_2_0 = multiply_add(a_2, b_0, sum_2_0);
      sum_2_1 = multiply_add(a_2, b_1, sum_2_1);
      sum_3_0 = multiply_add(a_3, b_0, sum_3_0);
      sum_3_1 = multiply_add(a_3, b_1, sum_3_1);
    }
    {
      let a_0 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 0u, A_ROW);
      let a_1 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 1u, A_ROW);
      let a_2 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 2u, A_ROW);
      let a_3 = load_left_transposed(16u * 1u * A_ROW + half_m * (BM / 16u) + 2u * 3u, A_ROW);
      let b_0 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 0u, B_ROW);
      let b_1 = load_right(B_TILE + 16u * 1u * B_ROW + half_n * (BN / 16u) + 2u * 1u, B_ROW);
      sum_0_0 = multiply_add(a_0, b_0, sum_0_0);
      sum_0_1 = multiply_add(a_0, b_1, sum_0_1);
      sum_1_0 = multiply_add(a_1, b_0, sum_1_0);
      sum_1_1 = multiply_add(a_1, b_1, sum_1_1);
      sum_2_0 = multiply_add(a_2, b_0, sum_2_0);
      sum_2_1 = multiply_add(a_2, b_1, sum_2_1);
      sum_3_0 = multiply_add(a_3, b_0, sum_3_0);
      sum_3_1 = multiply_add(a_3, b_1, sum_3_1);
    }
  }

  // 16 rows at a time: a subgroup's 16 × (BN / 2) sums, then its lanes store them row by row.
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_0_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_0_1);
  workgroupBarrier();
  {
    let item = lane + 32u * 0u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 0u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 1u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 0u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 2u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 0u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 3u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 0u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_1_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_1_1);
  workgroupBarrier();
  {
    let item = lane + 32u * 0u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 1u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 1u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 1u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 2u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 1u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 3u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 1u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_2_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_2_1);
  workgroupBarrier();
  {
    let item = lane + 32u * 0u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 2u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 1u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 2u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 2u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 2u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 3u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 2u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  workgroupBarrier();
  store_sum(mine + 4u * 0u, OUT_ROW, sum_3_0);
  store_sum(mine + 4u * 1u, OUT_ROW, sum_3_1);
  workgroupBarrier();
  {
    let item = lane + 32u * 0u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 3u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 1u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 3u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 2u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 3u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
  {
    let item = lane + 32u * 3u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * 3u + strip_row;
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
}

// Which quad of a row lies at place `quad` of the tile, whose row has `vectors` pairs of them.
fn in_order(quad: u32, vectors: u32) -> u32 { return quad / 2u + quad % 2u * vectors; }

