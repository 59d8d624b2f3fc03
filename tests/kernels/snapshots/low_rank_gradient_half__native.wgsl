enable f16;
const BM = 128;
const BN = 32;
const BK = 16;
const TM = 8;
const TN = 4;
const RUN = 64;
const A_LOADS = 2;
const B_LOADS = 1;
// The gradient of a factor of low rank in packed half-precision arithmetic, for GPUs without tensor cores:
// out[m][n] = alpha · Σ_t a[t][m] · b[t][n], from operands rounded to f16. As low_rank_gradient.wgsl in f32.
//
// Shapes: a [tokens, ·] from column a_column on, in f32, or in f16 as its codes are scaled (A_TYPE); b and run_scales from
// low_rank_pairs.wgsl, of which columns from b_column on; row_scales f32 [tokens]; column_scales f32 of the columns of a;
// out f32 [m, n].
// Range: a is divided by the scales of its columns (COLUMN_SCALES) and multiplied by those of its rows, as its codes are, so
// that no value is above the format's largest. b was divided by the rows' scales, and normalised such that RUN / 2 products
// with that largest value stay below 2^15. So f16 sums of a run cannot overflow, rounding included.
// Idea, as in gemm_f16.wgsl: a pair of tokens of one operand is multiplied by a pair of the other, so no value has to be
// broadcast into both halves of a register, which would halve the rate of the packed multiply-add. After RUN tokens the two
// halves of a sum are joined, multiplied by the scale of their run and column, and added to the f32 sum.
// A workgroup makes BM rows of out and, where they fit, all its columns, so that a is read once. The tokens are split,
// `split_k` to each z, a multiple of RUN; sum_partials.wgsl adds the parts in order. Indices are clamped instead of guarded:
// past the end of the tokens b is zero, and rows and columns that are not there are not stored.

struct Params {
  m: u32,
  n: u32,
  tokens: u32,
  split_k: u32,
  a_pitch: u32,  // in vectors of four, as the next three
  a_column: u32,
  b_pitch: u32,
  b_column: u32,
  out_pitch: u32,
  alpha: f32,
}

alias Pairs = array<vec4<f16>, 2>; // four neighbours along m or n, each a pair of tokens

@group(0) @binding(0) var<uniform> params: Params;
alias Quad = vec4<f32>;
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;
@group(0) @binding(3) var<storage, read> run_scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;

const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const THREADS = ROW_LANES * COLUMN_LANES;
const A_TASKS = BK * BM / 8; // one Pairs each
const B_TASKS = BK * BN / 8;

var<workgroup> a_tile: array<array<Pairs, BM / 4>, BK / 2>; // [pair][row / 4]
var<workgroup> b_tile: array<array<Pairs, BN / 4>, BK / 2>;

