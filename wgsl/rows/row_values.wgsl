// The rows that are quantised: x, f32 or f16 (X), optionally followed by the columns of a second matrix (TRAILING: FALQON's pending
// term).
// Include-only. The including file's Params must have `vectors` (vec4s in a row of x: its pitch / 4) and
// `trailing_vectors`.

//! if X == f32
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
//! else
@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;
//! end
//! if TRAILING
@group(0) @binding(3) var<storage, read> trailing: array<vec4<f32>>;

// vec4s in a row.
fn row_vectors() -> u32 { return params.vectors + params.trailing_vectors; }
//! else
fn row_vectors() -> u32 { return params.vectors; }
//! end

// Vector v of a row, or past its end the last one again: no more than a repetition to a maximum, and no branch, which
// lets all loads of a thread be under way at once.
fn row_value(row: u32, v: u32) -> vec4<f32> {
  let at = min(v, row_vectors() - 1u);
//! if TRAILING
  if (at >= params.vectors) { return trailing[row * params.trailing_vectors + at - params.vectors]; }
//! end
//! if X == f32
  return x[row * params.vectors + at];
//! else
  let bits = x[row * params.vectors + at];
  return vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y));
//! end
}
