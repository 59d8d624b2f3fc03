// falqon_update.wgsl on tensor cores, for all rows: weight[i] = encode(base[i] + β_i · A~) in code units.
//
// Shapes: weight codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on, with HALVES
// the second half of A's rows from second_row on; base codes [outputs, inputs], or (IN_PLACE) the weight itself; b and
// b_change f32 [outputs, rank]; all with columns up to the pitch zero.
//
// f16 holds A~ exactly. β is f16 too: a power of two for each row brings the largest |β| to [2^14, 2^15). A β of more
// than 11 significant bits is in two parts (LOW), high its first 11 and low the others, which f16 holds both. What they
// lack, of coefficients so small that f16 is subnormal, is below 2^-39 of the row's largest |β|, and below 2^-27 where a
// GPU flushes subnormals. Products are exact, sums f32 in an order of the hardware: codes are those of the rule except
// where a sum lands within its rounding of a tie or, STOCHASTIC, of the threshold. A row of e4m3 with a coefficient
// that is not finite becomes NaN.
//
// Idea: a subgroup keeps the coefficients of its 16 rows in fragments, and its workgroup walks along STEPS · COLUMNS
// columns. A step's A~ is decoded into workgroup memory once for all subgroups, the codes of the next one are fetched
// meanwhile. Sums pass through workgroup memory to an invocation for each 16 codes of a row, which alone reads
// and writes them; neighbouring ones have neighbouring codes. Within four codes columns are in the order 0, 2, 1, 3 in
// which A~ is cheaply decoded.
//! include falqon_row.wgsl AT_ONCE=true
//! include fragments.wgsl
//! include code_place.wgsl

struct Params {
  rows: u32,
  vectors: u32,   // vectors of 16 codes in a row
  w_row: u32,
  base_row: u32,
  a_row: u32,
//! if HALVES
  second_row: u32,
//! end
  rank: u32,
  b_vectors: u32, // vectors of 4 floats in a row of b
//! if STOCHASTIC
  row_words: u32, // eights of columns in a row
  key_low: u32,   // of the tensor
  key_high: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if STOCHASTIC
//! include falqon_rounding.wgsl
//! end
//! if RECOVERS
@group(0) @binding(6) var<storage, read> b_change: array<vec4<f32>>;
//! end
//! if !IN_PLACE
@group(0) @binding(5) var<storage, read> base: array<vec4<u32>>;
//! end

// Where sixteen codes are; beyond the row, its last ones.
fn place_of(row: u32, vector: u32) -> u32 {
  return code_place(row, 4u * min(vector, params.vectors - 1u), 4u * params.vectors) / 4u;
}

// The sixteen codes that vector `vector` of a row starts from.
fn base_codes(row: u32, vector: u32) -> vec4<u32> {
//! if IN_PLACE
  return weight[place_of(params.w_row + row, vector)];
//! else
  return base[place_of(params.base_row + row, vector)];
//! end
}

const THREADS = 32u * SUBGROUPS;
const ROWS = 16u;                // of a subgroup
const STEP = COLUMNS / 16u;      // vectors of codes in a step
const A_ROW = 2u * STEP + 1u;    // of 8 f16 values; the surplus vector spreads rows over the banks
const SUM_PART = 5u;             // of 4 floats, for 16 sums; likewise
const SUM_ROW = SUM_PART * STEP;
const BETA_ROW = 2u * RANK_STEPS + 1u;
const SUMS = 16u * RANK_STEPS * A_ROW; // where they begin, each subgroup's rows, and the coefficients before
const PLACE = ROWS * LONGEST_ROW; // for coefficients, then for sums

var<workgroup> tile: array<vec4<u32>, SUMS + SUBGROUPS * PLACE>;
var<workgroup> units: array<f32, SETS * SUBGROUPS * ROWS>; // what each row's sums are multiplied by

// Four coefficients of a row, from column j on; zero beyond the rank, as b is. Set 0 is of B before the last step.
fn four_coefficients(s: u32, row: u32, factor: f32, j: u32) -> vec4<f32> {
  let at = min(vec4<u32>(j, j + 1u, j + 2u, j + 3u), vec4<u32>(params.rank - 1u));
  let columns = vec4<f32>(column_factors[at.x], column_factors[at.y], column_factors[at.z], column_factors[at.w]);
  var values = b[row * params.b_vectors + j / 4u];
//! if RECOVERS
  if (s == 0u) { values -= b_change[row * params.b_vectors + j / 4u]; }
//! end
  return coefficients(values, columns, vec4<f32>(factor));
}

fn largest_of(v: vec4<f32>) -> f32 {
  let a = abs(v);
  return max(max(a.x, a.y), max(a.z, a.w));
}

fn halves(v: vec4<f32>) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }

// The first 11 significant bits. By its bits, as what is rounded to f16 and back a driver may take for the value itself.
fn upper(v: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4<u32>(0xffffe000u)); }

