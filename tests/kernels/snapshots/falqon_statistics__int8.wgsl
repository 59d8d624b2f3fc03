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
        mine.y += select(0.0, 1.0, abs(value[c]) > 127.0);
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

