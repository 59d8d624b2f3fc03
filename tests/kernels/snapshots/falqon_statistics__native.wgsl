// Measures what the next update will do, before it does it; nothing is changed. For row i of the weight:
// statistics[i] = (codes that will differ, values beyond the format's largest, ⟨U, U⟩, ⟨R, U⟩), with U the change that is asked for,
// U = c · pending · A in units of the weight, and R the change that the decoded weight will make.
//
// One workgroup per row; every row is measured, also those that are not written, since U counts all of them.
// On request only: it costs as much as an update of all rows.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

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

// Four β, each of an element of b with the factors of its column and its row.
fn coefficients(b: vec4<f32>, columns: vec4<f32>, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * columns) * rows);
  let magnitude = bits & vec4<u32>(0x7fffffffu);
  let vanishes = magnitude < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
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
  rows: u32,
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
@group(0) @binding(1) var<storage, read> weight: array<u32>;
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


const LANES = 64u; // threads of a workgroup; each takes vec4s of columns

// What element `at` of b asks for since its row was written.
fn asked_b(at: u32) -> f32 { return b_change[at]; }
@group(0) @binding(8) var<storage, read_write> statistics: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, LANES>;
var<workgroup> written: u32;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let is_written = true;
  var mine = vec4<f32>();
  for (var vector = lane; vector < params.vectors; vector += LANES) {
    var asked = vec4<f32>();
    var sum = vec4<f32>();
    var sum_before = vec4<f32>();
    for (var j = 0u; j < params.rank; j++) {
      let a = decode4(weight[place_of(adapter_row(j), vector)]);
      let b_value = b[row * params.b_pitch + j];
      sum += coefficients(vec4<f32>(b_value), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
      let b_before = b_value - b_change[row * params.b_pitch + j];
      sum_before += coefficients(vec4<f32>(b_before), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
      asked += asked_b(row * params.b_pitch + j) * column_factors[j] * row_factors[row] * (a * UNIT);
    }
    mine.z += dot(asked, asked);
    if (is_written) {
      let old = weight[place_of(params.w_row + row, vector)];
      let above = thresholds(rounding_word(row, vector / 2u), vector % 2u, rounding_turn());
      let base = first_codes(base_codes(row, vector), sum_before / f32(1u << CHANGE_SHIFT), above);
      let value = (decode4(base) + sum) * UNIT;
      let code = new_codes(base, sum / f32(1u << CHANGE_SHIFT), above);
      let change = (decode4(code) - decode4(old)) * UNIT;
      for (var c = 0u; c < 4u; c++) {
        mine.x += select(0.0, 1.0, (((code ^ old) >> (8u * c)) & 0xffu) != 0u);
        mine.y += select(0.0, 1.0, abs(value[c]) > 448.0);
      }
      mine.w += dot(change, asked);
    }
  }
  partial[lane] = mine;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  if (lane == 0u) { statistics[row] = partial[0]; }
}

