// FP8 quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] = max / amax(row r).
//
// One workgroup a row, two passes over it; the second finds the row in cache. A lane holds vec4s, so every load is
// 16 bytes and every store one u32 of four codes.
//   GIVEN_SCALES    the scales are inputs (one for the whole tensor) instead of being computed
//   COLUMN_SCALES   x[r][c] is divided by column_scales[c] first: the contraction of a following GEMM runs over columns
//                   whose other operand carries one scale a row, which must be folded in before rounding
//   TAIL            the row goes on with the columns of a second matrix (FALQON's pending term)

//! include fp8.wgsl

struct Params {
  vectors: u32,       // vec4s in a row of x, its pitch / 4
  tail_vectors: u32,  // vec4s in a row of tail
  codes_pitch: u32,   // u32s in a row of codes
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
//! if GIVEN_SCALES
@group(0) @binding(3) var<storage, read> scales: array<f32>;
//! else
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(4) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if TAIL
@group(0) @binding(5) var<storage, read> tail: array<vec4<f32>>;
//! end

const THREADS = 128u;
const SMALLEST_AMAX = 0x1p-100; // rows below count as zero: their scale would leave f32's range

var<workgroup> partial: array<f32, THREADS>;

fn value(row: u32, v: u32) -> vec4<f32> {
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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  let vectors = params.vectors + params.tail_vectors;
//! if GIVEN_SCALES
  if (row >= arrayLength(&scales)) { return; }
  let scale = scales[row];
//! else
  if (row >= arrayLength(&scales)) { return; }
  var amax = 0.0;
  for (var v = thread; v < vectors; v += THREADS) {
    let q = abs(value(row, v));
    amax = max(amax, max(max(q.x, q.y), max(q.z, q.w)));
  }
  partial[thread] = amax;
  workgroupBarrier();
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    if (thread < width) { partial[thread] = max(partial[thread], partial[thread + width]); }
    workgroupBarrier();
  }
  amax = partial[0];
  let scale = select($MAX / amax, 1.0, amax < SMALLEST_AMAX);
  if (thread == 0u) { scales[row] = scale; }
//! end
  for (var v = thread; v < vectors; v += THREADS) {
//! if E4M3
    codes[row * params.codes_pitch + v] = pack4_e4m3(value(row, v) * scale);
//! else
    codes[row * params.codes_pitch + v] = pack4_e5m2(value(row, v) * scale);
//! end
  }
}
