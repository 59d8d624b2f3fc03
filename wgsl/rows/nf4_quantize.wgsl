// NF4 codes of a weight: codes[r][c] = nearest(x[r][c] / absmax of its block).
//
// x: f32 [rows, cols] with a pitch; absmax: f32 [blocks of 64 values, along rows that follow each other]; codes: 4 bits,
// eight in a u32, [rows rounded up to 16, pitch]. What is beyond rows and cols gets the code of zero, so that decoding
// needs no case for it. One thread per u32.
//! include linear_grid.wgsl
//! include nf4_tables.wgsl

struct Params {
  rows: u32,
  code_rows: u32, // rows rounded up
  cols: u32,
  words: u32,     // u32s of codes in a row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> absmax: array<f32>;
@group(0) @binding(3) var<storage, read> tables: Tables;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;

// As in src/numerics/nf4.ts: how many midpoints, times the magnitude, are below.
fn encode(value: f32, scale: f32) -> u32 {
  if (scale == 0.0) { return NF4_ZERO; }
  var code = 0u;
  for (var step = 8u; step > 0u; step /= 2u) {
    if (value > tables.nf4_midpoints[code + step - 1u] * scale) { code += step; }
  }
  return code;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let word = linear_index(group, groups) * 64u + thread;
  let row = word / params.words;
  if (row >= params.code_rows) { return; }
  let first = (word % params.words) * 8u;
  var packed = 0u;
  for (var i = 0u; i < 8u; i++) {
    let col = first + i;
    var code = u32(NF4_ZERO);
    if (row < params.rows && col < params.cols) {
      let scale = absmax[(row * params.cols + col) / BLOCK];
      code = encode(x[row * params.words * 8u + col], scale);
    }
    packed |= code << (4u * i);
  }
  codes[word] = packed;
}
