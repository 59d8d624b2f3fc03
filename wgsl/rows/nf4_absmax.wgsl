// The largest magnitude of each block of 64 values of a weight: absmax[b] = max |x[i]|, i in block b; NaN if that is in it.
//
// x: f32 [rows, cols] with a pitch; a block runs on from the end of a row to the next one. absmax: f32 [blocks].
// One thread per block: for loading a model, not for its step.
//! include linear_grid.wgsl

struct Params {
  count: u32, // rows · cols
  cols: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> absmax: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let block = linear_index(group, groups) * 64u + thread;
  let first = block * BLOCK;
  if (first >= params.count) { return; }
  var row = first / params.cols;
  var col = first % params.cols;
  var largest = 0u;
  for (var i = first; i < min(first + BLOCK, params.count); i++) {
    largest = max(largest, bitcast<u32>(x[row * params.pitch + col]) & 0x7fffffffu);
    col++;
    if (col == params.cols) { col = 0u; row++; }
  }
  absmax[block] = bitcast<f32>(largest);
}
