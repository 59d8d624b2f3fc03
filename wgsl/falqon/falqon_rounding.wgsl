// The random bits of stochastic rounding, bit-equal to tests/oracle/falqon_rounding.ts: a word for each two neighbouring
// columns, a function of the tensor's key, the step and the element, by integer arithmetic only. Include-only; the
// kernel's parameters have key_low, key_high and row_words.
//! include mix.wgsl
//! include step_state.wgsl

@group(0) @binding(9) var<storage, read> inputs: StepInputs;

// What the words of this step depend on besides the element.
fn rounding_stream() -> vec2<u32> {
  return vec2<u32>(mix(params.key_low + inputs.step), mix(params.key_high + inputs.step));
}

// The words of columns 4·vector to 4·vector + 3 of a row: `mix` of their index, with half of the stream before and half
// in its middle, so that streams are not each other's shifts.
fn rounding_words(stream: vec2<u32>, row: u32, vector: u32) -> vec2<u32> {
  var z = vec2<u32>(0u, 1u) + (row * params.row_words + 2u * vector + stream.x);
  z = (z ^ (z >> vec2<u32>(16u))) * 0x21f0aaadu + stream.y;
  z = (z ^ (z >> vec2<u32>(15u))) * 0x735a2d97u;
  return z ^ (z >> vec2<u32>(15u));
}
