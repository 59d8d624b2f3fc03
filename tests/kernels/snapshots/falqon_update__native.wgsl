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
// The FP8 codec of src/numerics/fp8.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding gives the codes of the TypeScript, bit for bit, in a third of the operations: the adder rounds.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

// The codes of four magnitudes, none above the largest finite value, as mantissa bits stored and the exponent of 1 give
// them: f16's too.
//
// A magnitude m in [2^e, 2^(e+1)) plus 2^(e + 23 - mantissa) is rounded by the f32 adder, to nearest even, to steps of
// 2^(e - mantissa), and what the sum's bits are above the power's is the number of those steps: mantissa and implicit
// bit of the code, a carry into the exponent included. With e no less than the smallest normal exponent this holds for
// subnormal codes too, whose implicit bit is missing by itself. The steps are counted on the bits, since a compiler may
// simplify (m + power) - power but not the difference of integers.
fn encode4(magnitude: vec4<f32>, mantissa: u32, bias: u32) -> vec4<u32> {
  let smallest = vec4<u32>((128u - bias) << 23u);
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), smallest) + vec4<u32>((23u - mantissa) << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power;
  // Exponent field of the code, less the implicit bit: (e + bias - 1) << mantissa.
  return steps + (power >> vec4<u32>(23u - mantissa)) - vec4<u32>((151u - mantissa - bias) << mantissa);
}

fn pack4_fp8(v: vec4<f32>, max_value: f32, mantissa: u32, bias: u32) -> u32 {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(max_value)), mantissa, bias) | ((bits >> vec4<u32>(24u)) & vec4<u32>(0x80u));
  let codes = select(finite, vec4<u32>(0x7fu), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

fn pack4_e4m3(v: vec4<f32>) -> u32 { return pack4_fp8(v, 448.0, 3u, 7u); }
fn pack4_e5m2(v: vec4<f32>) -> u32 { return pack4_fp8(v, 57344.0, 2u, 15u); }

// Four values times 2^-8: an e4m3 code shifted into an f16 is off by the difference of the exponent biases.
// The NaN code comes out as 480 / 256: the GEMM gains nothing from a test, since a NaN in an activation
// also reaches the loss through the residual stream, which is not quantised.
fn unpack4_e4m3_scaled(codes: u32) -> vec4<f32> {
  let odd = codes >> 8u;
  let even_values = unpack2x16float(((codes & 0x00800080u) << 8u) | ((codes & 0x007f007fu) << 7u));
  let odd_values = unpack2x16float(((odd & 0x00800080u) << 8u) | ((odd & 0x007f007fu) << 7u));
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// Four values, NaN included.
fn unpack4_e4m3(codes: u32) -> vec4<f32> {
  let bytes = vec4<u32>(codes, codes >> 8u, codes >> 16u, codes >> 24u) & vec4<u32>(0x7fu);
  let nan = vec4<f32>(bitcast<f32>(0x7fc00000u | (codes & 0u)));
  return select(unpack4_e4m3_scaled(codes) * 256.0, nan, bytes == vec4<u32>(0x7fu));
}

// Four values, infinities and NaN included: e5m2 is the upper byte of an f16.
fn unpack4_e5m2(codes: u32) -> vec4<f32> {
  let even_values = unpack2x16float((codes << 8u) & 0xff00ff00u);
  let odd_values = unpack2x16float(codes & 0xff00ff00u);
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
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

// Values in this kernel are times 2^-8, as codes are cheaply decoded: an exact factor that changes no rounding.
const UNIT = 256.0;

// What sums are multiplied by for new_codes: 2^-CHANGE_SHIFT.
const CHANGE_SHIFT = 0u;

fn decode4(codes: u32) -> vec4<f32> { return unpack4_e4m3_scaled(codes); }

// The signs of four values in their places of a word of codes.
fn signs4(bits: vec4<u32>) -> u32 {
  return ((bits.x >> 24u) & 0x80u) | ((bits.y >> 16u) & 0x8000u) | ((bits.z >> 8u) & 0x800000u) | (bits.w & 0x80000000u);
}

// Magnitude codes, each plus an offset that one subtraction takes off the four together, and the signs of v. A NaN makes
// all four codes NaN: a row with a NaN in B has nothing else.
fn finish4(biased: vec4<u32>, offsets: u32, v: vec4<f32>) -> u32 {
  let magnitudes = biased.x + (biased.y << 8u) + (biased.z << 16u) + (biased.w << 24u) - offsets;
  let total = bitcast<u32>((v.x + v.y) + (v.z + v.w));
  return select(magnitudes | signs4(bitcast<vec4<u32>>(v)), 0x7f7f7f7fu, (total & 0x7fffffffu) > 0x7f800000u);
}

// The codes of v, rounded to nearest, ties to even: pack4_e4m3 in two thirds of its integer operations, of which the update
// has more than of any other.
fn nearest_codes(v: vec4<f32>) -> u32 {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u)) + vec4<u32>(20u << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power; // see encode4
  return finish4(steps + (power >> vec4<u32>(20u)), 0x2c2c2c28u, v); // 1064 · 0x01010101
}

const THRESHOLD_BITS = 19u;

// The codes of from + sum, each rounded to one of its two neighbours, to the nearer one with the greater probability. A
// magnitude in [2^e, 2^(e+1)), or subnormal with e the smallest exponent, plus 2^(e+1) is a count of 2^-19 steps of its
// codes in the mantissa of f32. The threshold of 19 bits is added, the fraction is cut off. What is a code already stays.
fn new_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return drawn_codes(decode4(codes) + sum, thresholds);
}

fn drawn_codes(v: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u));
  // Half of the power's bits are taken off, not all: what is left is the exponent field of the code.
  let steps = bitcast<vec4<u32>>(magnitude + 2.0 * bitcast<vec4<f32>>(power)) - (power >> vec4<u32>(1u)) +
    (thresholds & vec4<u32>(0x7ffffu));
  return finish4(steps >> vec4<u32>(19u), 0x9b9b9b98u, v); // 920 · 0x01010101
}

// The middles of the values that new_codes rounds to these codes by these thresholds. A code and a threshold tell the values, an
// interval of one step; its middle, less the sum, is nearest to the code before. Where the sum has led into larger steps, two
// codes may have come to be one: which of them it was is then a guess, off by one smaller step.
//
// The middle is 1/2 - threshold steps of codes away, by the places of codes: those are the bits of f32 from bit 20 on, or
// where they are subnormal, a number of 2^-17.
fn middles_of(codes: u32, thresholds: vec4<u32>) -> vec4<f32> {
  let magnitudes = vec4<u32>(codes << 20u, codes << 12u, codes << 4u, codes >> 4u) & vec4<u32>(0x07f00000u);
  let middles = bitcast<vec4<i32>>(magnitudes + vec4<u32>(0x7ffffu) - ((thresholds & vec4<u32>(0x7ffffu)) << vec4<u32>(1u)));
  let value = select(bitcast<vec4<f32>>(middles + vec4<i32>(112 << 23u)), vec4<f32>(middles) * 0x1p-37,
                     middles < vec4<i32>(8 << 20u));
  let signs = vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes) & vec4<u32>(0x80000000u);
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) ^ signs);
}

// The codes that new_codes made these from by this sum and these thresholds.
fn first_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return nearest_codes(middles_of(codes, thresholds) - sum);
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
  return words;
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
  return row * words + word;
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

