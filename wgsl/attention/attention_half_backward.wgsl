// What the two kernels of the attention backward in packed half-precision arithmetic share: operands, the power of two in
// d_output, and how they write rows of a gradient. With ROTATED, q and k came out of rope.wgsl, and their gradients are
// rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=8 BACKWARD=true

// The power of two that d_output was multiplied by (attention_half_gradient.wgsl), and its inverse.
fn gradient_scale() -> vec2<f32> {
  let at = params.tokens * params.statistics_pitch;
  return vec2<f32>(delta[at], delta[at + 1u]);
}

// Writes the gradient of a tile's rows from token `first` on to `last`, times a factor. `column`: where their head begins.
// A loop over the rows of an invocation, so that the rotation is compiled once: row by row the results move up.
fn write_gradient(
  given: Results, first: u32, last: u32, column: u32, factor: f32, rotated: bool, place: Place,
) {
  if (place.x >= HALF_QUADS) { return; }
  var results = given;
  for (var r = 0u; r < 4u * params.halves; r += 1u) {
    let token = first + row_of(place, r / 4u, r % 4u);
    if (token > last) { break; }
    var low = results[0] * factor;
    var high = results[1] * factor;
    //! if ROTATED
    if (rotated) {
      let angle = rotation(positions[token], 4u * place.x + LANES);
      let turned = low * angle.cosine + high * angle.sine;
      high = high * angle.cosine - low * angle.sine;
      low = turned;
      //! if QUERY_BETA
      low *= query_scale(positions[token]);
      high *= query_scale(positions[token]);
      //! end
    }
    //! end
    let at = token * params.d_qkv_pitch + column + place.x;
    d_qkv[at] = low;
    d_qkv[at + HALF_QUADS] = high;
    //! unroll i 0 14
    results[$i] = results[$i + 2];
    //! end
  }
}
