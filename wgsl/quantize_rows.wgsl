// FP8 quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] = max / amax(row r).
//
// One workgroup a row, two passes over it; the second finds the row in cache. A lane holds vec4s, so every load is
// 16 bytes and every store one u32 of four codes. With GIVEN_SCALES the scales are inputs and one pass is enough.
//! include fp8.wgsl
//! include row_values.wgsl

struct Params {
  rows: u32,
  vectors: u32,
  tail_vectors: u32,
  codes_pitch: u32, // u32s in a row of codes
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
//! if GIVEN_SCALES
@group(0) @binding(3) var<storage, read> scales: array<f32>;
//! else
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
//! if GIVEN_SCALES
  let scale = scales[row];
//! else
  let scale = scale_of(row_amax(row, thread));
  if (thread == 0u) { scales[row] = scale; }
//! end
  for (var v = thread; v < params.vectors + params.tail_vectors; v += THREADS) {
//! if E4M3
    codes[row * params.codes_pitch + v] = pack4_e4m3(row_value(row, v) * scale);
//! else
    codes[row * params.codes_pitch + v] = pack4_e5m2(row_value(row, v) * scale);
//! end
  }
}
