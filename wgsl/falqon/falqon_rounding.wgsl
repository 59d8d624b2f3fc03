// The random bits of stochastic rounding, bit-equal to tests/oracle/falqon_rounding.ts: a function of the tensor's key, the
// step and the element, by integer arithmetic only. Include-only; the kernel's parameters have key_low, key_high and
// row_words.
//! include mix.wgsl
//! include step_state.wgsl

@group(0) @binding(9) var<storage, read> inputs: StepInputs;

// What the words of this step depend on besides the element.
fn rounding_stream() -> vec2<u32> {
  return vec2<u32>(mix(params.key_low + inputs.step), mix(params.key_high + inputs.step));
}

// A word for columns 8·eight to 8·eight + 7 of a row: `mix` of their index, with half of the stream before and half in its
// middle, so that streams are not each other's shifts.
fn rounding_word(stream: vec2<u32>, row: u32, eight: u32) -> u32 {
  var z = row * params.row_words + eight + stream.x;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu + stream.y;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}

// The random bits of four of these columns, the first or the last ones (half is 0 or 1): the lower 23 of each. Products of
// the word's lower or upper 23 bits, so each number is as likely; the factors are such that the pairs of any two columns
// form a lattice with nearly the largest possible distances.
fn random_bits(word: u32, half: u32) -> vec4<u32> {
  return vec4<u32>(word >> (9u * half)) * vec4<u32>(0xcdc041d9u, 0x6427d34du, 0x963451dfu, 0xca9560a7u);
}
