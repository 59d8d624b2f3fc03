// Copies rows of codes of one byte into panels: to[to_row + r][c] = from[from_row + r][c], zeros past the columns.
//
// The source is in panels too (FROM panels), or row-major with from_words words per row. One thread per word.
//! include linear_grid.wgsl
//! include code_place.wgsl LAYOUT=panels

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
//! if FROM == panels
  let codes = source[code_place(params.from_row + row, word, params.from_words)];
//! else
  let inside = word < params.from_words;
  let at = (params.from_row + row) * params.from_words + min(word, params.from_words - 1u);
  let codes = select(0u, source[at], inside);
//! end
  target_codes[code_place(params.to_row + row, word, params.words)] = codes;
}
