// falqon_update.wgsl in packed half-precision arithmetic, for GPUs without tensor cores: all rows of a weight, in place,
// rounded stochastically, from up to 2 · PAIRS of the rank; from the codes as they are, or (RECOVERS) as they were before training.
//
// f16 holds A~ exactly, and the 11 bits of β: a power of two for each row brings the largest |β| to [2^(EXPONENT - 1),
// 2^EXPONENT), where PAIRS products with the largest A~ stay below 2^15: sums cannot overflow, rounding included. Of β
// below 2^-13 - EXPONENT of that, f16 keeps fewer bits. Sums are f16 over each half of the rank, then f32: about 2^-10 of a
// sum is off, to either side, and a code is other than the rule's only where the threshold lies between. Thresholds do not
// depend on the kernel. What the codes were before training is recovered by the very sums that it was changed by: both sets
// of sums are made by the same operations, of the same B to the same bits.
//
// Idea, as in gemm_f16.wgsl: a pair along the rank is multiplied by a pair, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. A workgroup keeps the coefficients of its BM
// rows in workgroup memory and walks along STEPS tiles of BN columns, of which A~ is decoded once, all of the rank; a thread
// makes TM × TN of a tile's sums in registers, first with B before the last step where that is wanted, then with B. The next
// tile's codes of A~ are fetched before codes are made of sums. UNROLL pairs are written out: a driver that knew how many of
// these the rank has would write them all out, and compile for longer.
enable f16;
//! include falqon_row.wgsl
//! include falqon_part.wgsl MEASURES=false

alias Pairs = array<vec4<f16>, 2>; // four neighbouring rows, or columns, each a pair along the rank

const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const THREADS = ROW_LANES * COLUMN_LANES;
const RANK_LANES = 4u * THREADS / BM; // threads that share the coefficients of four rows
const RANK_QUADS = PAIRS / 2u;
const A_TASKS = PAIRS * BN / 4;

var<workgroup> beta: array<array<array<array<Pairs, BM / 4>, UNROLL>, PAIRS / UNROLL>, SETS>; // [sweep][pair][row / 4]
var<workgroup> a_tile: array<array<array<Pairs, BN / 4>, UNROLL>, PAIRS / UNROLL>;
var<workgroup> largest: array<array<vec4<u32>, THREADS>, SETS>; // the bits of |β|
var<workgroup> units: array<array<vec4<f32>, BM / 4>, SETS>; // what each row's sums are multiplied by

// Coefficients of one row, from element j on; with two sets, the first is of B before the last step.
fn row_coefficients(sweep: u32, row: u32, factor: f32, j: u32) -> vec4<f32> {
  let last = params.rank - 1u;
  let at = row * params.b_pitch;
  let js = min(vec4<u32>(j, j + 1u, j + 2u, j + 3u), vec4<u32>(last));
  var given = vec4<f32>(b[at + js.x], b[at + js.y], b[at + js.z], b[at + js.w]);
//! if RECOVERS
  if (sweep == 0u) { given -= vec4<f32>(b_change[at + js.x], b_change[at + js.y], b_change[at + js.z], b_change[at + js.w]); }
//! end
  let columns = vec4<f32>(column_factors[js.x], column_factors[js.y], column_factors[js.z], column_factors[js.w]);
  let inside = vec4<u32>(j, j + 1u, j + 2u, j + 3u) < vec4<u32>(params.rank);
  return coefficients(select(vec4<f32>(), given, inside), columns, vec4<f32>(factor));
}

fn magnitude(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// The two parts of four sums, added in f32.
fn joined(low: vec4<f16>, high: vec4<f16>) -> vec4<f32> {
  let a = vec4<f32>(low);
  let b = vec4<f32>(high);
  return vec4<f32>(a.xz + a.yw, b.xz + b.yw);
}

// Four codes of A~: row j of the rank (beyond it, any, as its coefficients are zero) and vector v of the columns.
fn a_codes(j: u32, v: u32) -> u32 {
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), min(v, params.vectors - 1u))];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let p0 = group.y * BM;
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // The first tile's A~: pairs of its rows.
  let first = group.x * (STEPS * BN / 4u);
  let steps = min(u32(STEPS), (params.vectors - first + BN / 4u - 1u) / (BN / 4u));
  let a_v = thread % (BN / 4u);
//! unroll t 0 A_LOADS
  let a_pair_$t = thread / (BN / 4u) + ${t}u * (THREADS / (BN / 4u));
  var a_even_$t = a_codes(2u * a_pair_$t, first + a_v);
  var a_odd_$t = a_codes(2u * a_pair_$t + 1u, first + a_v);