fn pairs_of(even: vec4<f16>, odd: vec4<f16>) -> Pairs {
  return Pairs(vec4<f16>(even.x, odd.x, even.y, odd.y), vec4<f16>(even.z, odd.z, even.w, odd.w));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let first = group.z * params.split_k;
  let end = min(first + params.split_k, params.tokens);
  let last_token = params.tokens - 1u;
  let last_step = first + (end - first + RUN - 1u) / RUN * RUN - BK;
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // What this thread fetches: pairs of tokens relative to the step, and places in a row. Of a, the same place always.
  let a_slot = thread % (BM / 4u);
  let a_at = params.a_column + min(m0 / 4u + a_slot, (params.m - 1u) / 4u);
  let a_factor = 1.0 / column_scales[a_at];
  let a_pair_0 = (thread + 0u * THREADS) / (BM / 4u);
  let a_even_at_0 = min(first + 2u * a_pair_0, last_token);
  let a_odd_at_0 = min(first + 2u * a_pair_0 + 1u, last_token);
  var a_even_0 = a[a_even_at_0 * params.a_pitch + a_at];
  var a_odd_0 = a[a_odd_at_0 * params.a_pitch + a_at];
  var a_scales_0 = vec2<f32>(row_scales[a_even_at_0], row_scales[a_odd_at_0]);
  let a_pair_1 = (thread + 1u * THREADS) / (BM / 4u);
  let a_even_at_1 = min(first + 2u * a_pair_1, last_token);
  let a_odd_at_1 = min(first + 2u * a_pair_1 + 1u, last_token);
  var a_even_1 = a[a_even_at_1 * params.a_pitch + a_at];
  var a_odd_1 = a[a_odd_at_1 * params.a_pitch + a_at];
  var a_scales_1 = vec2<f32>(row_scales[a_even_at_1], row_scales[a_odd_at_1]);
  let b_pair_0 = (thread + 0u * THREADS) / (BN / 4u);
  let b_slot_0 = (thread + 0u * THREADS) % (BN / 4u);
  let b_at_0 = b_pair_0 * params.b_pitch + min(params.b_column + n0 / 4u + b_slot_0, params.b_pitch - 1u);
  var b_next_0 = b[b_at_0 + first / 2u * params.b_pitch];
  let a_from_0 = tm + 0u * ROW_LANES;
  let a_from_1 = tm + 1u * ROW_LANES;
  let b_from_0 = tn + 0u * COLUMN_LANES;
  let scale_at_0 = min(params.b_column + n0 / 4u + b_from_0, params.b_pitch - 1u);

  var sum_00_00 = vec2<f32>();
  var sum_00_01 = vec2<f32>();
  var sum_01_00 = vec2<f32>();
  var sum_01_01 = vec2<f32>();
  var sum_02_00 = vec2<f32>();
  var sum_02_01 = vec2<f32>();
  var sum_03_00 = vec2<f32>();
  var sum_03_01 = vec2<f32>();
  var sum_10_00 = vec2<f32>();
  var sum_10_01 = vec2<f32>();
  var sum_11_00 = vec2<f32>();
  var sum_11_01 = vec2<f32>();
  var sum_12_00 = vec2<f32>();
  var sum_12_01 = vec2<f32>();
  var sum_13_00 = vec2<f32>();
  var sum_13_01 = vec2<f32>();
  for (var run = first; run < end; run += RUN) {
    var half_00_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_00_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_01_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_02_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_03_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_10_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_11_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_12_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_00 = vec4<f16>(); // here, so that it takes no register while values are moved
    var half_13_01 = vec4<f16>(); // here, so that it takes no register while values are moved
    let run_stop = run + RUN;
    for (var t0 = run; t0 < run_stop; t0 += BK) {
      workgroupBarrier();
      if (thread + 0u * THREADS < A_TASKS) {
        a_tile[a_pair_0][a_slot] = pairs_of(
          vec4<f16>(a_even_0 * (a_scales_0.x * a_factor)), vec4<f16>(a_odd_0 * (a_scales_0.y * a_factor)));
      }
      if (thread + 1u * THREADS < A_TASKS) {
        a_tile[a_pair_1][a_slot] = pairs_of(
          vec4<f16>(a_even_1 * (a_scales_1.x * a_factor)), vec4<f16>(a_odd_1 * (a_scales_1.y * a_factor)));
      }
      if (thread + 0u * THREADS < B_TASKS) { b_tile[b_pair_0][b_slot_0] = b_next_0; }
      workgroupBarrier();
      // The last step fetches values of its own again: cheaper than to ask.
      let next = min(t0 + BK, last_step);
      {
        let even = min(next + 2u * a_pair_0, last_token);
        let odd = min(next + 2u * a_pair_0 + 1u, last_token);
        a_even_0 = a[even * params.a_pitch + a_at];
        a_odd_0 = a[odd * params.a_pitch + a_at];
        a_scales_0 = vec2<f32>(row_scales[even], row_scales[odd]);
      }
      {
        let even = min(next + 2u * a_pair_1, last_token);
        let odd = min(next + 2u * a_pair_1 + 1u, last_token);
        a_even_1 = a[even * params.a_pitch + a_at];
        a_odd_1 = a[odd * params.a_pitch + a_at];
        a_scales_1 = vec2<f32>(row_scales[even], row_scales[odd]);
      }
      b_next_0 = b[b_at_0 + next / 2u * params.b_pitch];
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
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
        half_00_00 = fma(a_00, b_0[0], half_00_00);
        half_00_01 = fma(a_00, b_0[1], half_00_01);
        half_01_00 = fma(a_01, b_0[0], half_01_00);
        half_01_01 = fma(a_01, b_0[1], half_01_01);
        half_02_00 = fma(a_02, b_0[0], half_02_00);
        half_02_01 = fma(a_02, b_0[1], half_02_01);
        half_03_00 = fma(a_03, b_0[0], half_03_00);
        half_03_01 = fma(a_03, b_0[1], half_03_01);
        half_10_00 = fma(a_10, b_0[0], half_10_00);
        half_10_01 = fma(a_10, b_0[1], half_10_01);
        half_11_00 = fma(a_11, b_0[0], half_11_00);
        half_11_01 = fma(a_11, b_0[1], half_11_01);
        half_12_00 = fma(a_12, b_0[0], half_12_00);
        half_12_01 = fma(a_12, b_0[1], half_12_01);
        half_13_00 = fma(a_13, b_0[0], half_13_00);
        half_13_01 = fma(a_13, b_0[1], half_13_01);
      }
    }
    let scale_0 = run_scales[run / RUN * params.b_pitch + scale_at_0];
    let scale_00 = scale_0.xy;
    let scale_01 = scale_0.zw;
    {
      let wide = vec4<f32>(half_00_00);
      sum_00_00 = fma(wide.xz + wide.yw, scale_00, sum_00_00);
    }
    {
      let wide = vec4<f32>(half_00_01);
      sum_00_01 = fma(wide.xz + wide.yw, scale_01, sum_00_01);
    }
    {
      let wide = vec4<f32>(half_01_00);
      sum_01_00 = fma(wide.xz + wide.yw, scale_00, sum_01_00);
    }
    {
      let wide = vec4<f32>(half_01_01);
      sum_01_01 = fma(wide.xz + wide.yw, scale_01, sum_01_01);
    }
    {
      let wide = vec4<f32>(half_02_00);
      sum_02_00 = fma(wide.xz + wide.yw, scale_00, sum_02_00);
    }
    {
      let wide = vec4<f32>(half_02_01);
      sum_02_01 = fma(wide.xz + wide.yw, scale_01, sum_02_01);
    }
    {
      let wide = vec4<f32>(half_03_00);
      sum_03_00 = fma(wide.xz + wide.yw, scale_00, sum_03_00);
    }
    {
      let wide = vec4<f32>(half_03_01);
      sum_03_01 = fma(wide.xz + wide.yw, scale_01, sum_03_01);
    }
    {
      let wide = vec4<f32>(half_10_00);
      sum_10_00 = fma(wide.xz + wide.yw, scale_00, sum_10_00);
    }
    {
      let wide = vec4<f32>(half_10_01);
      sum_10_01 = fma(wide.xz + wide.yw, scale_01, sum_10_01);
    }
    {
      let wide = vec4<f32>(half_11_00);
      sum_11_00 = fma(wide.xz + wide.yw, scale_00, sum_11_00);
    }
    {
      let wide = vec4<f32>(half_11_01);
      sum_11_01 = fma(wide.xz + wide.yw, scale_01, sum_11_01);
    }
    {
      let wide = vec4<f32>(half_12_00);
      sum_12_00 = fma(wide.xz + wide.yw, scale_00, sum_12_00);
    }
    {
      let wide = vec4<f32>(half_12_01);
      sum_12_01 = fma(wide.xz + wide.yw, scale_01, sum_12_01);
    }
    {
      let wide = vec4<f32>(half_13_00);
      sum_13_00 = fma(wide.xz + wide.yw, scale_00, sum_13_00);
    }
    {
      let wide = vec4<f32>(half_13_01);
      sum_13_01 = fma(wide.xz + wide.yw, scale_01, sum_13_01);
    }
  }

  let column_0 = n0 + b_from_0 * 4u;
  let kept_0 = column_0 + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  let row_0_0 = m0 + a_from_0 * 4u + 0u;
  let factor_0_0 = params.alpha * column_scales[params.a_column + min(row_0_0, params.m - 1u) / 4u][0];
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_0 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_0) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_00_00, sum_00_01);
    let value = select(vec4<f32>(), factor_0_0 * sum, kept_0);
    out[at] += value;
  }
  let row_0_1 = m0 + a_from_0 * 4u + 1u;
  let factor_0_1 = params.alpha * column_scales[params.a_column + min(row_0_1, params.m - 1u) / 4u][1];
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_1 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_1) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_01_00, sum_01_01);
    let value = select(vec4<f32>(), factor_0_1 * sum, kept_0);
    out[at] += value;
  }
  let row_0_2 = m0 + a_from_0 * 4u + 2u;
  let factor_0_2 = params.alpha * column_scales[params.a_column + min(row_0_2, params.m - 1u) / 4u][2];
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_2 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_2) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_02_00, sum_02_01);
    let value = select(vec4<f32>(), factor_0_2 * sum, kept_0);
    out[at] += value;
  }
  let row_0_3 = m0 + a_from_0 * 4u + 3u;
  let factor_0_3 = params.alpha * column_scales[params.a_column + min(row_0_3, params.m - 1u) / 4u][3];
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_3 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_3) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_03_00, sum_03_01);
    let value = select(vec4<f32>(), factor_0_3 * sum, kept_0);
    out[at] += value;
  }
  let row_1_0 = m0 + a_from_1 * 4u + 0u;
  let factor_1_0 = params.alpha * column_scales[params.a_column + min(row_1_0, params.m - 1u) / 4u][0];
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_0 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_0) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_10_00, sum_10_01);
    let value = select(vec4<f32>(), factor_1_0 * sum, kept_0);
    out[at] += value;
  }
  let row_1_1 = m0 + a_from_1 * 4u + 1u;
  let factor_1_1 = params.alpha * column_scales[params.a_column + min(row_1_1, params.m - 1u) / 4u][1];
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_1 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_1) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_11_00, sum_11_01);
    let value = select(vec4<f32>(), factor_1_1 * sum, kept_0);
    out[at] += value;
  }
  let row_1_2 = m0 + a_from_1 * 4u + 2u;
  let factor_1_2 = params.alpha * column_scales[params.a_column + min(row_1_2, params.m - 1u) / 4u][2];
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_2 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_2) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_12_00, sum_12_01);
    let value = select(vec4<f32>(), factor_1_2 * sum, kept_0);
    out[at] += value;
  }
  let row_1_3 = m0 + a_from_1 * 4u + 3u;
  let factor_1_3 = params.alpha * column_scales[params.a_column + min(row_1_3, params.m - 1u) / 4u][3];
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_3 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_3) * params.out_pitch + column_0) / 4u;
    let sum = vec4<f32>(sum_13_00, sum_13_01);
    let value = select(vec4<f32>(), factor_1_3 * sum, kept_0);
    out[at] += value;
  }
}

