enable f16;
const SETS = 2;
const BM = 64;
const BN = 128;
const TM = 8;
const TN = 8;
const STEPS = 4;
const PAIRS = 16;
const UNROLL = 8;
const A_LOADS = 4;
const BETA_LOADS = 1;
const EXPONENT = 10;
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
// How a row of the weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// tests/oracle/falqon_update.ts. Include-only; constants from src/kernels/falqon/update_format.ts.
//
// Where it RECOVERS the base, that is what the codes were before training: with all of B, b, and what the last step changed it
// by, b_change, the codes before are made of those now and b - b_change, then the new ones of these and b.
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
  let v = decode4(codes) + sum;
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u));
  // Half of the power's bits are taken off, not all: what is left is the exponent field of the code.
  let steps = bitcast<vec4<u32>>(magnitude + 2.0 * bitcast<vec4<f32>>(power)) - (power >> vec4<u32>(1u)) +
    (thresholds & vec4<u32>(0x7ffffu));
  return finish4(steps >> vec4<u32>(19u), 0x9b9b9b98u, v); // 920 · 0x01010101
}

// The codes that new_codes made these from by this sum and these thresholds. A code and a threshold tell the values that are
// rounded to it, an interval of one step; its middle, less the sum, is nearest to the code before. Where the sum has led into
// larger steps, two codes may have come to be one: which of them it was is then a guess, off by one smaller step.
//
// The middle is 1/2 - threshold steps of codes away, by the places of codes: those are the bits of f32 from bit 20 on, or
// where they are subnormal, a number of 2^-17.
fn first_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  let magnitudes = vec4<u32>(codes << 20u, codes << 12u, codes << 4u, codes >> 4u) & vec4<u32>(0x07f00000u);
  let middles = bitcast<vec4<i32>>(magnitudes + vec4<u32>(0x7ffffu) - ((thresholds & vec4<u32>(0x7ffffu)) << vec4<u32>(1u)));
  let value = select(bitcast<vec4<f32>>(middles + vec4<i32>(112 << 23u)), vec4<f32>(middles) * 0x1p-37,
                     middles < vec4<i32>(8 << 20u));
  let signs = vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes) & vec4<u32>(0x80000000u);
  return nearest_codes(bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) ^ signs) - sum);
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
  if (sweep == 0u) { given -= vec4<f32>(b_change[at + js.x], b_change[at + js.y], b_change[at + js.z], b_change[at + js.w]); }
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
  let a_pair_0 = thread / (BN / 4u) + 0u * (THREADS / (BN / 4u));
  var a_even_0 = a_codes(2u * a_pair_0, first + a_v);
  var a_odd_0 = a_codes(2u * a_pair_0 + 1u, first + a_v);
  let a_pair_1 = thread / (BN / 4u) + 1u * (THREADS / (BN / 4u));
  var a_even_1 = a_codes(2u * a_pair_1, first + a_v);
  var a_odd_1 = a_codes(2u * a_pair_1 + 1u, first + a_v);
  let a_pair_2 = thread / (BN / 4u) + 2u * (THREADS / (BN / 4u));
  var a_even_2 = a_codes(2u * a_pair_2, first + a_v);
  var a_odd_2 = a_codes(2u * a_pair_2 + 1u, first + a_v);
  let a_pair_3 = thread / (BN / 4u) + 3u * (THREADS / (BN / 4u));
  var a_even_3 = a_codes(2u * a_pair_3, first + a_v);
  var a_odd_3 = a_codes(2u * a_pair_3 + 1u, first + a_v);

  // The coefficients of four rows, of which a thread takes every RANK_LANES-th four along the rank.
  for (var sweep = 0u; sweep < SETS; sweep += 1u) {
    let lane = thread % RANK_LANES;
    let slot = thread / RANK_LANES;
    var bits = vec4<u32>();
    let row_0 = min(p0 + slot * 4u + 0u, params.count - 1u);
    let factor_0 = row_factors[row_0];
    let beta_0_0 = row_coefficients(sweep, row_0, factor_0, 4u * (lane + 0u * RANK_LANES));
    bits[0] = max(bits[0], magnitude(beta_0_0));
    let row_1 = min(p0 + slot * 4u + 1u, params.count - 1u);
    let factor_1 = row_factors[row_1];
    let beta_1_0 = row_coefficients(sweep, row_1, factor_1, 4u * (lane + 0u * RANK_LANES));
    bits[1] = max(bits[1], magnitude(beta_1_0));
    let row_2 = min(p0 + slot * 4u + 2u, params.count - 1u);
    let factor_2 = row_factors[row_2];
    let beta_2_0 = row_coefficients(sweep, row_2, factor_2, 4u * (lane + 0u * RANK_LANES));
    bits[2] = max(bits[2], magnitude(beta_2_0));
    let row_3 = min(p0 + slot * 4u + 3u, params.count - 1u);
    let factor_3 = row_factors[row_3];
    let beta_3_0 = row_coefficients(sweep, row_3, factor_3, 4u * (lane + 0u * RANK_LANES));
    bits[3] = max(bits[3], magnitude(beta_3_0));
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
    let quad_0 = lane + 0u * RANK_LANES;
    if (quad_0 < RANK_QUADS) {
      let scaled_0_0 = vec4<f16>(beta_0_0 * power[0]);
      let scaled_1_0 = vec4<f16>(beta_1_0 * power[1]);
      let scaled_2_0 = vec4<f16>(beta_2_0 * power[2]);
      let scaled_3_0 = vec4<f16>(beta_3_0 * power[3]);
      let pair = 2u * quad_0;
      beta[sweep][(pair + 0) / UNROLL][(pair + 0) % UNROLL][slot] = Pairs(
        vec4<f16>(scaled_0_0.xy, scaled_1_0.xy), vec4<f16>(scaled_2_0.xy, scaled_3_0.xy));
      beta[sweep][(pair + 1) / UNROLL][(pair + 1) % UNROLL][slot] = Pairs(
        vec4<f16>(scaled_0_0.zw, scaled_1_0.zw), vec4<f16>(scaled_2_0.zw, scaled_3_0.zw));
    }
  }
  let turn = rounding_turn();
  let parts = (params.rank + 2u * UNROLL - 1u) / (2u * UNROLL);

  for (var step = 0u; step < steps; step += 1u) {
    // This thread's columns, and the codes to start from.
    let v_0 = first + step * (BN / 4u) + tn + 0u * COLUMN_LANES;
    let v_1 = first + step * (BN / 4u) + tn + 1u * COLUMN_LANES;
    var from_0_0_0 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 0u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_0_0_1 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 0u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_0_1_0 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 1u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_0_1_1 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 1u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_0_2_0 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 2u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_0_2_1 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 2u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_0_3_0 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 3u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_0_3_1 =
      base_codes(min(p0 + (tm + 0u * ROW_LANES) * 4u + 3u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_1_0_0 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 0u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_1_0_1 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 0u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_1_1_0 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 1u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_1_1_1 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 1u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_1_2_0 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 2u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_1_2_1 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 2u, params.count - 1u), min(v_1, params.vectors - 1u));
    var from_1_3_0 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 3u, params.count - 1u), min(v_0, params.vectors - 1u));
    var from_1_3_1 =
      base_codes(min(p0 + (tm + 1u * ROW_LANES) * 4u + 3u, params.count - 1u), min(v_1, params.vectors - 1u));
    workgroupBarrier();
    if (thread + 0u * THREADS < A_TASKS) {
      let even = decode4(a_even_0);
      let odd = decode4(a_odd_0);
      a_tile[a_pair_0 / UNROLL][a_pair_0 % UNROLL][a_v] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
    if (thread + 1u * THREADS < A_TASKS) {
      let even = decode4(a_even_1);
      let odd = decode4(a_odd_1);
      a_tile[a_pair_1 / UNROLL][a_pair_1 % UNROLL][a_v] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
    if (thread + 2u * THREADS < A_TASKS) {
      let even = decode4(a_even_2);
      let odd = decode4(a_odd_2);
      a_tile[a_pair_2 / UNROLL][a_pair_2 % UNROLL][a_v] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
    if (thread + 3u * THREADS < A_TASKS) {
      let even = decode4(a_even_3);
      let odd = decode4(a_odd_3);
      a_tile[a_pair_3 / UNROLL][a_pair_3 % UNROLL][a_v] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
    workgroupBarrier();
    var sum_00_00: vec4<f16>;
    var sum_00_01: vec4<f16>;
    var sum_00_10: vec4<f16>;
    var sum_00_11: vec4<f16>;
    var sum_01_00: vec4<f16>;
    var sum_01_01: vec4<f16>;
    var sum_01_10: vec4<f16>;
    var sum_01_11: vec4<f16>;
    var sum_02_00: vec4<f16>;
    var sum_02_01: vec4<f16>;
    var sum_02_10: vec4<f16>;
    var sum_02_11: vec4<f16>;
    var sum_03_00: vec4<f16>;
    var sum_03_01: vec4<f16>;
    var sum_03_10: vec4<f16>;
    var sum_03_11: vec4<f16>;
    var sum_10_00: vec4<f16>;
    var sum_10_01: vec4<f16>;
    var sum_10_10: vec4<f16>;
    var sum_10_11: vec4<f16>;
    var sum_11_00: vec4<f16>;
    var sum_11_01: vec4<f16>;
    var sum_11_10: vec4<f16>;
    var sum_11_11: vec4<f16>;
    var sum_12_00: vec4<f16>;
    var sum_12_01: vec4<f16>;
    var sum_12_10: vec4<f16>;
    var sum_12_11: vec4<f16>;
    var sum_13_00: vec4<f16>;
    var sum_13_01: vec4<f16>;
    var sum_13_10: vec4<f16>;
    var sum_13_11: vec4<f16>;
    for (var sweep = 0u; sweep < SETS; sweep += 1u) {
      sum_00_00 = vec4<f16>();
      sum_00_01 = vec4<f16>();
      sum_00_10 = vec4<f16>();
      sum_00_11 = vec4<f16>();
      sum_01_00 = vec4<f16>();
      sum_01_01 = vec4<f16>();
      sum_01_10 = vec4<f16>();
      sum_01_11 = vec4<f16>();
      sum_02_00 = vec4<f16>();
      sum_02_01 = vec4<f16>();
      sum_02_10 = vec4<f16>();
      sum_02_11 = vec4<f16>();
      sum_03_00 = vec4<f16>();
      sum_03_01 = vec4<f16>();
      sum_03_10 = vec4<f16>();
      sum_03_11 = vec4<f16>();
      sum_10_00 = vec4<f16>();
      sum_10_01 = vec4<f16>();
      sum_10_10 = vec4<f16>();
      sum_10_11 = vec4<f16>();
      sum_11_00 = vec4<f16>();
      sum_11_01 = vec4<f16>();
      sum_11_10 = vec4<f16>();
      sum_11_11 = vec4<f16>();
      sum_12_00 = vec4<f16>();
      sum_12_01 = vec4<f16>();
      sum_12_10 = vec4<f16>();
      sum_12_11 = vec4<f16>();
      sum_13_00 = vec4<f16>();
      sum_13_01 = vec4<f16>();
      sum_13_10 = vec4<f16>();
      sum_13_11 = vec4<f16>();
      for (var part = 0u; part < parts; part += 1u) {
        {
          let beta_0 = beta[sweep][part][0][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][0][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][0][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][0][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][1][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][1][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][1][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][1][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][2][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][2][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][2][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][2][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][3][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][3][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][3][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][3][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][4][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][4][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][4][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][4][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][5][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][5][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][5][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][5][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][6][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][6][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][6][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][6][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
        {
          let beta_0 = beta[sweep][part][7][tm + 0u * ROW_LANES];
          let beta_00 = beta_0[0].xyxy;
          let beta_01 = beta_0[0].zwzw;
          let beta_02 = beta_0[1].xyxy;
          let beta_03 = beta_0[1].zwzw;
          let beta_1 = beta[sweep][part][7][tm + 1u * ROW_LANES];
          let beta_10 = beta_1[0].xyxy;
          let beta_11 = beta_1[0].zwzw;
          let beta_12 = beta_1[1].xyxy;
          let beta_13 = beta_1[1].zwzw;
          let a_0 = a_tile[part][7][tn + 0u * COLUMN_LANES];
          let a_1 = a_tile[part][7][tn + 1u * COLUMN_LANES];
          sum_00_00 = fma(beta_00, a_0[0], sum_00_00);
          sum_00_01 = fma(beta_00, a_0[1], sum_00_01);
          sum_00_10 = fma(beta_00, a_1[0], sum_00_10);
          sum_00_11 = fma(beta_00, a_1[1], sum_00_11);
          sum_01_00 = fma(beta_01, a_0[0], sum_01_00);
          sum_01_01 = fma(beta_01, a_0[1], sum_01_01);
          sum_01_10 = fma(beta_01, a_1[0], sum_01_10);
          sum_01_11 = fma(beta_01, a_1[1], sum_01_11);
          sum_02_00 = fma(beta_02, a_0[0], sum_02_00);
          sum_02_01 = fma(beta_02, a_0[1], sum_02_01);
          sum_02_10 = fma(beta_02, a_1[0], sum_02_10);
          sum_02_11 = fma(beta_02, a_1[1], sum_02_11);
          sum_03_00 = fma(beta_03, a_0[0], sum_03_00);
          sum_03_01 = fma(beta_03, a_0[1], sum_03_01);
          sum_03_10 = fma(beta_03, a_1[0], sum_03_10);
          sum_03_11 = fma(beta_03, a_1[1], sum_03_11);
          sum_10_00 = fma(beta_10, a_0[0], sum_10_00);
          sum_10_01 = fma(beta_10, a_0[1], sum_10_01);
          sum_10_10 = fma(beta_10, a_1[0], sum_10_10);
          sum_10_11 = fma(beta_10, a_1[1], sum_10_11);
          sum_11_00 = fma(beta_11, a_0[0], sum_11_00);
          sum_11_01 = fma(beta_11, a_0[1], sum_11_01);
          sum_11_10 = fma(beta_11, a_1[0], sum_11_10);
          sum_11_11 = fma(beta_11, a_1[1], sum_11_11);
          sum_12_00 = fma(beta_12, a_0[0], sum_12_00);
          sum_12_01 = fma(beta_12, a_0[1], sum_12_01);
          sum_12_10 = fma(beta_12, a_1[0], sum_12_10);
          sum_12_11 = fma(beta_12, a_1[1], sum_12_11);
          sum_13_00 = fma(beta_13, a_0[0], sum_13_00);
          sum_13_01 = fma(beta_13, a_0[1], sum_13_01);
          sum_13_10 = fma(beta_13, a_1[0], sum_13_10);
          sum_13_11 = fma(beta_13, a_1[1], sum_13_11);
        }
      }
      if (sweep == 0u) {
        let units_0 = units[0][tm + 0u * ROW_LANES];
        let row_0_0 = p0 + (tm + 0u * ROW_LANES) * 4u + 0u;
        from_0_0_0 = first_codes(from_0_0_0, joined(sum_00_00, sum_00_01) * units_0[0],
                                        thresholds(rounding_word(row_0_0, v_0 / 2u), v_0 % 2u, turn));
        from_0_0_1 = first_codes(from_0_0_1, joined(sum_00_10, sum_00_11) * units_0[0],
                                        thresholds(rounding_word(row_0_0, v_1 / 2u), v_1 % 2u, turn));
        let row_0_1 = p0 + (tm + 0u * ROW_LANES) * 4u + 1u;
        from_0_1_0 = first_codes(from_0_1_0, joined(sum_01_00, sum_01_01) * units_0[1],
                                        thresholds(rounding_word(row_0_1, v_0 / 2u), v_0 % 2u, turn));
        from_0_1_1 = first_codes(from_0_1_1, joined(sum_01_10, sum_01_11) * units_0[1],
                                        thresholds(rounding_word(row_0_1, v_1 / 2u), v_1 % 2u, turn));
        let row_0_2 = p0 + (tm + 0u * ROW_LANES) * 4u + 2u;
        from_0_2_0 = first_codes(from_0_2_0, joined(sum_02_00, sum_02_01) * units_0[2],
                                        thresholds(rounding_word(row_0_2, v_0 / 2u), v_0 % 2u, turn));
        from_0_2_1 = first_codes(from_0_2_1, joined(sum_02_10, sum_02_11) * units_0[2],
                                        thresholds(rounding_word(row_0_2, v_1 / 2u), v_1 % 2u, turn));
        let row_0_3 = p0 + (tm + 0u * ROW_LANES) * 4u + 3u;
        from_0_3_0 = first_codes(from_0_3_0, joined(sum_03_00, sum_03_01) * units_0[3],
                                        thresholds(rounding_word(row_0_3, v_0 / 2u), v_0 % 2u, turn));
        from_0_3_1 = first_codes(from_0_3_1, joined(sum_03_10, sum_03_11) * units_0[3],
                                        thresholds(rounding_word(row_0_3, v_1 / 2u), v_1 % 2u, turn));
        let units_1 = units[0][tm + 1u * ROW_LANES];
        let row_1_0 = p0 + (tm + 1u * ROW_LANES) * 4u + 0u;
        from_1_0_0 = first_codes(from_1_0_0, joined(sum_10_00, sum_10_01) * units_1[0],
                                        thresholds(rounding_word(row_1_0, v_0 / 2u), v_0 % 2u, turn));
        from_1_0_1 = first_codes(from_1_0_1, joined(sum_10_10, sum_10_11) * units_1[0],
                                        thresholds(rounding_word(row_1_0, v_1 / 2u), v_1 % 2u, turn));
        let row_1_1 = p0 + (tm + 1u * ROW_LANES) * 4u + 1u;
        from_1_1_0 = first_codes(from_1_1_0, joined(sum_11_00, sum_11_01) * units_1[1],
                                        thresholds(rounding_word(row_1_1, v_0 / 2u), v_0 % 2u, turn));
        from_1_1_1 = first_codes(from_1_1_1, joined(sum_11_10, sum_11_11) * units_1[1],
                                        thresholds(rounding_word(row_1_1, v_1 / 2u), v_1 % 2u, turn));
        let row_1_2 = p0 + (tm + 1u * ROW_LANES) * 4u + 2u;
        from_1_2_0 = first_codes(from_1_2_0, joined(sum_12_00, sum_12_01) * units_1[2],
                                        thresholds(rounding_word(row_1_2, v_0 / 2u), v_0 % 2u, turn));
        from_1_2_1 = first_codes(from_1_2_1, joined(sum_12_10, sum_12_11) * units_1[2],
                                        thresholds(rounding_word(row_1_2, v_1 / 2u), v_1 % 2u, turn));
        let row_1_3 = p0 + (tm + 1u * ROW_LANES) * 4u + 3u;
        from_1_3_0 = first_codes(from_1_3_0, joined(sum_13_00, sum_13_01) * units_1[3],
                                        thresholds(rounding_word(row_1_3, v_0 / 2u), v_0 % 2u, turn));
        from_1_3_1 = first_codes(from_1_3_1, joined(sum_13_10, sum_13_11) * units_1[3],
                                        thresholds(rounding_word(row_1_3, v_1 / 2u), v_1 % 2u, turn));
      }
    }
    // The next tile's, or beyond the row, its last codes again.
    a_even_0 = a_codes(2u * a_pair_0, first + (step + 1u) * (BN / 4u) + a_v);
    a_odd_0 = a_codes(2u * a_pair_0 + 1u, first + (step + 1u) * (BN / 4u) + a_v);
    a_even_1 = a_codes(2u * a_pair_1, first + (step + 1u) * (BN / 4u) + a_v);
    a_odd_1 = a_codes(2u * a_pair_1 + 1u, first + (step + 1u) * (BN / 4u) + a_v);
    a_even_2 = a_codes(2u * a_pair_2, first + (step + 1u) * (BN / 4u) + a_v);
    a_odd_2 = a_codes(2u * a_pair_2 + 1u, first + (step + 1u) * (BN / 4u) + a_v);
    a_even_3 = a_codes(2u * a_pair_3, first + (step + 1u) * (BN / 4u) + a_v);
    a_odd_3 = a_codes(2u * a_pair_3 + 1u, first + (step + 1u) * (BN / 4u) + a_v);
    let units_0 = units[SETS - 1u][tm + 0u * ROW_LANES];
    let row_0_0 = p0 + (tm + 0u * ROW_LANES) * 4u + 0u;
    if (row_0_0 < params.count && v_0 < params.vectors) {
      let change = joined(sum_00_00, sum_00_01) * units_0[0];
      let above = thresholds(rounding_word(row_0_0, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_0_0, v_0)] = new_codes(from_0_0_0, change, above);
    }
    if (row_0_0 < params.count && v_1 < params.vectors) {
      let change = joined(sum_00_10, sum_00_11) * units_0[0];
      let above = thresholds(rounding_word(row_0_0, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_0_0, v_1)] = new_codes(from_0_0_1, change, above);
    }
    let row_0_1 = p0 + (tm + 0u * ROW_LANES) * 4u + 1u;
    if (row_0_1 < params.count && v_0 < params.vectors) {
      let change = joined(sum_01_00, sum_01_01) * units_0[1];
      let above = thresholds(rounding_word(row_0_1, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_0_1, v_0)] = new_codes(from_0_1_0, change, above);
    }
    if (row_0_1 < params.count && v_1 < params.vectors) {
      let change = joined(sum_01_10, sum_01_11) * units_0[1];
      let above = thresholds(rounding_word(row_0_1, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_0_1, v_1)] = new_codes(from_0_1_1, change, above);
    }
    let row_0_2 = p0 + (tm + 0u * ROW_LANES) * 4u + 2u;
    if (row_0_2 < params.count && v_0 < params.vectors) {
      let change = joined(sum_02_00, sum_02_01) * units_0[2];
      let above = thresholds(rounding_word(row_0_2, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_0_2, v_0)] = new_codes(from_0_2_0, change, above);
    }
    if (row_0_2 < params.count && v_1 < params.vectors) {
      let change = joined(sum_02_10, sum_02_11) * units_0[2];
      let above = thresholds(rounding_word(row_0_2, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_0_2, v_1)] = new_codes(from_0_2_1, change, above);
    }
    let row_0_3 = p0 + (tm + 0u * ROW_LANES) * 4u + 3u;
    if (row_0_3 < params.count && v_0 < params.vectors) {
      let change = joined(sum_03_00, sum_03_01) * units_0[3];
      let above = thresholds(rounding_word(row_0_3, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_0_3, v_0)] = new_codes(from_0_3_0, change, above);
    }
    if (row_0_3 < params.count && v_1 < params.vectors) {
      let change = joined(sum_03_10, sum_03_11) * units_0[3];
      let above = thresholds(rounding_word(row_0_3, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_0_3, v_1)] = new_codes(from_0_3_1, change, above);
    }
    let units_1 = units[SETS - 1u][tm + 1u * ROW_LANES];
    let row_1_0 = p0 + (tm + 1u * ROW_LANES) * 4u + 0u;
    if (row_1_0 < params.count && v_0 < params.vectors) {
      let change = joined(sum_10_00, sum_10_01) * units_1[0];
      let above = thresholds(rounding_word(row_1_0, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_1_0, v_0)] = new_codes(from_1_0_0, change, above);
    }
    if (row_1_0 < params.count && v_1 < params.vectors) {
      let change = joined(sum_10_10, sum_10_11) * units_1[0];
      let above = thresholds(rounding_word(row_1_0, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_1_0, v_1)] = new_codes(from_1_0_1, change, above);
    }
    let row_1_1 = p0 + (tm + 1u * ROW_LANES) * 4u + 1u;
    if (row_1_1 < params.count && v_0 < params.vectors) {
      let change = joined(sum_11_00, sum_11_01) * units_1[1];
      let above = thresholds(rounding_word(row_1_1, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_1_1, v_0)] = new_codes(from_1_1_0, change, above);
    }
    if (row_1_1 < params.count && v_1 < params.vectors) {
      let change = joined(sum_11_10, sum_11_11) * units_1[1];
      let above = thresholds(rounding_word(row_1_1, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_1_1, v_1)] = new_codes(from_1_1_1, change, above);
    }
    let row_1_2 = p0 + (tm + 1u * ROW_LANES) * 4u + 2u;
    if (row_1_2 < params.count && v_0 < params.vectors) {
      let change = joined(sum_12_00, sum_12_01) * units_1[2];
      let above = thresholds(rounding_word(row_1_2, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_1_2, v_0)] = new_codes(from_1_2_0, change, above);
    }
    if (row_1_2 < params.count && v_1 < params.vectors) {
      let change = joined(sum_12_10, sum_12_11) * units_1[2];
      let above = thresholds(rounding_word(row_1_2, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_1_2, v_1)] = new_codes(from_1_2_1, change, above);
    }
    let row_1_3 = p0 + (tm + 1u * ROW_LANES) * 4u + 3u;
    if (row_1_3 < params.count && v_0 < params.vectors) {
      let change = joined(sum_13_00, sum_13_01) * units_1[3];
      let above = thresholds(rounding_word(row_1_3, v_0 / 2u), v_0 % 2u, turn);
      weight[place_of(params.w_row + row_1_3, v_0)] = new_codes(from_1_3_0, change, above);
    }
    if (row_1_3 < params.count && v_1 < params.vectors) {
      let change = joined(sum_13_10, sum_13_11) * units_1[3];
      let above = thresholds(rounding_word(row_1_3, v_1 / 2u), v_1 % 2u, turn);
      weight[place_of(params.w_row + row_1_3, v_1)] = new_codes(from_1_3_1, change, above);
    }
  }
}

