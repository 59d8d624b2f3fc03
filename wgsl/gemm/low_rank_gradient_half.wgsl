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
enable f16;

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
//! if A_TYPE == f16
alias Quad = vec4<f16>;
//! else
alias Quad = vec4<f32>;
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
//! end
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;
@group(0) @binding(3) var<storage, read> run_scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;
//! end

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
//! if A_TYPE == f32
//! if COLUMN_SCALES
  let a_factor = 1.0 / column_scales[a_at];
//! else
  let a_factor = vec4<f32>(1.0);
//! end
//! end
//! unroll t 0 A_LOADS
  let a_pair_$t = (thread + ${t}u * THREADS) / (BM / 4u);
  let a_even_at_$t = min(first + 2u * a_pair_$t, last_token);
  let a_odd_at_$t = min(first + 2u * a_pair_$t + 1u, last_token);
  var a_even_$t = a[a_even_at_$t * params.a_pitch + a_at];
  var a_odd_$t = a[a_odd_at_$t * params.a_pitch + a_at];
//! if A_TYPE == f32
  var a_scales_$t = vec2<f32>(row_scales[a_even_at_$t], row_scales[a_odd_at_$t]);
//! end
//! end
//! unroll t 0 B_LOADS
  let b_pair_$t = (thread + ${t}u * THREADS) / (BN / 4u);
  let b_slot_$t = (thread + ${t}u * THREADS) % (BN / 4u);
  let b_at_$t = b_pair_$t * params.b_pitch + min(params.b_column + n0 / 4u + b_slot_$t, params.b_pitch - 1u);
  var b_next_$t = b[b_at_$t + first / 2u * params.b_pitch];
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + ${i}u * ROW_LANES;
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + ${j}u * COLUMN_LANES;
  let scale_at_$j = min(params.b_column + n0 / 4u + b_from_$j, params.b_pitch - 1u);
//! end

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
  var sum_${i}${c}_$j$h = vec2<f32>();
//! end
//! end
//! end
//! end
  for (var run = first; run < end; run += RUN) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    var half_${i}${c}_$j$h = vec4<f16>(); // here, so that it takes no register while values are moved
//! end
//! end
//! end
//! end
    let run_stop = run + RUN;
    for (var t0 = run; t0 < run_stop; t0 += BK) {
      workgroupBarrier();
//! unroll t 0 A_LOADS
      if (thread + ${t}u * THREADS < A_TASKS) {
//! if A_TYPE == f32
        a_tile[a_pair_$t][a_slot] = pairs_of(
          vec4<f16>(a_even_$t * (a_scales_$t.x * a_factor)), vec4<f16>(a_odd_$t * (a_scales_$t.y * a_factor)));
//! else
        a_tile[a_pair_$t][a_slot] = pairs_of(a_even_$t, a_odd_$t);
//! end
      }
//! end
//! unroll t 0 B_LOADS
      if (thread + ${t}u * THREADS < B_TASKS) { b_tile[b_pair_$t][b_slot_$t] = b_next_$t; }
//! end
      workgroupBarrier();
      // The last step fetches values of its own again: cheaper than to ask.
      let next = min(t0 + BK, last_step);
//! unroll t 0 A_LOADS
      {
        let even = min(next + 2u * a_pair_$t, last_token);
        let odd = min(next + 2u * a_pair_$t + 1u, last_token);
        a_even_$t = a[even * params.a_pitch + a_at];
        a_odd_$t = a[odd * params.a_pitch + a_at];
//! if A_TYPE == f32
        a_scales_$t = vec2<f32>(row_scales[even], row_scales[odd]);
//! end
      }
//! end
//! unroll t 0 B_LOADS
      b_next_$t = b[b_at_$t + next / 2u * params.b_pitch];
//! end
//! unroll k 0 BK/2
      {
//! unroll i 0 TM/4
        let a_$i = a_tile[$k][a_from_$i];
        let a_${i}0 = a_$i[0].xyxy;
        let a_${i}1 = a_$i[0].zwzw;
        let a_${i}2 = a_$i[1].xyxy;
        let a_${i}3 = a_$i[1].zwzw;
//! end
//! unroll j 0 TN/4
        let b_$j = b_tile[$k][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
        half_${i}${c}_$j$h = fma(a_${i}$c, b_$j[$h], half_${i}${c}_$j$h);
//! end
//! end
//! end
//! end
      }
//! end
    }
//! unroll j 0 TN/4
    let scale_$j = run_scales[run / RUN * params.b_pitch + scale_at_$j];
    let scale_${j}0 = scale_$j.xy;
    let scale_${j}1 = scale_$j.zw;
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    {
      let wide = vec4<f32>(half_${i}${c}_$j$h);
      sum_${i}${c}_$j$h = fma(wide.xz + wide.yw, scale_$j$h, sum_${i}${c}_$j$h);
    }
//! end
//! end
//! end
//! end
  }

//! unroll j 0 TN/4
  let column_$j = n0 + b_from_$j * 4u;
  let kept_$j = column_$j + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_${i}_$c = m0 + a_from_$i * 4u + ${c}u;
//! if COLUMN_SCALES
  let factor_${i}_$c = params.alpha * column_scales[params.a_column + min(row_${i}_$c, params.m - 1u) / 4u][$c];
//! else
  let factor_${i}_$c = params.alpha;
//! end
//! unroll j 0 TN/4
  // Up to the pitch: the columns behind n are zeros.
  if (row_${i}_$c < params.m && column_$j < ((params.n + 15u) & ~15u)) {
    let at = ((group.z * params.m + row_${i}_$c) * params.out_pitch + column_$j) / 4u;
    let sum = vec4<f32>(sum_${i}${c}_${j}0, sum_${i}${c}_${j}1);
    let value = select(vec4<f32>(), factor_${i}_$c * sum, kept_$j);
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