//! end

  // The coefficients of four rows, of which a thread takes every RANK_LANES-th four along the rank.
  for (var sweep = 0u; sweep < SETS; sweep += 1u) {
    let lane = thread % RANK_LANES;
    let slot = thread / RANK_LANES;
    var bits = vec4<u32>();
//! unroll c 0 4
    let row_$c = min(p0 + slot * 4u + ${c}u, params.count - 1u);
    let factor_$c = row_factors[row_$c];
//! unroll t 0 BETA_LOADS
    let beta_${c}_$t = row_coefficients(sweep, row_$c, factor_$c, 4u * (lane + ${t}u * RANK_LANES));
    bits[$c] = max(bits[$c], magnitude(beta_${c}_$t));
//! end
//! end
    largest[sweep][thread] = bits;
    workgroupBarrier();
    for (var other = 0u; other < RANK_LANES; other += 1u) { bits = max(bits, largest[sweep][slot * RANK_LANES + other]); }
    // All coefficients zero: as for the smallest one.
    let exponent = max(bits, vec4<u32>(SMALLEST_COEFFICIENT_BITS)) >> vec4<u32>(23u);
    let power_bits = vec4<u32>(253u + EXPONENT) - exponent;
    let power = bitcast<vec4<f32>>(power_bits << vec4<u32>(23u));
    if (lane == 0u) {
      let unit = (vec4<u32>(254u - CHANGE_SHIFT) - power_bits) << vec4<u32>(23u);
      // A coefficient that is not finite makes all sums of its row NaN.
      units[sweep][slot] = bitcast<vec4<f32>>(select(unit, bits | vec4<u32>(0x7fc00000u), bits >= vec4<u32>(0x7f800000u)));
    }
//! unroll t 0 BETA_LOADS
    let quad_$t = lane + ${t}u * RANK_LANES;
    if (quad_$t < RANK_QUADS) {
//! unroll c 0 4
      let scaled_${c}_$t = vec4<f16>(beta_${c}_$t * power[$c]);
//! end
      let pair = 2u * quad_$t;
//! for n,parts in 0,xy 1,zw
      beta[sweep][(pair + $n) / UNROLL][(pair + $n) % UNROLL][slot] = Pairs(
        vec4<f16>(scaled_0_$t.$parts, scaled_1_$t.$parts), vec4<f16>(scaled_2_$t.$parts, scaled_3_$t.$parts));
//! end
    }
//! end
  }
  let turn = rounding_turn();
  let parts = (params.rank + 2u * UNROLL - 1u) / (2u * UNROLL);

  for (var step = 0u; step < steps; step += 1u) {
    // This thread's columns, and the codes to start from.
//! unroll n 0 TN/4
    let v_$n = first + step * (BN / 4u) + tn + ${n}u * COLUMN_LANES;
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
    var from_${i}_${c}_$n =
      base_codes(min(p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u, params.count - 1u), min(v_$n, params.vectors - 1u));
//! end
//! end
//! end
    workgroupBarrier();
//! unroll t 0 A_LOADS
    if (thread + ${t}u * THREADS < A_TASKS) {
      let even = decode4(a_even_$t);
      let odd = decode4(a_odd_$t);
      a_tile[a_pair_$t / UNROLL][a_pair_$t % UNROLL][a_v] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
//! end
    workgroupBarrier();
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
//! unroll h 0 2
    var sum_${i}${c}_$n$h: vec4<f16>;
//! end
//! end
//! end
//! end
    for (var sweep = 0u; sweep < SETS; sweep += 1u) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
//! unroll h 0 2
      sum_${i}${c}_$n$h = vec4<f16>();
//! end
//! end
//! end
//! end
      for (var part = 0u; part < parts; part += 1u) {
//! unroll k 0 UNROLL
        {
//! unroll i 0 TM/4
          let beta_$i = beta[sweep][part][$k][tm + ${i}u * ROW_LANES];
          let beta_${i}0 = beta_$i[0].xyxy;
          let beta_${i}1 = beta_$i[0].zwzw;
          let beta_${i}2 = beta_$i[1].xyxy;
          let beta_${i}3 = beta_$i[1].zwzw;
//! end
//! unroll n 0 TN/4
          let a_$n = a_tile[part][$k][tn + ${n}u * COLUMN_LANES];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
//! unroll h 0 2
          sum_${i}${c}_$n$h = fma(beta_${i}$c, a_$n[$h], sum_${i}${c}_$n$h);
//! end
//! end
//! end
//! end
        }
//! end
      }
//! if RECOVERS
      if (sweep == 0u) {
//! unroll i 0 TM/4
        let units_$i = units[0][tm + ${i}u * ROW_LANES];
//! unroll c 0 4
        let row_${i}_$c = p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u;
//! unroll n 0 TN/4
        from_${i}_${c}_$n = first_codes(from_${i}_${c}_$n, joined(sum_${i}${c}_${n}0, sum_${i}${c}_${n}1) * units_$i[$c],
                                        thresholds(rounding_word(row_${i}_$c, v_$n / 2u), v_$n % 2u, turn));
//! end
//! end
//! end
      }
//! end
    }
    // The next tile's, or beyond the row, its last codes again.
//! unroll t 0 A_LOADS
    a_even_$t = a_codes(2u * a_pair_$t, first + (step + 1u) * (BN / 4u) + a_v);
    a_odd_$t = a_codes(2u * a_pair_$t + 1u, first + (step + 1u) * (BN / 4u) + a_v);
//! end
//! unroll i 0 TM/4
    let units_$i = units[SETS - 1u][tm + ${i}u * ROW_LANES];
//! unroll c 0 4
    let row_${i}_$c = p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u;
//! unroll n 0 TN/4
    if (row_${i}_$c < params.count && v_$n < params.vectors) {
      let change = joined(sum_${i}${c}_${n}0, sum_${i}${c}_${n}1) * units_$i[$c];
      let above = thresholds(rounding_word(row_${i}_$c, v_$n / 2u), v_$n % 2u, turn);
      weight[place_of(params.w_row + row_${i}_$c, v_$n)] = new_codes(from_${i}_${c}_$n, change, above);
    }
//! end
//! end
//! end
  }
}
