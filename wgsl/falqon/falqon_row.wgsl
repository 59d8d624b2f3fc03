// How a row of the FP8 weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// tests/oracle/falqon_update.ts. Include-only.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to 20 significant bits: an e4m3 value has at most 4, so the product
// is exact in f32 and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.

const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal

// Four β, each of an element of b with the factors of its column and its row.
fn coefficients(b: vec4<f32>, columns: vec4<f32>, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * columns) * rows);
  let vanishes = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
  return bitcast<vec4<f32>>(select(bits & vec4<u32>(0xfffffff0u), vec4<u32>(), vanishes));
}

// The codes of four values that come times 2^-8, as unpack4_e4m3_scaled gives them: pack4_e4m3 in two thirds of its
// integer operations, of which the update has more than of any other. A NaN makes all four codes NaN (a row with a
// NaN in B has nothing else), the bias of the exponent is taken off the four together, and codes are put together by
// adding.
fn encode4_scaled(v: vec4<f32>) -> u32 {
  let magnitude = min(abs(v), vec4<f32>(448.0 / 256.0));
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), vec4<u32>(113u << 23u)) + vec4<u32>(20u << 23u);
  // Each code plus 1064, see encode4.
  let biased = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power + (power >> vec4<u32>(20u));
  let magnitudes = biased.x + (biased.y << 8u) + (biased.z << 16u) + (biased.w << 24u) - 0x2c2c2c28u; // 1064 · 0x01010101
  let bits = bitcast<vec4<u32>>(v);
  let signs = ((bits.x >> 24u) & 0x80u) | ((bits.y >> 16u) & 0x8000u) | ((bits.z >> 8u) & 0x800000u) |
    (bits.w & 0x80000000u);
  let total = bitcast<u32>((v.x + v.y) + (v.z + v.w));
  return select(magnitudes | signs, 0x7f7f7f7fu, (total & 0x7fffffffu) > 0x7f800000u);
}
