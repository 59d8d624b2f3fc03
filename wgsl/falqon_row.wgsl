// How a row of the FP8 weight is written: new code = encode(base + Σ_j β_j · A~_j), bit-equal to
// src/reference/falqon_update.ts. Include-only; the including file declares params, weight, base, b and the factors.
//
// β_j = b_j · column_factors[j] · row_factors[i], cut to 20 significant bits: an e4m3 value has at most 4, so the product
// is exact in f32 and it does not matter whether the compiler fuses it with the addition. Sums go in the order of j.

const ROWS = 16u;      // rows of a workgroup: A is read once for all of them
const LANES = 64u;     // threads; each has a vec4 of columns
const RANK_TILE = 32u; // coefficients of a row that are in workgroup memory at a time
const SMALLEST_COEFFICIENT_BITS = 0x0f800000u; // 2^-96: below, products or sums could be subnormal

var<workgroup> beta: array<array<f32, ROWS>, RANK_TILE>;

fn coefficient(b_value: f32, column: f32, row: f32) -> f32 {
  let bits = bitcast<u32>((b_value * column) * row);
  return bitcast<f32>(select(bits & 0xfffffff0u, 0u, (bits & 0x7fffffffu) < SMALLEST_COEFFICIENT_BITS));
}
