// Double quantisation of NF4: the blocks' magnitudes, less their mean, in the dynamic 8-bit type, 256 per scale.
//   offset = mean(absmax);   scale[g] = max |absmax[b] - offset|, b in group g;   code[b] = nearest(absmax[b] - offset)
//
// absmax: f32 [blocks], sum: f32, their sum; codes: u8 [blocks], four in a u32; statistics: f32 [groups + 1], the scales
// and behind them the offset. One workgroup per group, four blocks per thread, so that a thread writes one u32.
//! include linear_grid.wgsl
//! include nf4_tables.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  blocks: u32,
  groups: u32,
  inverse_blocks: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> absmax: array<f32>;
@group(0) @binding(2) var<storage, read> sum: array<f32>;
@group(0) @binding(3) var<storage, read> tables: Tables;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<f32>;

// The nearest value's code, as in src/numerics/nf4.ts: how many midpoints, times the scale, are below.
fn encode(value: f32, scale: f32) -> u32 {
  if (scale == 0.0) { return DYNAMIC_ZERO; }
  var code = 0u;
  for (var step = 128u; step > 0u; step /= 2u) {
    if (value > tables.dynamic_midpoints[code + step - 1u] * scale) { code += step; }
  }
  return code;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let group = linear_index(workgroup, workgroups);
  if (group >= params.groups) { return; }
  let offset = sum[0] * params.inverse_blocks;
  let first = (group * THREADS + thread) * 4u;
  var centred = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    if (first + i < params.blocks) { centred[i] = absmax[first + i] - offset; }
  }
  let largest = bitcast<vec4<u32>>(centred) & vec4<u32>(0x7fffffffu);
  let bits = workgroup_max_bits(max(max(largest.x, largest.y), max(largest.z, largest.w)), thread);
  let scale = bitcast<f32>(bits); // NaN, if a magnitude is
  if (thread == 0u) { statistics[group] = scale; }
  if (thread == 0u && group == 0u) { statistics[params.groups] = offset; }
  if (first >= params.blocks) { return; }
  codes[first / 4u] = encode(centred.x, scale) | (encode(centred.y, scale) << 8u) |
    (encode(centred.z, scale) << 16u) | (encode(centred.w, scale) << 24u);
}
