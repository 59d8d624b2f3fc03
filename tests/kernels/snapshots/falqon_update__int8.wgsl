const BM = 64;
const BN = 128;
const BK = 16;
const TM = 8;
const TN = 8;
const BETA_LOADS = 2;
const A_LOADS = 4;
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
// How a row of the weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// tests/oracle/falqon_update.ts. Include-only; constants from src/kernels/falqon/update_format.ts.
//
// Where it RECOVERS the base, that is what the codes were before training: with all of B, b, and what the last step changed it
// by, b_change, the codes before are made of those now and b - b_change, then the new ones of these and b. A kernel that has
// both sums AT_ONCE goes from the one to the other in values.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to so few bits that the product with a value of the format is exact
// in f32, and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.
// The codec of src/numerics/int8.ts in WGSL: integers from -127 to 127, four in a u32, lowest byte first.
// Include-only.
//
// No conversion between integers and floats, and no rounding function, of which a GPU does a quarter to an eighth as many:
// an integer plus 2^23, or one and a half times that, is an f32 whose lower bits are the integer's.

// Rounded to nearest, ties to even, by the adder; NaN becomes 0.
fn pack4_int8(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  let limited = clamp(select(v, vec4<f32>(), bits > vec4<u32>(0x7f800000u)), vec4<f32>(-127.0), vec4<f32>(127.0));
  let made = bitcast<vec4<u32>>(limited + 12583040.0); // 0x4b400000 + code + 128
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x74c00000u) ^ 0x80808080u;
}

fn unpack4_int8(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa's lowest byte, or the next one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(1.0, 0x1p-8, 1.0, 0x1p-8) -
    vec4<f32>(8388736.0, 32896.0, 8388736.0, 32896.0);
}


const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal
const LARGEST_COEFFICIENT_BITS = 0x71800000u; // 2^100: from there on, sums could be infinite

// Codes know no NaN, or products do not see it. So a coefficient that is NaN, infinite or near it tells the host that the
// step is not finite: it ends the run, and nothing of this step is saved.
// What the host sets before an optimizer step, and what the step's kernels find out. The layout of src/gpu/step_state.ts.

struct StepInputs {
  step: u32,          // counted from 1
  target_count: u32,  // of the whole step, all micro-batches together
  loss_scale: f32,    // 1 / target_count: makes the sum of losses their mean
  learning_rate: f32,
  step_size: f32,     // learning_rate / (1 − beta1^step)
  second_scale: f32,  // 1 / sqrt(1 − beta2^step)
}

struct StepResults {
  loss_sum: f32,
  grad_norm: f32, // before clipping
  clip: f32,      // factor that brings the gradient to the allowed norm
  finite: u32,    // 0 where the norm is NaN or infinite: such a step must change nothing
}

@group(0) @binding(8) var<storage, read_write> results: StepResults;

// Four β, each of an element of b with the factors of its column and its row.
fn coefficients(b: vec4<f32>, columns: vec4<f32>, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * columns) * rows);
  let magnitude = bits & vec4<u32>(0x7fffffffu);
  let vanishes = magnitude < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
  if (any(magnitude >= vec4<u32>(LARGEST_COEFFICIENT_BITS))) { results.finite = 0u; } // all that store it store the same
  // A NaN is left alone: NVIDIA's has all bits set, and half a bit more would carry into the sign and make it a zero.
  let rounded = (bits + vec4<u32>(0x1000u)) & vec4<u32>(0xffffe000u);
  let cut = select(rounded, bits, magnitude > vec4<u32>(0x7f800000u));
  return bitcast<vec4<f32>>(select(cut, vec4<u32>(), vanishes));
}

const UNIT = 1.0;

fn decode4(codes: u32) -> vec4<f32> { return unpack4_int8(codes); }

const THRESHOLD_BITS = 23u;

// What sums are multiplied by for new_codes: 2^-CHANGE_SHIFT.
const CHANGE_SHIFT = 24u;

