// The scale of a row, as the record of its format (src/numerics/formats.ts) makes it from the largest magnitude: what
// brings that to the format's largest value (less where there is headroom), or a power of two, exact, for a format with bits to spare.
// Include-only; constants from src/kernels/codes.ts. tests/oracle/quantize.ts is the same on the CPU.
//
// Rows that vanish have the scale of the smallest magnitude, so that the smallest scale of a gradient tells its largest
// row (gradient_scale.wgsl), unless the format gives them one of their own.

const SMALLEST_AMAX = 0x1p-100; // scales of less would leave f32's range

fn scale_of(amax: f32) -> f32 {
//! if CODES_VANISHING != none
  return select($CODES_TOP / amax, $CODES_VANISHING, amax < SMALLEST_AMAX);
//! else
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
//! if CODES_SCALE == maximum
  return $CODES_TOP / largest;
//! else
  return bitcast<f32>(($CODES_EXPONENT - (bitcast<u32>(largest) >> 23u)) << 23u);
//! end
//! end
}
