// out[r][c] = decode(codes[r][c]) / scales[r]: codes back to f32; less the original (SUBTRACT), the quantisation error.
// The codes begin at row first_row of theirs. One thread per vec4.
//! include linear_grid.wgsl
//! include code_place.wgsl
//! include $CODES_INCLUDE

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the output
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<$CODES_WORD>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if SUBTRACT
@group(0) @binding(4) var<storage, read> subtract: array<vec4<f32>>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let four = codes[code_place(params.first_row + row, item % params.vectors, code_words(params.vectors))];
//! if CODES == f16
  var value = vec4<f32>(unpack2x16float(four.x), unpack2x16float(four.y)) / scales[row];
//! else
  var value = unpack4_$CODES(four) / scales[row];
//! end
//! if SUBTRACT
  value -= subtract[item];
//! end
  out[item] = value;
}
