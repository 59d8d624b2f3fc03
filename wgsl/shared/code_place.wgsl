// Where the codes of a matrix are, counted in words of four codes: LAYOUT is the format's, see MatrixLayout of
// src/numerics/formats.ts. Include-only.

// Words in a row of the codes, of which `words` hold values: the rest are zeros.
fn code_words(words: u32) -> u32 {
//! if LAYOUT == panels
  return (words + 15u) & ~15u;
//! else
  return words;
//! end
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
//! if LAYOUT == panels
  return ((row >> 7u) * (words >> 4u) + (word >> 4u)) * 2048u + (row & 127u) * 16u + (word & 15u);
//! else
  return row * words + word;
//! end
}
