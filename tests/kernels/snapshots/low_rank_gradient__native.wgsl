const BM = 64;
const BN = 128;
const BK = 16;
const TM = 8;
const TN = 8;
const A_LOADS = 2;
const B_LOADS = 4;
// The gradient of a factor of low rank, out[m][n] = alpha · Σ_t a[t][m] · b[t][n], in f32: many rows m, few columns
// n, a long sum over tokens. FALQON's dB = c · Gᵀ·(x·Aᵀ).
//
// Shapes: a f32 [tokens, ·] from column a_column on, b f32 or codes [tokens, ·] from b_column on, out f32 [m, n].
// Idea: both operands lie along the outer index, so they pass to workgroup memory as they are. A workgroup makes BM rows
// of out and, where they fit, all its columns, so that a is read once; a thread makes TM × TN values in registers. To
// give a large GPU enough workgroups the tokens are split, `split_k` to each z, whose partial results are added in
// order by sum_partials.wgsl. Indices are clamped instead of guarded: what is past the end of the tokens counts zero by
// b, and rows and columns that are not there are not stored.

struct Params {
  m: u32,
  n: u32,
  tokens: u32,
  split_k: u32,   // tokens of a workgroup, a multiple of BK
  a_pitch: u32,
  a_column: u32,
  b_pitch: u32,
  b_column: u32,
  out_pitch: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// The right factor of a gradient of low rank, four columns of a token at a time: f32, or (B_CODES) codes, the rows of
// which were multiplied by b_scales. Include-only; constants of the codes' format from src/kernels/codes.ts.
//
// They are fetched as they are stored, well before they are used, and decoded where they are.
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

alias RightQuad = vec4<f32>;

fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[token * quads + at]; }
fn right_scale(token: u32) -> f32 { return 1.0; }
fn right_values(quad: RightQuad) -> vec4<f32> { return quad; }


// Four values as they are.
fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
  return quad;
}