// Row j of the factor on the right; with HALVES the second half of them lies elsewhere.
fn adapter_row(j: u32) -> u32 {
//! if HALVES
  let half = params.rank / 2u;
  return select(params.a_row, params.second_row - half, j >= half) + j;
//! else
  return params.a_row + j;
//! end
}

// Sixteen codes of A~: row j of the rank (beyond it, any, as its coefficients are zero) and vector v.
fn a_codes(j: u32, v: u32) -> vec4<u32> {
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), v)];
}

// Eight codes as f16 divided by UNIT, in fours ordered 0, 2, 1, 3.
fn a_f16(codes: vec2<u32>) -> vec4<u32> {
//! if CODES == e4m3
  let pairs = vec4<u32>(codes.x, codes.x >> 8u, codes.y, codes.y >> 8u);
  return ((pairs & vec4<u32>(0x00800080u)) << vec4<u32>(8u)) | ((pairs & vec4<u32>(0x007f007fu)) << vec4<u32>(7u));
//! elif EMULATE
  return vec4<u32>(halves(decode4(codes.x).xzyw), halves(decode4(codes.y).xzyw));
//! else
  // Each code plus 128 is the mantissa of an f16 of 1024 and more.
  let bytes = codes ^ vec2<u32>(0x80808080u);
  let pairs = vec4<u32>(bytes.x, bytes.x >> 8u, bytes.y, bytes.y >> 8u);
  let numbers = (pairs & vec4<u32>(0x00ff00ffu)) | vec4<u32>(0x64006400u);
  return vec4<u32>(less_1152(numbers.x), less_1152(numbers.y), less_1152(numbers.z), less_1152(numbers.w));
//! end
}
//! if CODES == int8
//! if !EMULATE

fn less_1152(pair: u32) -> u32 { return bitcast<u32>(bitcast<vec2<f16>>(pair) - vec2<f16>(1152.0)); }
//! end
//! end

// Four sums, from the order of A~ to that of codes.
fn values_at(at: u32, unit: f32) -> vec4<f32> { return bitcast<vec4<f32>>(tile[at]).xzyw * unit; }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let lane = thread % 32u;
  let group_row = thread / 32u * ROWS; // the subgroup's first row among the workgroup's
  let first_row = group.y * (ROWS * SUBGROUPS) + group_row;
  let sums = SUMS + thread / 32u * PLACE;
  let beta_at = sums + lane % ROWS * BETA_ROW;
  let rank_steps = (params.rank + 15u) / 16u; // RANK_STEPS

  // This invocation's half of a row's coefficients, 8 of each 16. They are made once for the largest of them, and again for
  // fragments, in loops whose length the driver does not know: it kept them all, and took 149 registers in place of 117.
  let half = lane / 16u;
  let read_row = min(first_row + lane % ROWS, params.rows - 1u);
  let factor = row_factors[read_row];
//! unroll s 0 SETS
  var largest_$s = 0.0;
//! end
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
//! unroll s 0 SETS
    largest_$s = max(largest_$s, max(largest_of(four_coefficients(${s}u, read_row, factor, j)),
                                     largest_of(four_coefficients(${s}u, read_row, factor, j + 4u))));
//! end
  }
//! unroll s 0 SETS
  largest_$s = max(largest_$s, from_other_half(largest_$s, thread));
  // All coefficients zero: as for the smallest one. Sums are divided by UNIT, as A~ is, and so are base values.
  let exponent_$s = max(bitcast<u32>(largest_$s), SMALLEST_COEFFICIENT_BITS) >> 23u;
  let scale_$s = bitcast<f32>((268u - exponent_$s) << 23u);
  // Sums so small that this is not what it should be are nothing to what they are added to.
  if (half == 0u) {
    units[${s}u * ROWS * SUBGROUPS + group_row + lane] =
      bitcast<f32>((max(exponent_$s, 15u + CHANGE_SHIFT) - (14u + CHANGE_SHIFT)) << 23u);
  }

  // Into fragments, through the place of the sums.
//! if RECOVERS
  workgroupBarrier();
//! end
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(${s}u, read_row, factor, j) * scale_$s;
    let last = four_coefficients(${s}u, read_row, factor, j + 4u) * scale_$s;
    tile[beta_at + j / 8u] = vec4<u32>(halves(upper(first)), halves(upper(last)));
  }
  workgroupBarrier();
//! unroll k 0 RANK_STEPS
  let high_${s}_$k = load_left(sums + 2u * ${k}u, BETA_ROW);
//! end
//! if LOW
  workgroupBarrier();
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(${s}u, read_row, factor, j) * scale_$s;
    let last = four_coefficients(${s}u, read_row, factor, j + 4u) * scale_$s;
    tile[beta_at + j / 8u] = vec4<u32>(halves(first - upper(first)), halves(last - upper(last)));
  }
  workgroupBarrier();
