// How a row of the FP8 weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// src/reference/falqon_update.ts. Include-only.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to 20 significant bits: an e4m3 value has at most 4, so the product
// is exact in f32 and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.

const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal

// β of one j for four rows.
fn coefficients(b: vec4<f32>, column: f32, rows: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>((b * column) * rows);
  let vanishes = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(SMALLEST_COEFFICIENT_BITS);
  return bitcast<vec4<f32>>(select(bits & vec4<u32>(0xfffffff0u), vec4<u32>(), vanishes));
}
