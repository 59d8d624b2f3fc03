// A bijection of 32-bit words whose output bits each depend on all input bits: mix32 in src/numerics/random.ts.
// Include-only.

fn mix(word: u32) -> u32 {
  var z = word;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}