//! unroll k 0 RANK_STEPS
  let low_${s}_$k = load_left(sums + 2u * ${k}u, BETA_ROW);
//! end
//! end
//! end

  // The first step's A~, and the codes of the next ones.
  let first = group.x * (STEPS * STEP);
  let steps = min(u32(STEPS), (params.vectors - first + STEP - 1u) / STEP);
//! unroll t 0 A_LOADS
  let a_j_$t = (thread + ${t}u * THREADS) / STEP;
  let a_v_$t = (thread + ${t}u * THREADS) % STEP;
  let a_at_$t = a_j_$t * A_ROW + 2u * a_v_$t;
  let a_first_$t = a_codes(a_j_$t, first + a_v_$t);
  var a_next_$t = a_codes(a_j_$t, first + STEP + a_v_$t);
  if (a_j_$t < 16u * RANK_STEPS) {
    tile[a_at_$t] = a_f16(a_first_$t.xy);
    tile[a_at_$t + 1u] = a_f16(a_first_$t.zw);
  }
//! end
  // This invocation's codes: a vector of several rows.
  let my_v = lane % STEP;
//! unroll n 0 COLUMNS/32
  let my_row_$n = lane / STEP + ${n}u * (32u / STEP);
  let row_$n = first_row + my_row_$n;
  let from_row_$n = min(row_$n, params.rows - 1u);
  let sums_at_$n = sums + my_row_$n * SUM_ROW + SUM_PART * my_v;
//! unroll s 0 SETS
  let unit_${s}_$n = units[${s}u * ROWS * SUBGROUPS + group_row + my_row_$n];
//! end
  var from_next_$n = base_codes(from_row_$n, first + my_v);
//! end
//! if STOCHASTIC
  let turn = rounding_turn();
//! end
  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
//! unroll s 0 SETS
//! unroll c 0 COLUMNS/16
    var sum_${s}_$c = Sum();
//! end
//! end
//! unroll k 0 RANK_STEPS
    {
//! unroll c 0 COLUMNS/16
      let a_$c = load_right(16u * ${k}u * A_ROW + 2u * ${c}u, A_ROW);
//! end
//! unroll s 0 SETS
//! unroll c 0 COLUMNS/16
      sum_${s}_$c = multiply_add(high_${s}_$k, a_$c, sum_${s}_$c);
//! end
//! if LOW
//! unroll c 0 COLUMNS/16
      sum_${s}_$c = multiply_add(low_${s}_$k, a_$c, sum_${s}_$c);
//! end
//! end
//! end
    }
//! end
//! unroll c 0 COLUMNS/16
    store_sum(sums + SUM_PART * ${c}u, SUM_ROW, sum_0_$c);
//! end
    workgroupBarrier();
    let v = first + step * STEP + my_v;
//! unroll t 0 A_LOADS
    if (a_j_$t < 16u * RANK_STEPS) {
      tile[a_at_$t] = a_f16(a_next_$t.xy);
      tile[a_at_$t + 1u] = a_f16(a_next_$t.zw);
    }
    a_next_$t = a_codes(a_j_$t, first + (step + 2u) * STEP + a_v_$t);
//! end
//! unroll n 0 COLUMNS/32
    let from_$n = from_next_$n;
    from_next_$n = base_codes(from_row_$n, v + STEP);
//! end
//! if RECOVERS
//! unroll n 0 COLUMNS/32
//! unroll q 0 4
    let before_${n}_$q = values_at(sums_at_$n + ${q}u, unit_0_$n);
//! end
//! end
    workgroupBarrier();
//! unroll c 0 COLUMNS/16
    store_sum(sums + SUM_PART * ${c}u, SUM_ROW, sum_1_$c);
//! end
    workgroupBarrier();
//! end
//! unroll n 0 COLUMNS/32
    {
      var codes: vec4<u32>;
//! if STOCHASTIC
      let word_0 = rounding_word(row_$n, 2u * v);
      let word_1 = rounding_word(row_$n, 2u * v + 1u);
//! end
//! for q,word,half in 0,0,0 1,0,1 2,1,0 3,1,1
      {
//! if STOCHASTIC
        let above = thresholds(word_$word, ${half}u, turn);
//! if RECOVERS
        let now = values_at(sums_at_$n + ${q}u, unit_1_$n);
        codes[$q] = renewed_codes(from_$n[$q], before_${n}_$q, now, above);
//! else
        codes[$q] = new_codes(from_$n[$q], values_at(sums_at_$n + ${q}u, unit_0_$n), above);
//! end
//! else
        codes[$q] = new_codes(from_$n[$q], values_at(sums_at_$n + ${q}u, unit_0_$n));
//! end
      }
//! end
      if (row_$n < params.rows && v < params.vectors) {
        weight[place_of(params.w_row + row_$n, v)] = codes;
      }
    }
//! end
  }
}
