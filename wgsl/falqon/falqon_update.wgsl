// Writes rows of the weight: weight[i] = encode(base[i] + β_i · A~) in code units (falqon_row.wgsl), rounded to nearest or
// STOCHASTIC. IN_PLACE each code is read and written once, by the thread that owns it.
//
// Shapes: those of falqon_part.wgsl.
// Where it RECOVERS the base, the sums are made twice: with B before the last step, then with B now. What the codes were stays
// in codes between the two: a thread has no registers for both sums, and packing is little beside their multiply-adds.
// CHANGE also writes decode(new) − decode(old) of row `selected[p]` to change[p]: what rounding left of the update.
//
// Idea: a matrix product of short contraction (the rank) whose result is encoded where it is made. A workgroup makes
// BM rows × BN columns, a thread TM × TN of them in registers; coefficients and decoded A pass through workgroup memory
// BK of the rank at a time, the next ones fetched meanwhile. The codes to start from are fetched before all that. Beyond
// the rank the coefficients are zero, which leaves sums as they are, so the contraction is a whole number of steps.
//! include falqon_row.wgsl AT_ONCE=false
//! include falqon_part.wgsl MEASURES=false

//! if CHANGE
@group(0) @binding(7) var<storage, read_write> change: array<vec4<f32>>;
//! end

const CHANGE_UNIT = 1.0 / f32(1u << CHANGE_SHIFT);
const THREADS = (BM / TM) * (BN / TN);
const COLUMN_LANES = BN / TN; // threads side by side
const ROW_LANES = BM / TM;
const A_TASKS = BK * BN / 4;    // one u32 of codes each
const BETA_TASKS = BK * BM / 4; // one j of four rows each

// [j][row / 4] and [j][column / 4]. Stores to the first walk j, and the surplus vector keeps them apart in the banks.
var<workgroup> beta: array<array<vec4<f32>, BM / 4 + 1>, BK>;
var<workgroup> a_tile: array<array<vec4<f32>, BN / 4>, BK>;

fn row_of(p: u32) -> u32 {
//! if ALL_ROWS
  return min(p, params.count - 1u);
//! else
  return selected[min(p, params.count - 1u)];
//! end
}

fn rows_of(p: u32) -> vec4<u32> {
  return vec4<u32>(row_of(p), row_of(p + 1u), row_of(p + 2u), row_of(p + 3u));
}

// Four codes of A~: row j of the rank (beyond it, any) and vector v of the columns.
fn a_codes(j: u32, v: u32) -> u32 {
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), min(v, params.vectors - 1u))];
}