const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const THREADS = ROW_LANES * COLUMN_LANES;
const A_TASKS = BK * BM / 4; // one vec4 each
const B_TASKS = BK * BN / 4;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4>, BK>; // [token][row / 4]
var<workgroup> b_tile: array<array<vec4<f32>, BN / 4>, BK>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let first = group.z * params.split_k;
  let end = min(first + params.split_k, params.tokens);
  let last_token = params.tokens - 1u;
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // What this thread fetches: tokens relative to the step, and places in a row, counted in vec4s.
  let a_token_0 = (thread + 0u * THREADS) / (BM / 4u);
  let a_slot_0 = (thread + 0u * THREADS) % (BM / 4u);
  let a_at_0 = params.a_column / 4u + min(m0 / 4u + a_slot_0, (params.m - 1u) / 4u);
  var a_next_0 = a[min(first + a_token_0, last_token) * (params.a_pitch / 4u) + a_at_0];
  let a_token_1 = (thread + 1u * THREADS) / (BM / 4u);
  let a_slot_1 = (thread + 1u * THREADS) % (BM / 4u);
  let a_at_1 = params.a_column / 4u + min(m0 / 4u + a_slot_1, (params.m - 1u) / 4u);
  var a_next_1 = a[min(first + a_token_1, last_token) * (params.a_pitch / 4u) + a_at_1];
  let b_token_0 = (thread + 0u * THREADS) / (BN / 4u);
  let b_slot_0 = (thread + 0u * THREADS) % (BN / 4u);
  let b_at_0 = params.b_column / 4u + min(n0 / 4u + b_slot_0, (params.n - 1u) / 4u);
  var b_next_0 = fetch_right(min(first + b_token_0, last_token), b_at_0, params.b_pitch / 4u);
  var b_scale_0 = right_scale(min(first + b_token_0, last_token));
  let b_token_1 = (thread + 1u * THREADS) / (BN / 4u);
  let b_slot_1 = (thread + 1u * THREADS) % (BN / 4u);
  let b_at_1 = params.b_column / 4u + min(n0 / 4u + b_slot_1, (params.n - 1u) / 4u);
  var b_next_1 = fetch_right(min(first + b_token_1, last_token), b_at_1, params.b_pitch / 4u);
  var b_scale_1 = right_scale(min(first + b_token_1, last_token));
  let b_token_2 = (thread + 2u * THREADS) / (BN / 4u);
  let b_slot_2 = (thread + 2u * THREADS) % (BN / 4u);
  let b_at_2 = params.b_column / 4u + min(n0 / 4u + b_slot_2, (params.n - 1u) / 4u);
  var b_next_2 = fetch_right(min(first + b_token_2, last_token), b_at_2, params.b_pitch / 4u);
  var b_scale_2 = right_scale(min(first + b_token_2, last_token));
  let b_token_3 = (thread + 3u * THREADS) / (BN / 4u);
  let b_slot_3 = (thread + 3u * THREADS) % (BN / 4u);
  let b_at_3 = params.b_column / 4u + min(n0 / 4u + b_slot_3, (params.n - 1u) / 4u);
  var b_next_3 = fetch_right(min(first + b_token_3, last_token), b_at_3, params.b_pitch / 4u);
  var b_scale_3 = right_scale(min(first + b_token_3, last_token));
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

  for (var t0 = first; t0 < end; t0 += BK) {
    workgroupBarrier();
    if (thread + 0u * THREADS < A_TASKS) { a_tile[a_token_0][a_slot_0] = a_next_0; }
    if (thread + 1u * THREADS < A_TASKS) { a_tile[a_token_1][a_slot_1] = a_next_1; }
    if (thread + 0u * THREADS < B_TASKS) {
      b_tile[b_token_0][b_slot_0] = select(
        vec4<f32>(), right_quad(b_next_0, b_scale_0), t0 + b_token_0 < end);
    }
    if (thread + 1u * THREADS < B_TASKS) {
      b_tile[b_token_1][b_slot_1] = select(
        vec4<f32>(), right_quad(b_next_1, b_scale_1), t0 + b_token_1 < end);
    }
    if (thread + 2u * THREADS < B_TASKS) {
      b_tile[b_token_2][b_slot_2] = select(
        vec4<f32>(), right_quad(b_next_2, b_scale_2), t0 + b_token_2 < end);
    }
    if (thread + 3u * THREADS < B_TASKS) {
      b_tile[b_token_3][b_slot_3] = select(
        vec4<f32>(), right_quad(b_next_3, b_scale_3), t0 + b_token_3 < end);
    }
    workgroupBarrier();
    let t1 = t0 + BK;
    a_next_0 = a[min(t1 + a_token_0, last_token) * (params.a_pitch / 4u) + a_at_0];
    a_next_1 = a[min(t1 + a_token_1, last_token) * (params.a_pitch / 4u) + a_at_1];
    b_next_0 = fetch_right(min(t1 + b_token_0, last_token), b_at_0, params.b_pitch / 4u);
    b_scale_0 = right_scale(min(t1 + b_token_0, last_token));
    b_next_1 = fetch_right(min(t1 + b_token_1, last_token), b_at_1, params.b_pitch / 4u);
    b_scale_1 = right_scale(min(t1 + b_token_1, last_token));
    b_next_2 = fetch_right(min(t1 + b_token_2, last_token), b_at_2, params.b_pitch / 4u);
    b_scale_2 = right_scale(min(t1 + b_token_2, last_token));
    b_next_3 = fetch_right(min(t1 + b_token_3, last_token), b_at_3, params.b_pitch / 4u);
    b_scale_3 = right_scale(min(t1 + b_token_3, last_token));
    {
      let a_0 = a_tile[0][tm + 0u * ROW_LANES];
      let a_1 = a_tile[0][tm + 1u * ROW_LANES];
      let b_0 = b_tile[0][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[0][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[1][tm + 0u * ROW_LANES];
      let a_1 = a_tile[1][tm + 1u * ROW_LANES];
      let b_0 = b_tile[1][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[1][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[2][tm + 0u * ROW_LANES];
      let a_1 = a_tile[2][tm + 1u * ROW_LANES];
      let b_0 = b_tile[2][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[2][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[3][tm + 0u * ROW_LANES];
      let a_1 = a_tile[3][tm + 1u * ROW_LANES];
      let b_0 = b_tile[3][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[3][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[4][tm + 0u * ROW_LANES];
      let a_1 = a_tile[4][tm + 1u * ROW_LANES];
      let b_0 = b_tile[4][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[4][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[5][tm + 0u * ROW_LANES];
      let a_1 = a_tile[5][tm + 1u * ROW_LANES];
      let b_0 = b_tile[5][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[5][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[6][tm + 0u * ROW_LANES];
      let a_1 = a_tile[6][tm + 1u * ROW_LANES];
      let b_0 = b_tile[6][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[6][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[7][tm + 0u * ROW_LANES];
      let a_1 = a_tile[7][tm + 1u * ROW_LANES];
      let b_0 = b_tile[7][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[7][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[8][tm + 0u * ROW_LANES];
      let a_1 = a_tile[8][tm + 1u * ROW_LANES];
      let b_0 = b_tile[8][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[8][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[9][tm + 0u * ROW_LANES];
      let a_1 = a_tile[9][tm + 1u * ROW_LANES];
      let b_0 = b_tile[9][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[9][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[10][tm + 0u * ROW_LANES];
      let a_1 = a_tile[10][tm + 1u * ROW_LANES];
      let b_0 = b_tile[10][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[10][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[11][tm + 0u * ROW_LANES];
      let a_1 = a_tile[11][tm + 1u * ROW_LANES];
      let b_0 = b_tile[11][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[11][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[12][tm + 0u * ROW_LANES];
      let a_1 = a_tile[12][tm + 1u * ROW_LANES];
      let b_0 = b_tile[12][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[12][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[13][tm + 0u * ROW_LANES];
      let a_1 = a_tile[13][tm + 1u * ROW_LANES];
      let b_0 = b_tile[13][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[13][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[14][tm + 0u * ROW_LANES];
      let a_1 = a_tile[14][tm + 1u * ROW_LANES];
      let b_0 = b_tile[14][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[14][tn + 1u * COLUMN_LANES];
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
      let a_0 = a_tile[15][tm + 0u * ROW_LANES];
      let a_1 = a_tile[15][tm + 1u * ROW_LANES];
      let b_0 = b_tile[15][tn + 0u * COLUMN_LANES];
      let b_1 = b_tile[15][tn + 1u * COLUMN_LANES];
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

  let column_0 = n0 + (tn + 0u * COLUMN_LANES) * 4u;
  let kept_0 = column_0 + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  let column_1 = n0 + (tn + 1u * COLUMN_LANES) * 4u;
  let kept_1 = column_1 + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  let row_0_0 = m0 + (tm + 0u * ROW_LANES) * 4u + 0u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_0 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_0) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_0_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_0 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_0) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_0_1, kept_1);
    out[at] += value;
  }
  let row_0_1 = m0 + (tm + 0u * ROW_LANES) * 4u + 1u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_1 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_1) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_1_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_1 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_1) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_1_1, kept_1);
    out[at] += value;
  }
  let row_0_2 = m0 + (tm + 0u * ROW_LANES) * 4u + 2u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_2 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_2) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_2_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_2 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_2) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_2_1, kept_1);
    out[at] += value;
  }
  let row_0_3 = m0 + (tm + 0u * ROW_LANES) * 4u + 3u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_3 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_3) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_3_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_0_3 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_0_3) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_0_3_1, kept_1);
    out[at] += value;
  }
  let row_1_0 = m0 + (tm + 1u * ROW_LANES) * 4u + 0u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_0 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_0) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_0_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_0 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_0) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_0_1, kept_1);
    out[at] += value;
  }
  let row_1_1 = m0 + (tm + 1u * ROW_LANES) * 4u + 1u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_1 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_1) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_1_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_1 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_1) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_1_1, kept_1);
    out[at] += value;
  }
  let row_1_2 = m0 + (tm + 1u * ROW_LANES) * 4u + 2u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_2 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_2) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_2_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_2 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_2) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_2_1, kept_1);
    out[at] += value;
  }
  let row_1_3 = m0 + (tm + 1u * ROW_LANES) * 4u + 3u;
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_3 < params.m && column_0 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_3) * params.out_pitch + column_0) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_3_0, kept_0);
    out[at] += value;
  }
  // Up to the pitch: the columns behind n are zeros.
  if (row_1_3 < params.m && column_1 < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_1_3) * params.out_pitch + column_1) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_1_3_1, kept_1);
    out[at] += value;
  }
}