// Up to 1, f32 has steps of 2^-24. So a code c is the place 1 + (c - 127) · 2^-24, and adding to it rounds to a code.
// Saturation is that to [0, 1], and the bits are an integer again. Little of it is integer arithmetic or conversion, of which
// a GPU has less.
fn places_of(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa of 2^23 and more, or in its upper byte but one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(0x1p-24, 0x1p-32, 0x1p-24, 0x1p-32) +
    (vec4<f32>(1.0 - 255.0 * 0x1p-24) - vec4<f32>(0.5, 0x1p-9, 0.5, 0x1p-9));
}

// Places moved by a change, a sum times 2^-24: rounded to nearest and saturated.
fn moved(places: vec4<f32>, change: vec4<f32>) -> vec4<f32> {
  const SMALLEST = vec4<f32>(1.0 - 254.0 * 0x1p-24);
  return max(saturate(places + change), SMALLEST);
}

fn codes_at(places: vec4<f32>) -> u32 {
  let made = bitcast<vec4<u32>>(places); // 0x3f800000 + c - 127
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x407fffffu) ^ 0x80808080u;
}

// A change with a threshold between -1/2 and 1/2 of a step: odd multiples of 2^-23 of it, so that they are as often below zero
// as above, and a change of zero changes nothing.
fn change_above(change: vec4<f32>, thresholds: vec4<u32>) -> vec4<f32> {
  return change + (bitcast<vec4<f32>>((thresholds & vec4<u32>(0x7ffffeu)) | vec4<u32>(0x33800001u)) - 1.5 * 0x1p-24);
}

// The codes of from + change, each rounded up with the probability of its fraction.
fn new_codes(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(moved(places_of(codes), change_above(change, thresholds)));
}

