// The rows that are quantised: x, optionally divided by a scale a column, optionally followed by a second matrix.
// Include-only. The including file's Params must have `vectors` (vec4s in a row of x: its pitch / 4) and `tail_vectors`.
//   COLUMN_SCALES   x[r][c] is divided by column_scales[c]: the contraction of a following GEMM runs over columns whose
//                   other operand carries one scale a row, which must be folded in before rounding
//   TAIL            the row goes on with the columns of a second matrix (FALQON's pending term)

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if TAIL
@group(0) @binding(5) var<storage, read> tail: array<vec4<f32>>;
//! end

const SMALLEST_AMAX = 0x1p-100; // below counts as zero: the scale would leave f32's range

var<workgroup> partial_amax: array<f32, THREADS>;

fn row_value(row: u32, v: u32) -> vec4<f32> {
//! if TAIL
  var q: vec4<f32>;
  if (v < params.vectors) { q = x[row * params.vectors + v]; }
  else { q = tail[row * params.tail_vectors + v - params.vectors]; }
//! else
  var q = x[row * params.vectors + v];
//! end
//! if COLUMN_SCALES
  q /= column_scales[v];
//! end
  return q;
}

// The largest of all threads' values, to all of them.
fn workgroup_largest(thread: u32, mine: f32) -> f32 {
  partial_amax[thread] = mine;
  workgroupBarrier();
  for (var width = u32(THREADS) / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial_amax[thread] = max(partial_amax[thread], partial_amax[thread + width]); }
    workgroupBarrier();
  }
  return partial_amax[0];
}

fn row_amax(row: u32, thread: u32) -> f32 {
  var amax = 0.0;
  for (var v = thread; v < params.vectors + params.tail_vectors; v += THREADS) {
    let q = abs(row_value(row, v));
    amax = max(amax, max(max(q.x, q.y), max(q.z, q.w)));
  }
  return workgroup_largest(thread, amax);
}

fn scale_of(amax: f32) -> f32 {
  return select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
}
