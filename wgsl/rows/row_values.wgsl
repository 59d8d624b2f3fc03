// The rows that are quantised: x, optionally divided by a scale a column, optionally followed by a second matrix.
// Include-only. The including file's Params must have `vectors` (vec4s in a row of x: its pitch / 4) and `tail_vectors`.
//   COLUMN_SCALES   x[r][c] is divided by column_scales[c]: the contraction of a following GEMM runs over columns whose
//                   other operand carries one scale a row, which must be folded in before rounding
//   TAIL            the row goes on with the columns of a second matrix (FALQON's pending term)

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(2) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if TAIL
@group(0) @binding(3) var<storage, read> tail: array<vec4<f32>>;
//! end

// vec4s in a row.
fn row_vectors() -> u32 {
//! if TAIL
  return params.vectors + params.tail_vectors;
//! else
  return params.vectors;
//! end
}

// Vector v of a row, or past its end the last one again: no more than a repetition to a maximum, and no branch, which
// lets all loads of a thread be under way at once.
fn row_value(row: u32, v: u32) -> vec4<f32> {
  let at = min(v, row_vectors() - 1u);
//! if TAIL
  var q: vec4<f32>;
  if (at < params.vectors) { q = x[row * params.vectors + at]; }
  else { q = tail[row * params.tail_vectors + at - params.vectors]; }
//! else
  var q = x[row * params.vectors + at];
//! end
//! if COLUMN_SCALES
  q /= column_scales[at];
//! end
  return q;
}
