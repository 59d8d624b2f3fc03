// B of one part of a merged layer as codes, for the gradient of x·Aᵀ, G·B, from the codes of G: its columns are divided
// by the scales of W's rows, so B's rows are multiplied by them, and by one scale s for the part.
//
// codes[first + j][i] = encode(s · s_W[i] · b[i][j]) for a row i of the merged layer that is of this part, else 0.
// Transposed, and zero outside the part, so that all parts are the right operand of one product.
//
// Shapes: b f32 [rows, rank], columns up to a multiple of 16 zero; scales f32 of all rows of the merged weight, this
// part's from w_row on; largest f32 [blocks], see falqon_product.wgsl; codes [rows of all A, width of the layer];
// column_scales f32 [rows of all A] receives s for this part's rows, or INVERSE 1 / s.
// Idea: a workgroup of 256 makes 64 columns of up to 64 rows of codes. Invocations side by side read along j.
//! include $CODES_INCLUDE
//! include code_place.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  b_pitch: u32,
  w_row: u32,
  first: u32,  // row of codes
  words: u32,  // of four codes in a row of codes, those beyond the width included
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> column_scales: array<f32>;

// An element of b times the scale of its row; 0 outside the part.
fn scaled(column: u32, j: u32) -> f32 {
  if (column < params.w_row || column - params.w_row >= params.rows) { return 0.0; }
  return b[(column - params.w_row) * params.b_pitch + j] * scales[column];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.blocks; i += THREADS) { mine = max(mine, bitcast<u32>(largest[i])); }
  let bits = workgroup_max_bits(mine, thread);
  let amax = bitcast<f32>(bits);
  // NaN where B has NaN or infinity, as in row_scale.wgsl.
  let finite = select($CODES_TOP / amax, 1.0, amax < 0x1p-100);
  let scale = bitcast<f32>(select(bitcast<u32>(finite), bits | 0x7fc00000u, bits >= 0x7f800000u));
  let j = group.y * 64u + thread % 64u;
  if (j >= params.b_pitch) { return; }
  let row = params.first + j;
  if (group.x == 0u && thread < 64u) {
//! if INVERSE
    column_scales[row] = 1.0 / scale;
//! else
    column_scales[row] = scale;
//! end
  }
  for (var w = thread / 64u; w < 16u; w += THREADS / 64u) {
    let word = group.x * 16u + w;
    if (word < params.words) {
      let column = 4u * word;
      let values = vec4<f32>(scaled(column, j), scaled(column + 1u, j), scaled(column + 2u, j), scaled(column + 3u, j));
      codes[code_place(row, word, params.words)] = pack4_$CODES(values * scale);
    }
  }
}
