// The scale of a row whose codes are CODES: what brings its largest magnitude to the format's largest value.
// Include-only. src/reference/quantize.ts is the same on the CPU.
//
// f16 has bits to spare, so its scale is the power of two that brings the largest magnitude into [2^4, 2^5): exact, and
// sums of a few dozen products with other such rows stay within f16.

const SMALLEST_AMAX = 0x1p-100; // below counts as zero: the scale would leave f32's range

fn scale_of(amax: f32) -> f32 {
//! if CODES == e4m3
  let scale = 448.0 / amax;
//! end
//! if CODES == e5m2
  let scale = 57344.0 / amax;
//! end
//! if CODES == f16
  let scale = bitcast<f32>((258u - (bitcast<u32>(amax) >> 23u)) << 23u);
//! end
  return select(scale, 1.0, amax < SMALLEST_AMAX);
}
