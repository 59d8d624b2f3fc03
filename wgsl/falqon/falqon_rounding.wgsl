// The random bits of stochastic rounding, bit-equal to tests/oracle/falqon_rounding.ts: a word for two neighbouring
// columns, a function of the tensor's key, the step and the element, by integer arithmetic only. Include-only; the
// kernel's parameters have key_low, key_high and row_vectors.
//! include mix.wgsl
//! include step_state.wgsl

@group(0) @binding(9) var<storage, read> inputs: StepInputs;

// What the words of this step depend on besides the element.
fn rounding_stream() -> vec2<u32> {
  return vec2<u32>(mix(params.key_low + inputs.step), mix(params.key_high + inputs.step));
}

// The words of columns 4·vector to 4·vector + 3 of a row, a word for two of them. The first is `mix` of their index, with
// half of the stream before and half in its middle, so that streams are not each other's shifts; the second is half a
// round more.
fn rounding_words(stream: vec2<u32>, row: u32, vector: u32) -> vec2<u32> {
  var z = row * params.row_vectors + vector + stream.x;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu + stream.y;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  let first = z ^ (z >> 15u);
  z = first * 0x9e3779b1u;
  return vec2<u32>(first, z ^ (z >> 16u));
}
