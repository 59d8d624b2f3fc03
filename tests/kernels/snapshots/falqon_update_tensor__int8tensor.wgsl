enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const SUBGROUPS = 2;
const COLUMNS = 32;
const LONGEST_ROW = 10;
const STEPS = 2;
const RANK_STEPS = 2;
const A_LOADS = 1;
const SETS = 2;
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

// The codes of what new_codes made these from by change_0, and of change_1, by the same thresholds.
fn renewed_codes(codes: u32, change_0: vec4<f32>, change_1: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(moved(first_places(codes, change_0, thresholds), change_above(change_1, thresholds)));
}

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
  rows: u32,
  vectors: u32,   // vectors of 16 codes in a row
  w_row: u32,
  base_row: u32,
  a_row: u32,
  rank: u32,
  b_vectors: u32, // vectors of 4 floats in a row of b
  row_words: u32, // eights of columns in a row
  key_low: u32,   // of the tensor
  key_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
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

@group(0) @binding(6) var<storage, read> b_change: array<vec4<f32>>;

// Where sixteen codes are; beyond the row, its last ones.
fn place_of(row: u32, vector: u32) -> u32 {
  return code_place(row, 4u * min(vector, params.vectors - 1u), 4u * params.vectors) / 4u;
}

// The sixteen codes that vector `vector` of a row starts from.
fn base_codes(row: u32, vector: u32) -> vec4<u32> {
  return weight[place_of(params.w_row + row, vector)];
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
  if (s == 0u) { values -= b_change[row * params.b_vectors + j / 4u]; }
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
  return params.a_row + j;
}

// Sixteen codes of A~: row j of the rank (beyond it, any, as its coefficients are zero) and vector v.
fn a_codes(j: u32, v: u32) -> vec4<u32> {
  return weight[place_of(adapter_row(min(j, params.rank - 1u)), v)];
}

// Eight codes as f16 divided by UNIT, in fours ordered 0, 2, 1, 3.
fn a_f16(codes: vec2<u32>) -> vec4<u32> {
  // Each code plus 128 is the mantissa of an f16 of 1024 and more.
  let bytes = codes ^ vec2<u32>(0x80808080u);
  let pairs = vec4<u32>(bytes.x, bytes.x >> 8u, bytes.y, bytes.y >> 8u);
  let numbers = (pairs & vec4<u32>(0x00ff00ffu)) | vec4<u32>(0x64006400u);
  return vec4<u32>(less_1152(numbers.x), less_1152(numbers.y), less_1152(numbers.z), less_1152(numbers.w));
}

