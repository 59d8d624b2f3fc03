const THREADS = 64;
const DYNAMIC_ZERO = 127;
// Double quantisation of NF4: the blocks' magnitudes, less their mean, in the dynamic 8-bit type, 256 per scale.
//   offset = mean(absmax);   scale[g] = max |absmax[b] - offset|, b in group g;   code[b] = nearest(absmax[b] - offset)
//
// absmax: f32 [blocks], sum: f32, their sum; codes: u8 [blocks], four in a u32; statistics: f32 [groups + 1], the scales
// and behind them the offset. One workgroup per group, four blocks per thread, so that a thread writes one u32.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The number types of NF4 with double quantisation, from src/numerics/nf4.ts. Include-only.

struct Tables {
  dynamic: array<f32, 256>,           // the 8-bit type's values, ascending
  dynamic_midpoints: array<f32, 256>, // halfway between neighbours, 255 of them
  nf4: array<f32, 16>,
  nf4_midpoints: array<f32, 16>,
}

// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column += reduce_scratch[thread + 16u * 1u];
    column += reduce_scratch[thread + 16u * 2u];
    column += reduce_scratch[thread + 16u * 3u];
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
  total += reduce_scratch[1];
  total += reduce_scratch[2];
  total += reduce_scratch[3];
  total += reduce_scratch[4];
  total += reduce_scratch[5];
  total += reduce_scratch[6];
  total += reduce_scratch[7];
  total += reduce_scratch[8];
  total += reduce_scratch[9];
  total += reduce_scratch[10];
  total += reduce_scratch[11];
  total += reduce_scratch[12];
  total += reduce_scratch[13];
  total += reduce_scratch[14];
  total += reduce_scratch[15];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

// The largest of magnitudes, as their bits without the sign, in which order they are: maxima of floats may leave NaN out, and
// those of integers do not. A NaN, or else infinity, among the values is what comes out.
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  reduce_scratch[thread] = bitcast<f32>(bits);
  workgroupBarrier();
  if (thread < 16u) {
    var column = bits;
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 1u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 2u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 3u]));
    reduce_scratch[thread] = bitcast<f32>(column);
  }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
  largest = max(largest, bitcast<u32>(reduce_scratch[1]));
  largest = max(largest, bitcast<u32>(reduce_scratch[2]));
  largest = max(largest, bitcast<u32>(reduce_scratch[3]));
  largest = max(largest, bitcast<u32>(reduce_scratch[4]));
  largest = max(largest, bitcast<u32>(reduce_scratch[5]));
  largest = max(largest, bitcast<u32>(reduce_scratch[6]));
  largest = max(largest, bitcast<u32>(reduce_scratch[7]));
  largest = max(largest, bitcast<u32>(reduce_scratch[8]));
  largest = max(largest, bitcast<u32>(reduce_scratch[9]));
  largest = max(largest, bitcast<u32>(reduce_scratch[10]));
  largest = max(largest, bitcast<u32>(reduce_scratch[11]));
  largest = max(largest, bitcast<u32>(reduce_scratch[12]));
  largest = max(largest, bitcast<u32>(reduce_scratch[13]));
  largest = max(largest, bitcast<u32>(reduce_scratch[14]));
  largest = max(largest, bitcast<u32>(reduce_scratch[15]));
  workgroupBarrier();
  return largest;
}


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