// Element j of four rows of b: zero beyond the rank.
fn b_values(rows: vec4<u32>, j: u32, sweep: u32) -> vec4<f32> {
  let at = rows * params.b_pitch + min(j, params.rank - 1u);
  var values = vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
//! if RECOVERS
  if (sweep == 0u) { values -= vec4<f32>(b_change[at.x], b_change[at.y], b_change[at.z], b_change[at.w]); }
//! end
  return select(vec4<f32>(), values, j < params.rank);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let p0 = group.y * BM;
  let v0 = group.x * (BN / 4u);
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // This thread's rows (counted by p) and vectors of columns, and the codes there.
//! unroll n 0 TN/4
  let v_$n = v0 + tn + ${n}u * COLUMN_LANES;
  let read_v_$n = min(v_$n, params.vectors - 1u);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let row_${i}_$c = row_of(p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u);
//! unroll n 0 TN/4
  var from_${i}_${c}_$n = base_codes(row_${i}_$c, read_v_$n);
  var sum_${i}_${c}_$n = vec4<f32>();
//! end
//! end
//! end

//! unroll t 0 BETA_LOADS
  let b_j_$t = (thread + ${t}u * THREADS) % BK;
  let b_p_$t = (thread + ${t}u * THREADS) / BK;
  let b_rows_$t = rows_of(p0 + b_p_$t * 4u);
  let factors_$t = vec4<f32>(row_factors[b_rows_$t.x], row_factors[b_rows_$t.y], row_factors[b_rows_$t.z],
                             row_factors[b_rows_$t.w]);
//! end
//! unroll t 0 A_LOADS
  let a_v_$t = (thread + ${t}u * THREADS) % (BN / 4u);
  let a_j_$t = (thread + ${t}u * THREADS) / (BN / 4u);
//! end
//! if STOCHASTIC
  let turn = rounding_turn();
//! end
//! if RECOVERS
  for (var sweep = 0u; sweep < 2u; sweep += 1u) {
//! else
  {
    const sweep = 0u;
//! end
//! unroll t 0 BETA_LOADS
    var b_next_$t = b_values(b_rows_$t, b_j_$t, sweep);
    var column_next_$t = column_factors[min(b_j_$t, params.rank - 1u)];
//! end
//! unroll t 0 A_LOADS
    var a_next_$t = a_codes(a_j_$t, v0 + a_v_$t);
//! end
    for (var j0 = 0u; j0 < params.rank; j0 += BK) {
      workgroupBarrier();
//! unroll t 0 BETA_LOADS
      if (thread + ${t}u * THREADS < BETA_TASKS) {
        beta[b_j_$t][b_p_$t] = coefficients(b_next_$t, vec4<f32>(column_next_$t), factors_$t);
      }
//! end
//! unroll t 0 A_LOADS
      if (thread + ${t}u * THREADS < A_TASKS) { a_tile[a_j_$t][a_v_$t] = decode4(a_next_$t); }
//! end
      workgroupBarrier();
      let j1 = j0 + BK;
      if (j1 < params.rank) {
//! unroll t 0 BETA_LOADS
        b_next_$t = b_values(b_rows_$t, j1 + b_j_$t, sweep);
        column_next_$t = column_factors[min(j1 + b_j_$t, params.rank - 1u)];
//! end
//! unroll t 0 A_LOADS
        a_next_$t = a_codes(j1 + a_j_$t, v0 + a_v_$t);
//! end
      }
//! unroll j 0 BK
      {
//! unroll i 0 TM/4
        let beta_$i = beta[$j][tm + ${i}u * ROW_LANES];
//! end
//! unroll n 0 TN/4
        let a_$n = a_tile[$j][tn + ${n}u * COLUMN_LANES];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
        sum_${i}_${c}_$n = fma(vec4<f32>(beta_$i[$c]), a_$n, sum_${i}_${c}_$n);
//! end
//! end
//! end
      }
//! end
    }
//! if RECOVERS
    if (sweep == 0u) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
      from_${i}_${c}_$n = first_codes(from_${i}_${c}_$n, sum_${i}_${c}_$n * CHANGE_UNIT,
                                      thresholds(rounding_word(row_${i}_$c, v_$n / 2u), v_$n % 2u, turn));
      sum_${i}_${c}_$n = vec4<f32>();
//! end
//! end
//! end
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll n 0 TN/4
  if (p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u < params.count && v_$n < params.vectors) {
    let at = place_of(params.w_row + row_${i}_$c, v_$n);
//! if STOCHASTIC
    let above = thresholds(rounding_word(row_${i}_$c, v_$n / 2u), v_$n % 2u, turn);
    let code = new_codes(from_${i}_${c}_$n, sum_${i}_${c}_$n * CHANGE_UNIT, above);
//! else
    let code = new_codes(from_${i}_${c}_$n, sum_${i}_${c}_$n);
//! end
//! if CHANGE
    let p = p0 + (tm + ${i}u * ROW_LANES) * 4u + ${c}u;
    if (v_$n < params.change_vectors) {
      change[p * params.change_vectors + v_$n] = (decode4(code) - decode4(weight[at])) * UNIT;
    }
//! end
    weight[at] = code;
  }
//! end
//! end
//! end
}
