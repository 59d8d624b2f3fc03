// The scale of a row, as the record of its format (src/numerics/formats.ts) makes it from the largest magnitude: what
// brings that to the format's largest value (less where there is headroom), or a power of two, exact, for a format with bits to spare.
// Include-only; constants from src/kernels/codes.ts. tests/oracle/quantize.ts is the same on the CPU.
//
// A row in which something is NaN or infinite has NaN for its scale. Codes would make numbers of that, but products divide by
// scales, so the whole row comes out as NaN and ends in the loss, or in the gradient's norm.
//
// Rows that vanish have the scale of the smallest magnitude, so that the smallest scale of a gradient tells its largest
// row (gradient_scale.wgsl), unless the format gives them one of their own.

const SMALLEST_AMAX = 0x1p-100; // scales of less would leave f32's range

// From the bits of the largest magnitude.
fn scale_of(bits: u32) -> f32 {
  let amax = bitcast<f32>(bits);
//! if CODES_VANISHING != none
  let scale = select($CODES_TOP / amax, $CODES_VANISHING, amax < SMALLEST_AMAX);
//! else
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
//! if CODES_SCALE == maximum
  let scale = $CODES_TOP / largest;
//! else
  let scale = bitcast<f32>(($CODES_EXPONENT - (bitcast<u32>(largest) >> 23u)) << 23u);
//! end
//! end
  return select(scale, not_a_number(bits), bits >= 0x7f800000u);
}

// A NaN of the bits of one, or of infinity: compilers refuse one that they know.
fn not_a_number(bits: u32) -> f32 { return bitcast<f32>(bits | 0x7fc00000u); }

// What a row is multiplied by to be encoded: 0 where its scale is NaN, so that zeros beyond its columns stay zeros.
fn encoding_scale(scale: f32) -> f32 {
  return select(scale, 0.0, (bitcast<u32>(scale) & 0x7fffffffu) > 0x7f800000u);
}