fn less_1152(pair: u32) -> u32 { return bitcast<u32>(bitcast<vec2<f16>>(pair) - vec2<f16>(1152.0)); }

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
  var largest_0 = 0.0;
  var largest_1 = 0.0;
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    largest_0 = max(largest_0, max(largest_of(four_coefficients(0u, read_row, factor, j)),
                                     largest_of(four_coefficients(0u, read_row, factor, j + 4u))));
    largest_1 = max(largest_1, max(largest_of(four_coefficients(1u, read_row, factor, j)),
                                     largest_of(four_coefficients(1u, read_row, factor, j + 4u))));
  }
  largest_0 = max(largest_0, from_other_half(largest_0, thread));
  // All coefficients zero: as for the smallest one. Sums are divided by UNIT, as A~ is, and so are base values.
  let exponent_0 = max(bitcast<u32>(largest_0), SMALLEST_COEFFICIENT_BITS) >> 23u;
  let scale_0 = bitcast<f32>((268u - exponent_0) << 23u);
  // Sums so small that this is not what it should be are nothing to what they are added to.
  if (half == 0u) {
    units[0u * ROWS * SUBGROUPS + group_row + lane] =
      bitcast<f32>((max(exponent_0, 15u + CHANGE_SHIFT) - (14u + CHANGE_SHIFT)) << 23u);
  }

  // Into fragments, through the place of the sums.
  workgroupBarrier();
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(0u, read_row, factor, j) * scale_0;
    let last = four_coefficients(0u, read_row, factor, j + 4u) * scale_0;
    tile[beta_at + j / 8u] = vec4<u32>(halves(upper(first)), halves(upper(last)));
  }
  workgroupBarrier();
  let high_0_0 = load_left(sums + 2u * 0u, BETA_ROW);
  let high_0_1 = load_left(sums + 2u * 1u, BETA_ROW);
  largest_1 = max(largest_1, from_other_half(largest_1, thread));
  // All coefficients zero: as for the smallest one. Sums are divided by UNIT, as A~ is, and so are base values.
  let exponent_1 = max(bitcast<u32>(largest_1), SMALLEST_COEFFICIENT_BITS) >> 23u;
  let scale_1 = bitcast<f32>((268u - exponent_1) << 23u);
  // Sums so small that this is not what it should be are nothing to what they are added to.
  if (half == 0u) {
    units[1u * ROWS * SUBGROUPS + group_row + lane] =
      bitcast<f32>((max(exponent_1, 15u + CHANGE_SHIFT) - (14u + CHANGE_SHIFT)) << 23u);
  }

  // Into fragments, through the place of the sums.
  workgroupBarrier();
  for (var j = 8u * half; j < 16u * rank_steps; j += 16u) {
    let first = four_coefficients(1u, read_row, factor, j) * scale_1;
    let last = four_coefficients(1u, read_row, factor, j + 4u) * scale_1;
    tile[beta_at + j / 8u] = vec4<u32>(halves(upper(first)), halves(upper(last)));
  }
  workgroupBarrier();
  let high_1_0 = load_left(sums + 2u * 0u, BETA_ROW);
  let high_1_1 = load_left(sums + 2u * 1u, BETA_ROW);

  // The first step's A~, and the codes of the next ones.
  let first = group.x * (STEPS * STEP);
  let steps = min(u32(STEPS), (params.vectors - first + STEP - 1u) / STEP);
  let a_j_0 = (thread + 0u * THREADS) / STEP;
  let a_v_0 = (thread + 0u * THREADS) % STEP;
  let a_at_0 = a_j_0 * A_ROW + 2u * a_v_0;
  let a_first_0 = a_codes(a_j_0, first + a_v_0);
  var a_next_0 = a_codes(a_j_0, first + STEP + a_v_0);
  if (a_j_0 < 16u * RANK_STEPS) {
    tile[a_at_0] = a_f16(a_first_0.xy);
    tile[a_at_0 + 1u] = a_f16(a_first_0.zw);
  }
  // This invocation's codes: a vector of several rows.
  let my_v = lane % STEP;
  let my_row_0 = lane / STEP + 0u * (32u / STEP);
  let row_0 = first_row + my_row_0;
  let from_row_0 = min(row_0, params.rows - 1u);
  let sums_at_0 = sums + my_row_0 * SUM_ROW + SUM_PART * my_v;
  let unit_0_0 = units[0u * ROWS * SUBGROUPS + group_row + my_row_0];
  let unit_1_0 = units[1u * ROWS * SUBGROUPS + group_row + my_row_0];
  var from_next_0 = base_codes(from_row_0, first + my_v);
  let turn = rounding_turn();
  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
    var sum_0_0 = Sum();
    var sum_0_1 = Sum();
    var sum_1_0 = Sum();
    var sum_1_1 = Sum();
    {
      let a_0 = load_right(16u * 0u * A_ROW + 2u * 0u, A_ROW);
      let a_1 = load_right(16u * 0u * A_ROW + 2u * 1u, A_ROW);
      sum_0_0 = multiply_add(high_0_0, a_0, sum_0_0);
      sum_0_1 = multiply_add(high_0_0, a_1, sum_0_1);
      sum_1_0 = multiply_add(high_1_0, a_0, sum_1_0);
      sum_1_1 = multiply_add(high_1_0, a_1, sum_1_1);
    }
    {
      let a_0 = load_right(16u * 1u * A_ROW + 2u * 0u, A_ROW);
      let a_1 = load_right(16u * 1u * A_ROW + 2u * 1u, A_ROW);
      sum_0_0 = multiply_add(high_0_1, a_0, sum_0_0);
      sum_0_1 = multiply_add(high_0_1, a_1, sum_0_1);
      sum_1_0 = multiply_add(high_1_1, a_0, sum_1_0);
      sum_1_1 = multiply_add(high_1_1, a_1, sum_1_1);
    }
    store_sum(sums + SUM_PART * 0u, SUM_ROW, sum_0_0);
    store_sum(sums + SUM_PART * 1u, SUM_ROW, sum_0_1);
    workgroupBarrier();
    let v = first + step * STEP + my_v;
    if (a_j_0 < 16u * RANK_STEPS) {
      tile[a_at_0] = a_f16(a_next_0.xy);
      tile[a_at_0 + 1u] = a_f16(a_next_0.zw);
    }
    a_next_0 = a_codes(a_j_0, first + (step + 2u) * STEP + a_v_0);
    let from_0 = from_next_0;
    from_next_0 = base_codes(from_row_0, v + STEP);
    let before_0_0 = values_at(sums_at_0 + 0u, unit_0_0);
    let before_0_1 = values_at(sums_at_0 + 1u, unit_0_0);
    let before_0_2 = values_at(sums_at_0 + 2u, unit_0_0);
    let before_0_3 = values_at(sums_at_0 + 3u, unit_0_0);
    workgroupBarrier();
    store_sum(sums + SUM_PART * 0u, SUM_ROW, sum_1_0);
    store_sum(sums + SUM_PART * 1u, SUM_ROW, sum_1_1);
    workgroupBarrier();
    {
      var codes: vec4<u32>;
      let word_0 = rounding_word(row_0, 2u * v);
      let word_1 = rounding_word(row_0, 2u * v + 1u);
      {
        let above = thresholds(word_0, 0u, turn);
        let now = values_at(sums_at_0 + 0u, unit_1_0);
        codes[0] = renewed_codes(from_0[0], before_0_0, now, above);
      }
      {
        let above = thresholds(word_0, 1u, turn);
        let now = values_at(sums_at_0 + 1u, unit_1_0);
        codes[1] = renewed_codes(from_0[1], before_0_1, now, above);
      }
      {
        let above = thresholds(word_1, 0u, turn);
        let now = values_at(sums_at_0 + 2u, unit_1_0);
        codes[2] = renewed_codes(from_0[2], before_0_2, now, above);
      }
      {
        let above = thresholds(word_1, 1u, turn);
        let now = values_at(sums_at_0 + 3u, unit_1_0);
        codes[3] = renewed_codes(from_0[3], before_0_3, now, above);
      }
      if (row_0 < params.rows && v < params.vectors) {
        weight[place_of(params.w_row + row_0, v)] = codes;
      }
    }
  }
}

