// Parameters and bindings of the kernels that write rows of the weight, or measure what writing them will do
// (MEASURES). Include-only.
//
// Shapes: weight codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on, with HALVES the
// second half of A's rows from second_row on; base codes [outputs, inputs], the frozen reference or (IN_PLACE) the
// weight itself; b and b_change f32 [outputs, rank], columns up to the pitch zero; selected lists the rows to write, ALL_ROWS
// takes each.
//! include code_place.wgsl

struct Params {
//! if MEASURES
  rows: u32,
//! end
  count: u32,      // rows to write
  vectors: u32,    // u32s in a row of codes
  w_row: u32,
  base_row: u32,
  a_row: u32,
//! if HALVES
  second_row: u32,
//! end
  rank: u32,
  b_pitch: u32,
//! if CHANGE
  change_vectors: u32, // vectors of columns in a row of change
//! end
//! if STOCHASTIC
  row_words: u32,  // eights of columns in a row
  key_low: u32,    // of the tensor
  key_high: u32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
//! if MEASURES
@group(0) @binding(1) var<storage, read> weight: array<u32>;
//! else
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;
//! end
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if STOCHASTIC
//! include falqon_rounding.wgsl
//! end
//! if RECOVERS
@group(0) @binding(6) var<storage, read> b_change: array<f32>;
//! end
//! if !ALL_ROWS
@group(0) @binding(5) var<storage, read> selected: array<u32>;
//! end

fn place_of(row: u32, vector: u32) -> u32 { return code_place(row, vector, params.vectors); }

// Row j of the factor on the right; with HALVES the second half of them lies elsewhere.
fn adapter_row(j: u32) -> u32 {
//! if HALVES
  let half = params.rank / 2u;
  return select(params.a_row, params.second_row - half, j >= half) + j;
//! else
  return params.a_row + j;
//! end
}

// The codes that vector `vector` of a row starts from.
//! if IN_PLACE
fn base_codes(row: u32, vector: u32) -> u32 { return weight[place_of(params.w_row + row, vector)]; }
//! else
@group(0) @binding(6) var<storage, read> base: array<u32>;

fn base_codes(row: u32, vector: u32) -> u32 { return base[place_of(params.base_row + row, vector)]; }
//! end
