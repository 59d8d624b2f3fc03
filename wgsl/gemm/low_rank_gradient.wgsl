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

//! include low_rank_right.wgsl

// Four values as they are.
fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
//! if B_CODES
  return right_values(quad) / scale;
//! else
  return quad;
//! end
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
//! unroll t 0 A_LOADS
  let a_token_$t = (thread + ${t}u * THREADS) / (BM / 4u);
  let a_slot_$t = (thread + ${t}u * THREADS) % (BM / 4u);
  let a_at_$t = params.a_column / 4u + min(m0 / 4u + a_slot_$t, (params.m - 1u) / 4u);
  var a_next_$t = a[min(first + a_token_$t, last_token) * (params.a_pitch / 4u) + a_at_$t];
//! end
//! unroll t 0 B_LOADS
  let b_token_$t = (thread + ${t}u * THREADS) / (BN / 4u);
  let b_slot_$t = (thread + ${t}u * THREADS) % (BN / 4u);
  let b_at_$t = params.b_column / 4u + min(n0 / 4u + b_slot_$t, (params.n - 1u) / 4u);
  var b_next_$t = fetch_right(min(first + b_token_$t, last_token), b_at_$t, params.b_pitch / 4u);
  var b_scale_$t = right_scale(min(first + b_token_$t, last_token));
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_${i}_${c}_$j = vec4<f32>();
//! end
//! end
//! end

  for (var t0 = first; t0 < end; t0 += BK) {
    workgroupBarrier();
//! unroll t 0 A_LOADS
    if (thread + ${t}u * THREADS < A_TASKS) { a_tile[a_token_$t][a_slot_$t] = a_next_$t; }
//! end
//! unroll t 0 B_LOADS
    if (thread + ${t}u * THREADS < B_TASKS) {
      b_tile[b_token_$t][b_slot_$t] = select(
        vec4<f32>(), right_quad(b_next_$t, b_scale_$t), t0 + b_token_$t < end);
    }
//! end
    workgroupBarrier();
    let t1 = t0 + BK;
//! unroll t 0 A_LOADS
    a_next_$t = a[min(t1 + a_token_$t, last_token) * (params.a_pitch / 4u) + a_at_$t];
//! end
//! unroll t 0 B_LOADS
    b_next_$t = fetch_right(min(t1 + b_token_$t, last_token), b_at_$t, params.b_pitch / 4u);
    b_scale_$t = right_scale(min(t1 + b_token_$t, last_token));
//! end
//! unroll k 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$k][tm + ${i}u * ROW_LANES];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$k][tn + ${j}u * COLUMN_LANES];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
      sum_${i}_${c}_$j = fma(vec4<f32>(a_$i[$c]), b_$j, sum_${i}_${c}_$j);
//! end
//! end
//! end
    }
//! end
  }

//! unroll j 0 TN/4
  let column_$j = n0 + (tn + ${j}u * COLUMN_LANES) * 4u;
  let kept_$j = column_$j + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_${i}_$c = m0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u;
//! unroll j 0 TN/4
  // Up to the pitch: the columns behind n are zeros.
  if (row_${i}_$c < params.m && column_$j < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_${i}_$c) * params.out_pitch + column_$j) / 4u;
    let value = select(vec4<f32>(), params.alpha * sum_${i}_${c}_$j, kept_$j);
//! if ACCUMULATE
    out[at] += value;
//! else
    out[at] = value;
//! end
  }
//! end
//! end
//! end
}