// The places that new_codes took these codes from by this change and these thresholds, unless they were saturated.
fn first_places(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> vec4<f32> {
  return moved(places_of(codes), -change_above(change, thresholds));
}

fn first_codes(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(first_places(codes, change, thresholds));
}

// Parameters and bindings of the kernels that write rows of the weight, or measure what writing them will do
// (MEASURES). Include-only.
//
// Shapes: weight codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on, with HALVES the
// second half of A's rows from second_row on; base codes [outputs, inputs], the frozen reference or (IN_PLACE) the
// weight itself; b and b_change f32 [outputs, rank], columns up to the pitch zero; selected lists the rows to write, ALL_ROWS
// takes each.
// Where the codes of a matrix are, counted in words of four codes: LAYOUT is the format's, see MatrixLayout of
// src/numerics/formats.ts. Include-only.

// Words in a row of the codes, of which `words` hold values: the rest are zeros.
fn code_words(words: u32) -> u32 {
  return (words + 15u) & ~15u;
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
  return ((row >> 7u) * (words >> 4u) + (word >> 4u)) * 2048u + (row & 127u) * 16u + (word & 15u);
}


struct Params {
  count: u32,      // rows to write
  vectors: u32,    // u32s in a row of codes
  w_row: u32,
  base_row: u32,
  a_row: u32,
  rank: u32,
  b_pitch: u32,
  row_words: u32,  // eights of columns in a row
  key_low: u32,    // of the tensor
  key_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
// The thresholds of stochastic rounding, bit-equal to tests/oracle/falqon_rounding.ts: a function of the tensor's key and
// the element, and where they TURN of the step, by integer arithmetic only. Include-only; the kernel's parameters have
// key_low, key_high and row_words.
//
// Where a code is the rounding of what the weight was before training and all that was added to it, an element keeps its
// threshold: its code is a function of the weight that is asked for, and no roundings add up. Where it is that of the code
// before and one step's change, they do add up. So from step to step each threshold goes on by the golden ratio of its
// range, by which any number of steps covers it evenly: changes that point the same way for some steps arrive almost
// exactly, where independent thresholds would be off by the root of their number.

// A word for columns 8·eight to 8·eight + 7 of a row: `mix` of their index, with half of the key before and half in its
// middle, so that tensors are not each other's shifts.
fn rounding_word(row: u32, eight: u32) -> u32 {
  var z = row * params.row_words + eight + params.key_low;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu + params.key_high;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}

// How far the thresholds have gone, in as many bits as the format takes.
fn rounding_turn() -> u32 {
  return 0u;
}

// The thresholds of four of these columns, the first or the last ones (half is 0 or 1), in the lower THRESHOLD_BITS, of
// at most 23. Products of the word's lower or upper 23 bits, so each number is as likely; the factors are such that the
// pairs of any two columns form a lattice with nearly the largest possible distances.
fn thresholds(word: u32, half: u32, turn: u32) -> vec4<u32> {
  return vec4<u32>(word >> (9u * half)) * vec4<u32>(0xcdc041d9u, 0x6427d34du, 0x963451dfu, 0xca9560a7u) + vec4<u32>(turn);
}

@group(0) @binding(6) var<storage, read> b_change: array<f32>;

fn place_of(row: u32, vector: u32) -> u32 { return code_place(row, vector, params.vectors); }

// Row j of the factor on the right; with HALVES the second half of them lies elsewhere.
fn adapter_row(j: u32) -> u32 {
  return params.a_row + j;
}

// The codes that vector `vector` of a row starts from.
fn base_codes(row: u32, vector: u32) -> u32 { return weight[place_of(params.w_row + row, vector)]; }



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
  return min(p, params.count - 1u);
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
  if (sweep == 0u) { values -= vec4<f32>(b_change[at.x], b_change[at.y], b_change[at.z], b_change[at.w]); }
  return select(vec4<f32>(), values, j < params.rank);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let p0 = group.y * BM;
  let v0 = group.x * (BN / 4u);
  let tm = thread / COLUMN_LANES;
  let tn = thread % COLUMN_LANES;

  // This thread's rows (counted by p) and vectors of columns, and the codes there.
  let v_0 = v0 + tn + 0u * COLUMN_LANES;
  let read_v_0 = min(v_0, params.vectors - 1u);
  let v_1 = v0 + tn + 1u * COLUMN_LANES;
  let read_v_1 = min(v_1, params.vectors - 1u);
  let row_0_0 = row_of(p0 + (tm + 0u * ROW_LANES) * 4u + 0u);
  var from_0_0_0 = base_codes(row_0_0, read_v_0);
  var sum_0_0_0 = vec4<f32>();
  var from_0_0_1 = base_codes(row_0_0, read_v_1);
  var sum_0_0_1 = vec4<f32>();
  let row_0_1 = row_of(p0 + (tm + 0u * ROW_LANES) * 4u + 1u);
  var from_0_1_0 = base_codes(row_0_1, read_v_0);
  var sum_0_1_0 = vec4<f32>();
  var from_0_1_1 = base_codes(row_0_1, read_v_1);
  var sum_0_1_1 = vec4<f32>();
  let row_0_2 = row_of(p0 + (tm + 0u * ROW_LANES) * 4u + 2u);
  var from_0_2_0 = base_codes(row_0_2, read_v_0);
  var sum_0_2_0 = vec4<f32>();
  var from_0_2_1 = base_codes(row_0_2, read_v_1);
  var sum_0_2_1 = vec4<f32>();
  let row_0_3 = row_of(p0 + (tm + 0u * ROW_LANES) * 4u + 3u);
  var from_0_3_0 = base_codes(row_0_3, read_v_0);
  var sum_0_3_0 = vec4<f32>();
  var from_0_3_1 = base_codes(row_0_3, read_v_1);
  var sum_0_3_1 = vec4<f32>();
  let row_1_0 = row_of(p0 + (tm + 1u * ROW_LANES) * 4u + 0u);
  var from_1_0_0 = base_codes(row_1_0, read_v_0);
  var sum_1_0_0 = vec4<f32>();
  var from_1_0_1 = base_codes(row_1_0, read_v_1);
  var sum_1_0_1 = vec4<f32>();
  let row_1_1 = row_of(p0 + (tm + 1u * ROW_LANES) * 4u + 1u);
  var from_1_1_0 = base_codes(row_1_1, read_v_0);
  var sum_1_1_0 = vec4<f32>();
  var from_1_1_1 = base_codes(row_1_1, read_v_1);
  var sum_1_1_1 = vec4<f32>();
  let row_1_2 = row_of(p0 + (tm + 1u * ROW_LANES) * 4u + 2u);
  var from_1_2_0 = base_codes(row_1_2, read_v_0);
  var sum_1_2_0 = vec4<f32>();
  var from_1_2_1 = base_codes(row_1_2, read_v_1);
  var sum_1_2_1 = vec4<f32>();
  let row_1_3 = row_of(p0 + (tm + 1u * ROW_LANES) * 4u + 3u);
  var from_1_3_0 = base_codes(row_1_3, read_v_0);
  var sum_1_3_0 = vec4<f32>();
  var from_1_3_1 = base_codes(row_1_3, read_v_1);
  var sum_1_3_1 = vec4<f32>();

  let b_j_0 = (thread + 0u * THREADS) % BK;
  let b_p_0 = (thread + 0u * THREADS) / BK;
  let b_rows_0 = rows_of(p0 + b_p_0 * 4u);
  let factors_0 = vec4<f32>(row_factors[b_rows_0.x], row_factors[b_rows_0.y], row_factors[b_rows_0.z],
                             row_factors[b_rows_0.w]);
  let b_j_1 = (thread + 1u * THREADS) % BK;
  let b_p_1 = (thread + 1u * THREADS) / BK;
  let b_rows_1 = rows_of(p0 + b_p_1 * 4u);
  let factors_1 = vec4<f32>(row_factors[b_rows_1.x], row_factors[b_rows_1.y], row_factors[b_rows_1.z],
                             row_factors[b_rows_1.w]);
  let a_v_0 = (thread + 0u * THREADS) % (BN / 4u);
  let a_j_0 = (thread + 0u * THREADS) / (BN / 4u);
  let a_v_1 = (thread + 1u * THREADS) % (BN / 4u);
  let a_j_1 = (thread + 1u * THREADS) / (BN / 4u);
  let a_v_2 = (thread + 2u * THREADS) % (BN / 4u);
  let a_j_2 = (thread + 2u * THREADS) / (BN / 4u);
  let a_v_3 = (thread + 3u * THREADS) % (BN / 4u);
  let a_j_3 = (thread + 3u * THREADS) / (BN / 4u);
  let turn = rounding_turn();
  for (var sweep = 0u; sweep < 2u; sweep += 1u) {
    var b_next_0 = b_values(b_rows_0, b_j_0, sweep);
    var column_next_0 = column_factors[min(b_j_0, params.rank - 1u)];
    var b_next_1 = b_values(b_rows_1, b_j_1, sweep);
    var column_next_1 = column_factors[min(b_j_1, params.rank - 1u)];
    var a_next_0 = a_codes(a_j_0, v0 + a_v_0);
    var a_next_1 = a_codes(a_j_1, v0 + a_v_1);
    var a_next_2 = a_codes(a_j_2, v0 + a_v_2);
    var a_next_3 = a_codes(a_j_3, v0 + a_v_3);
    for (var j0 = 0u; j0 < params.rank; j0 += BK) {
      workgroupBarrier();
      if (thread + 0u * THREADS < BETA_TASKS) {
        beta[b_j_0][b_p_0] = coefficients(b_next_0, vec4<f32>(column_next_0), factors_0);
      }
      if (thread + 1u * THREADS < BETA_TASKS) {
        beta[b_j_1][b_p_1] = coefficients(b_next_1, vec4<f32>(column_next_1), factors_1);
      }
      if (thread + 0u * THREADS < A_TASKS) { a_tile[a_j_0][a_v_0] = decode4(a_next_0); }
      if (thread + 1u * THREADS < A_TASKS) { a_tile[a_j_1][a_v_1] = decode4(a_next_1); }
      if (thread + 2u * THREADS < A_TASKS) { a_tile[a_j_2][a_v_2] = decode4(a_next_2); }
      if (thread + 3u * THREADS < A_TASKS) { a_tile[a_j_3][a_v_3] = decode4(a_next_3); }
      workgroupBarrier();
      let j1 = j0 + BK;
      if (j1 < params.rank) {
        b_next_0 = b_values(b_rows_0, j1 + b_j_0, sweep);
        column_next_0 = column_factors[min(j1 + b_j_0, params.rank - 1u)];
        b_next_1 = b_values(b_rows_1, j1 + b_j_1, sweep);
        column_next_1 = column_factors[min(j1 + b_j_1, params.rank - 1u)];
        a_next_0 = a_codes(j1 + a_j_0, v0 + a_v_0);
        a_next_1 = a_codes(j1 + a_j_1, v0 + a_v_1);
        a_next_2 = a_codes(j1 + a_j_2, v0 + a_v_2);
        a_next_3 = a_codes(j1 + a_j_3, v0 + a_v_3);
      }
      {
        let beta_0 = beta[0][tm + 0u * ROW_LANES];
        let beta_1 = beta[0][tm + 1u * ROW_LANES];
        let a_0 = a_tile[0][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[0][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[1][tm + 0u * ROW_LANES];
        let beta_1 = beta[1][tm + 1u * ROW_LANES];
        let a_0 = a_tile[1][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[1][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[2][tm + 0u * ROW_LANES];
        let beta_1 = beta[2][tm + 1u * ROW_LANES];
        let a_0 = a_tile[2][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[2][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[3][tm + 0u * ROW_LANES];
        let beta_1 = beta[3][tm + 1u * ROW_LANES];
        let a_0 = a_tile[3][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[3][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[4][tm + 0u * ROW_LANES];
        let beta_1 = beta[4][tm + 1u * ROW_LANES];
        let a_0 = a_tile[4][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[4][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[5][tm + 0u * ROW_LANES];
        let beta_1 = beta[5][tm + 1u * ROW_LANES];
        let a_0 = a_tile[5][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[5][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[6][tm + 0u * ROW_LANES];
        let beta_1 = beta[6][tm + 1u * ROW_LANES];
        let a_0 = a_tile[6][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[6][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[7][tm + 0u * ROW_LANES];
        let beta_1 = beta[7][tm + 1u * ROW_LANES];
        let a_0 = a_tile[7][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[7][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[8][tm + 0u * ROW_LANES];
        let beta_1 = beta[8][tm + 1u * ROW_LANES];
        let a_0 = a_tile[8][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[8][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[9][tm + 0u * ROW_LANES];
        let beta_1 = beta[9][tm + 1u * ROW_LANES];
        let a_0 = a_tile[9][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[9][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[10][tm + 0u * ROW_LANES];
        let beta_1 = beta[10][tm + 1u * ROW_LANES];
        let a_0 = a_tile[10][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[10][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[11][tm + 0u * ROW_LANES];
        let beta_1 = beta[11][tm + 1u * ROW_LANES];
        let a_0 = a_tile[11][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[11][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[12][tm + 0u * ROW_LANES];
        let beta_1 = beta[12][tm + 1u * ROW_LANES];
        let a_0 = a_tile[12][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[12][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[13][tm + 0u * ROW_LANES];
        let beta_1 = beta[13][tm + 1u * ROW_LANES];
        let a_0 = a_tile[13][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[13][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[14][tm + 0u * ROW_LANES];
        let beta_1 = beta[14][tm + 1u * ROW_LANES];
        let a_0 = a_tile[14][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[14][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
      {
        let beta_0 = beta[15][tm + 0u * ROW_LANES];
        let beta_1 = beta[15][tm + 1u * ROW_LANES];
        let a_0 = a_tile[15][tn + 0u * COLUMN_LANES];
        let a_1 = a_tile[15][tn + 1u * COLUMN_LANES];
        sum_0_0_0 = fma(vec4<f32>(beta_0[0]), a_0, sum_0_0_0);
        sum_0_0_1 = fma(vec4<f32>(beta_0[0]), a_1, sum_0_0_1);
        sum_0_1_0 = fma(vec4<f32>(beta_0[1]), a_0, sum_0_1_0);
        sum_0_1_1 = fma(vec4<f32>(beta_0[1]), a_1, sum_0_1_1);
        sum_0_2_0 = fma(vec4<f32>(beta_0[2]), a_0, sum_0_2_0);
        sum_0_2_1 = fma(vec4<f32>(beta_0[2]), a_1, sum_0_2_1);
        sum_0_3_0 = fma(vec4<f32>(beta_0[3]), a_0, sum_0_3_0);
        sum_0_3_1 = fma(vec4<f32>(beta_0[3]), a_1, sum_0_3_1);
        sum_1_0_0 = fma(vec4<f32>(beta_1[0]), a_0, sum_1_0_0);
        sum_1_0_1 = fma(vec4<f32>(beta_1[0]), a_1, sum_1_0_1);
        sum_1_1_0 = fma(vec4<f32>(beta_1[1]), a_0, sum_1_1_0);
        sum_1_1_1 = fma(vec4<f32>(beta_1[1]), a_1, sum_1_1_1);
        sum_1_2_0 = fma(vec4<f32>(beta_1[2]), a_0, sum_1_2_0);
        sum_1_2_1 = fma(vec4<f32>(beta_1[2]), a_1, sum_1_2_1);
        sum_1_3_0 = fma(vec4<f32>(beta_1[3]), a_0, sum_1_3_0);
        sum_1_3_1 = fma(vec4<f32>(beta_1[3]), a_1, sum_1_3_1);
      }
    }
    if (sweep == 0u) {
      from_0_0_0 = first_codes(from_0_0_0, sum_0_0_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_0, v_0 / 2u), v_0 % 2u, turn));
      sum_0_0_0 = vec4<f32>();
      from_0_0_1 = first_codes(from_0_0_1, sum_0_0_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_0, v_1 / 2u), v_1 % 2u, turn));
      sum_0_0_1 = vec4<f32>();
      from_0_1_0 = first_codes(from_0_1_0, sum_0_1_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_1, v_0 / 2u), v_0 % 2u, turn));
      sum_0_1_0 = vec4<f32>();
      from_0_1_1 = first_codes(from_0_1_1, sum_0_1_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_1, v_1 / 2u), v_1 % 2u, turn));
      sum_0_1_1 = vec4<f32>();
      from_0_2_0 = first_codes(from_0_2_0, sum_0_2_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_2, v_0 / 2u), v_0 % 2u, turn));
      sum_0_2_0 = vec4<f32>();
      from_0_2_1 = first_codes(from_0_2_1, sum_0_2_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_2, v_1 / 2u), v_1 % 2u, turn));
      sum_0_2_1 = vec4<f32>();
      from_0_3_0 = first_codes(from_0_3_0, sum_0_3_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_3, v_0 / 2u), v_0 % 2u, turn));
      sum_0_3_0 = vec4<f32>();
      from_0_3_1 = first_codes(from_0_3_1, sum_0_3_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_0_3, v_1 / 2u), v_1 % 2u, turn));
      sum_0_3_1 = vec4<f32>();
      from_1_0_0 = first_codes(from_1_0_0, sum_1_0_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_0, v_0 / 2u), v_0 % 2u, turn));
      sum_1_0_0 = vec4<f32>();
      from_1_0_1 = first_codes(from_1_0_1, sum_1_0_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_0, v_1 / 2u), v_1 % 2u, turn));
      sum_1_0_1 = vec4<f32>();
      from_1_1_0 = first_codes(from_1_1_0, sum_1_1_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_1, v_0 / 2u), v_0 % 2u, turn));
      sum_1_1_0 = vec4<f32>();
      from_1_1_1 = first_codes(from_1_1_1, sum_1_1_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_1, v_1 / 2u), v_1 % 2u, turn));
      sum_1_1_1 = vec4<f32>();
      from_1_2_0 = first_codes(from_1_2_0, sum_1_2_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_2, v_0 / 2u), v_0 % 2u, turn));
      sum_1_2_0 = vec4<f32>();
      from_1_2_1 = first_codes(from_1_2_1, sum_1_2_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_2, v_1 / 2u), v_1 % 2u, turn));
      sum_1_2_1 = vec4<f32>();
      from_1_3_0 = first_codes(from_1_3_0, sum_1_3_0 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_3, v_0 / 2u), v_0 % 2u, turn));
      sum_1_3_0 = vec4<f32>();
      from_1_3_1 = first_codes(from_1_3_1, sum_1_3_1 * CHANGE_UNIT,
                                      thresholds(rounding_word(row_1_3, v_1 / 2u), v_1 % 2u, turn));
      sum_1_3_1 = vec4<f32>();
    }
  }

  if (p0 + (tm + 0u * ROW_LANES) * 4u + 0u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_0_0, v_0);
    let above = thresholds(rounding_word(row_0_0, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_0_0_0, sum_0_0_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 0u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_0_0, v_1);
    let above = thresholds(rounding_word(row_0_0, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_0_0_1, sum_0_0_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 1u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_0_1, v_0);
    let above = thresholds(rounding_word(row_0_1, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_0_1_0, sum_0_1_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 1u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_0_1, v_1);
    let above = thresholds(rounding_word(row_0_1, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_0_1_1, sum_0_1_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 2u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_0_2, v_0);
    let above = thresholds(rounding_word(row_0_2, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_0_2_0, sum_0_2_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 2u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_0_2, v_1);
    let above = thresholds(rounding_word(row_0_2, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_0_2_1, sum_0_2_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 3u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_0_3, v_0);
    let above = thresholds(rounding_word(row_0_3, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_0_3_0, sum_0_3_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 0u * ROW_LANES) * 4u + 3u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_0_3, v_1);
    let above = thresholds(rounding_word(row_0_3, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_0_3_1, sum_0_3_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 0u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_1_0, v_0);
    let above = thresholds(rounding_word(row_1_0, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_1_0_0, sum_1_0_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 0u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_1_0, v_1);
    let above = thresholds(rounding_word(row_1_0, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_1_0_1, sum_1_0_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 1u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_1_1, v_0);
    let above = thresholds(rounding_word(row_1_1, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_1_1_0, sum_1_1_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 1u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_1_1, v_1);
    let above = thresholds(rounding_word(row_1_1, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_1_1_1, sum_1_1_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 2u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_1_2, v_0);
    let above = thresholds(rounding_word(row_1_2, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_1_2_0, sum_1_2_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 2u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_1_2, v_1);
    let above = thresholds(rounding_word(row_1_2, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_1_2_1, sum_1_2_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 3u < params.count && v_0 < params.vectors) {
    let at = place_of(params.w_row + row_1_3, v_0);
    let above = thresholds(rounding_word(row_1_3, v_0 / 2u), v_0 % 2u, turn);
    let code = new_codes(from_1_3_0, sum_1_3_0 * CHANGE_UNIT, above);
    weight[at] = code;
  }
  if (p0 + (tm + 1u * ROW_LANES) * 4u + 3u < params.count && v_1 < params.vectors) {
    let at = place_of(params.w_row + row_1_3, v_1);
    let above = thresholds(rounding_word(row_1_3, v_1 / 2u), v_1 % 2u, turn);
    let code = new_codes(from_1_3_1, sum_1_3_1 * CHANGE_UNIT, above);
    weight[at] = code;
  }
}

