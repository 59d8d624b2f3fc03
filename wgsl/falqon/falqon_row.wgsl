// How a row of the weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// tests/oracle/falqon_update.ts. Include-only; constants from src/kernels/falqon/update_format.ts.
//
// Where it RECOVERS the base, that is what the codes were before training: with all of B, b, and what the last step changed it
// by, b_change, the codes before are made of those now and b - b_change, then the new ones of these and b. A kernel that has
// both sums AT_ONCE goes from the one to the other in values.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to so few bits that the product with a value of the format is exact
// in f32, and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.
//! include $CODES_INCLUDE

const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal
//! if FLAGS
const LARGEST_COEFFICIENT_BITS = 0x71800000u; // 2^100: from there on, sums could be infinite

// Codes know no NaN, or products do not see it. So a coefficient that is NaN, infinite or near it tells the host that the
// step is not finite: it ends the run, and nothing of this step is saved.
//! include step_state.wgsl
@group(0) @binding(8) var<storage, read_write> results: StepResults;
//! end

// Four β, each of an element of b with the factors of its column and its row.
fn coefficients(b: vec4<f32>, columns: vec4<f32>, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * columns) * rows);
  let magnitude = bits & vec4<u32>(0x7fffffffu);
  let vanishes = magnitude < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
//! if FLAGS
  if (any(magnitude >= vec4<u32>(LARGEST_COEFFICIENT_BITS))) { results.finite = 0u; } // all that store it store the same
//! end
//! if COEFFICIENT_HALF == none
  let cut = bits & vec4<u32>($COEFFICIENT_MASK);
//! else
  // A NaN is left alone: NVIDIA's has all bits set, and half a bit more would carry into the sign and make it a zero.
  let rounded = (bits + vec4<u32>($COEFFICIENT_HALF)) & vec4<u32>($COEFFICIENT_MASK);
  let cut = select(rounded, bits, magnitude > vec4<u32>(0x7f800000u));
//! end
  return bitcast<vec4<f32>>(select(cut, vec4<u32>(), vanishes));
}

//! if CODES == e4m3
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

//! if STOCHASTIC
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
//! if RECOVERS

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
//! if AT_ONCE

// What decode4 makes of nearest_codes. By its bits, as a compiler may take magnitude + power - power for the magnitude.
fn nearest_values(v: vec4<f32>) -> vec4<f32> {
  let magnitude = min(abs(v), vec4<f32>(448.0 / UNIT));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u)) + vec4<u32>(20u << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) & vec4<u32>(0x7fffffu);
  let nearest = bitcast<vec4<f32>>(steps | power) - bitcast<vec4<f32>>(power);
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(nearest) | (bitcast<vec4<u32>>(v) & vec4<u32>(0x80000000u)));
}

// The codes of what new_codes made these from by sum_0, and of sum_1, by the same thresholds.
fn renewed_codes(codes: u32, sum_0: vec4<f32>, sum_1: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return drawn_codes(nearest_values(middles_of(codes, thresholds) - sum_0) + sum_1, thresholds);
}
//! else

// The codes that new_codes made these from by this sum and these thresholds.
fn first_codes(codes: u32, sum: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return nearest_codes(middles_of(codes, thresholds) - sum);
}
//! end
//! end
//! else
fn new_codes(codes: u32, sum: vec4<f32>) -> u32 { return nearest_codes(decode4(codes) + sum); }
//! end
//! else
const UNIT = 1.0;

fn decode4(codes: u32) -> vec4<f32> { return unpack4_$CODES(codes); }

//! if STOCHASTIC
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
//! if RECOVERS

// The places that new_codes took these codes from by this change and these thresholds, unless they were saturated.
fn first_places(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> vec4<f32> {
  return moved(places_of(codes), -change_above(change, thresholds));
}
//! if AT_ONCE

// The codes of what new_codes made these from by change_0, and of change_1, by the same thresholds.
fn renewed_codes(codes: u32, change_0: vec4<f32>, change_1: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(moved(first_places(codes, change_0, thresholds), change_above(change_1, thresholds)));
}
//! else

fn first_codes(codes: u32, change: vec4<f32>, thresholds: vec4<u32>) -> u32 {
  return codes_at(first_places(codes, change, thresholds));
}
//! end
//! end
//! else
const CHANGE_SHIFT = 0u;

fn new_codes(codes: u32, sum: vec4<f32>) -> u32 { return pack4_$CODES(decode4(codes) + sum); }
//! end
//! end
