// Copies rows of codes of one byte into panels: to[to_row + r][c] = from[from_row + r][c], zeros past the columns.
//
// The source is in panels too (FROM panels), or row-major with from_words words per row. One thread per word.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// Where the codes of a matrix are, counted in words of four codes: LAYOUT is the format's, see MatrixLayout of
// src/numerics/formats.ts. Include-only.

// Words in a row of the codes, of which `words` hold values: the rest are zeros.
fn code_words(words: u32) -> u32 {
  return (words + 15u) & ~15u;
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
  return ((row >> 7u) * (words >> 4u) + (word >> 4u)) * 2048u + (row & 127u) * 16u + (word & 15u);
}


struct Params {
  rows: u32,
  words: u32,      // in a row of the destination
  from_words: u32, // in a row of the source
  from_row: u32,
  to_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> target_codes: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.words;
  let word = item % params.words;
  if (row >= params.rows) { return; }
  let codes = source[code_place(params.from_row + row, word, params.from_words)];
  target_codes[code_place(params.to_row + row, word, params.words)] = codes;
}

