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
//! include fragments.wgsl
//! include low_rank_right.wgsl

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
//! if COLUMN_SCALES
@group(0) @binding(5) var<storage, read> column_scales: array<vec4<f32>>; // of the columns of a
//! end

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
//! if A_TYPE == f16
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> row_scales: array<f32>; // of the rows of a

fn scale_of(token: u32) -> f32 {
  return row_scales[token] * right_scale(token);
}

fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
  return saturated(right_values(quad) * (used_power() / scale));
}
//! else
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

fn scale_of(token: u32) -> f32 {
  return right_scale(token);
}

fn right_quad(quad: RightQuad, scale: f32) -> vec4<f32> {
//! if B_CODES
  return saturated(right_values(quad) / scale);
//! else
  return saturated(quad);
//! end
}

// The factors of four columns of `a`, from the one at `quad` on.
fn factor_of(quad: u32) -> vec4<f32> {
//! if COLUMN_SCALES
  return used_power() / column_scales[quad];
//! else
  return vec4<f32>(used_power());
//! end
}
//! end

// Stores four neighbouring sums of a row.
fn store(split: u32, row: u32, column: u32, sum: vec4<f32>) {
  // Up to the pitch: the columns behind n are zeros.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
  var value = sum * (params.alpha / used_power());
//! if COLUMN_SCALES
  value *= column_scales[params.a_column + row / 4u][row % 4u];
//! end
  value = select(vec4<f32>(), value, column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n));
  let at = ((split * params.m + row) * params.out_pitch + column) / 4u;
//! if ACCUMULATE
  out[at] += value;
//! else
  out[at] = value;
//! end
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
//! if A_TYPE == f16
  let a_pitch = params.a_pitch / 2u; // in eights, as a_eight
  let a_eight = min(params.a_column + m0 / 4u + 2u * a_vector, a_end) / 2u;
//! else
  let a_pitch = params.a_pitch;
  let a_low = min(params.a_column + m0 / 4u + a_vector, a_end);
  let a_high = min(params.a_column + m0 / 4u + a_vector + A_VECTORS, a_end);
  let a_low_factor = factor_of(a_low);
  let a_high_factor = factor_of(a_high);
//! end
  let b_token = thread / B_VECTORS;
  let b_vector = thread % B_VECTORS;
  let b_end = params.b_column + (params.n - 1u) / 4u;
  let b_low = min(params.b_column + n0 / 4u + b_vector, b_end);
  let b_high = min(params.b_column + n0 / 4u + b_vector + B_VECTORS, b_end);
//! unroll p 0 A_LOADS
  let a_row_$p = min(first + a_token + ${p}u * A_TOKENS, last_token) * a_pitch;
//! if A_TYPE == f16
  var a_f16_$p = a[a_row_$p + a_eight];
//! else
  var a_low_$p = a[a_row_$p + a_low];
  var a_high_$p = a[a_row_$p + a_high];
//! end
//! end
//! unroll p 0 B_LOADS
  let b_row_$p = min(first + b_token + ${p}u * B_TOKENS, last_token);
  var b_low_$p = fetch_right(b_row_$p, b_low, params.b_pitch);
  var b_high_$p = fetch_right(b_row_$p, b_high, params.b_pitch);
  var b_scale_$p = scale_of(b_row_$p);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_${i}_$j = Sum();
//! end
//! end

  for (var step = 0u; step < STEPS; step += 1u) {
    let t0 = first + step * BK;
    workgroupBarrier();
//! unroll p 0 A_LOADS
//! if A_TYPE == f16
    tile[(a_token + ${p}u * A_TOKENS) * A_ROW + a_vector] = a_f16_$p;
//! else
    tile[(a_token + ${p}u * A_TOKENS) * A_ROW + a_vector] = to_f16(a_low_$p * a_low_factor, a_high_$p * a_high_factor);
//! end
//! end
//! unroll p 0 B_LOADS
    tile[B_TILE + (b_token + ${p}u * B_TOKENS) * B_ROW + b_vector] = select(
      vec4<u32>(), to_f16(right_quad(b_low_$p, b_scale_$p), right_quad(b_high_$p, b_scale_$p)),
      t0 + b_token + ${p}u * B_TOKENS < params.tokens);
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let next = first + min(step + 1u, STEPS - 1u) * BK;
//! unroll p 0 A_LOADS
    {
      let row = min(next + a_token + ${p}u * A_TOKENS, last_token) * a_pitch;
//! if A_TYPE == f16
      a_f16_$p = a[row + a_eight];
//! else
      a_low_$p = a[row + a_low];
      a_high_$p = a[row + a_high];
//! end
    }
//! end
//! unroll p 0 B_LOADS
    {
      let row = min(next + b_token + ${p}u * B_TOKENS, last_token);
      b_low_$p = fetch_right(row, b_low, params.b_pitch);
      b_high_$p = fetch_right(row, b_high, params.b_pitch);
      b_scale_$p = scale_of(row);
    }
//! end
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = load_left_transposed(16u * ${kk}u * A_ROW + half_m * (BM / 16u) + 2u * ${i}u, A_ROW);
//! end
//! unroll j 0 BN/32
      let b_$j = load_right(B_TILE + 16u * ${kk}u * B_ROW + half_n * (BN / 16u) + 2u * ${j}u, B_ROW);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
      sum_${i}_$j = multiply_add(a_$i, b_$j, sum_${i}_$j);
//! end
//! end
    }
//! end
  }

  // 16 rows at a time: a subgroup's 16 × (BN / 2) sums, then its lanes store them row by row.
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
//! unroll i 0 BM/32
  workgroupBarrier();
//! unroll j 0 BN/32
  store_sum(mine + 4u * ${j}u, OUT_ROW, sum_${i}_$j);
//! end
  workgroupBarrier();
//! unroll q 0 BN/16
  {
    let item = lane + 32u * ${q}u;
    let strip_row = item / (BN / 8u);
    let strip_quad = item % (BN / 8u);
    let tile_row = half_m * (BM / 2u) + 16u * ${i}u + strip_row;
//! if A_TYPE == f16
    let row = m0 + tile_row;
//! else
    let row = m0 + in_order(tile_row / 4u, A_VECTORS) * 4u + tile_row % 4u;
//! end
    let column = n0 + in_order(half_n * (BN / 8u) + strip_quad, B_VECTORS) * 4u;
    store(group.z, row, column, bitcast<vec4<f32>>(tile[mine + strip_row * OUT_ROW + strip_quad]));
  }
//! end
//! end
}

// Which quad of a row lies at place `quad` of the tile, whose row has `vectors` pairs of them.
fn in_order(quad: u32, vectors: u32) -> u32 { return quad / 2u + quad % 2u * vectors; }
