// The scale of a row whose codes are CODES: what brings its largest magnitude to the format's largest value.
// Include-only. tests/oracle/quantize.ts is the same on the CPU.
//
// f16 has bits to spare, so its scale is the power of two that brings the largest magnitude into [2^3, 2^4): exact, and
// sums of 64 products with values below 2^5 stay within f16.
//
// Rows that vanish have the scale of the smallest magnitude, so that the smallest scale of a gradient tells its largest
// row (gradient_scale.wgsl). In e4m3 it is 1: a weight's row of zeros must be able to take updates of ordinary size.

const SMALLEST_AMAX = 0x1p-100; // scales of less would leave f32's range

fn scale_of(amax: f32) -> f32 {
//! if CODES == e4m3
  return select(448.0 / amax, 1.0, amax < SMALLEST_AMAX);
//! elif CODES == e5m2
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
  return 57344.0 / largest;
//! else
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
  return bitcast<f32>((257u - (bitcast<u32>(largest) >> 23u)) << 23u);
//! end
}
