// sigmoid(g) = 1 / (1 + e^−g), the gate of silu(g) = g · sigmoid(g), for f32 or vec4<f32>.

fn sigmoid(g: $ELEMENT) -> $ELEMENT {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, $ELEMENT(-80.0))));
}
