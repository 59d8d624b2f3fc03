const THREADS = 256;
// The power of two that brings a quantised gradient into the range of f16 as a whole, from the scales of its rows.
//
// A row times its scale has its largest magnitude at the largest code, so all rows times the smallest of the scales
// stay below that, and `headroom` further up. (Where rows stay multiplied by their scales, it is the quotients of the
// power and these that stay below 1: headroom 1.) Vanishing rows have large scales and do not count. Rows
// with NaN or infinity have NaN for a scale (row_scale.wgsl): then the power is NaN, and all that it scales.
// Grid: 1. A minimum does not depend on the order, so the result does not either.
// The largest of floats, signs and all, as the reductions of workgroup_reduce.wgsl. It may leave NaN out. Include-only.
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
    column += reduce_scratch[thread + 16u * 4u];
    column += reduce_scratch[thread + 16u * 5u];
    column += reduce_scratch[thread + 16u * 6u];
    column += reduce_scratch[thread + 16u * 7u];
    column += reduce_scratch[thread + 16u * 8u];
    column += reduce_scratch[thread + 16u * 9u];
    column += reduce_scratch[thread + 16u * 10u];
    column += reduce_scratch[thread + 16u * 11u];
    column += reduce_scratch[thread + 16u * 12u];
    column += reduce_scratch[thread + 16u * 13u];
    column += reduce_scratch[thread + 16u * 14u];
    column += reduce_scratch[thread + 16u * 15u];
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
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 4u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 5u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 6u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 7u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 8u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 9u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 10u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 11u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 12u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 13u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 14u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 15u]));
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


fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column = max(column, reduce_scratch[thread + 16u * 1u]);
    column = max(column, reduce_scratch[thread + 16u * 2u]);
    column = max(column, reduce_scratch[thread + 16u * 3u]);
    column = max(column, reduce_scratch[thread + 16u * 4u]);
    column = max(column, reduce_scratch[thread + 16u * 5u]);
    column = max(column, reduce_scratch[thread + 16u * 6u]);
    column = max(column, reduce_scratch[thread + 16u * 7u]);
    column = max(column, reduce_scratch[thread + 16u * 8u]);
    column = max(column, reduce_scratch[thread + 16u * 9u]);
    column = max(column, reduce_scratch[thread + 16u * 10u]);
    column = max(column, reduce_scratch[thread + 16u * 11u]);
    column = max(column, reduce_scratch[thread + 16u * 12u]);
    column = max(column, reduce_scratch[thread + 16u * 13u]);
    column = max(column, reduce_scratch[thread + 16u * 14u]);
    column = max(column, reduce_scratch[thread + 16u * 15u]);
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
  largest = max(largest, reduce_scratch[1]);
  largest = max(largest, reduce_scratch[2]);
  largest = max(largest, reduce_scratch[3]);
  largest = max(largest, reduce_scratch[4]);
  largest = max(largest, reduce_scratch[5]);
  largest = max(largest, reduce_scratch[6]);
  largest = max(largest, reduce_scratch[7]);
  largest = max(largest, reduce_scratch[8]);
  largest = max(largest, reduce_scratch[9]);
  largest = max(largest, reduce_scratch[10]);
  largest = max(largest, reduce_scratch[11]);
  largest = max(largest, reduce_scratch[12]);
  largest = max(largest, reduce_scratch[13]);
  largest = max(largest, reduce_scratch[14]);
  largest = max(largest, reduce_scratch[15]);
  workgroupBarrier();
  return largest;
}


struct Params {
  rows: u32,
  headroom: f32, // a power of two
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> power: array<f32>;

const LARGEST = 0x1p96; // leaves room for its products and quotients with other scales

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var smallest = LARGEST;
  var bits = 0u; // of the largest: NaN's are larger than those of any number
  for (var first = thread; first < params.rows; first += 8u * THREADS) {
    let scale_0 = scales[min(first + 0u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_0);
    bits = max(bits, bitcast<u32>(scale_0));
    let scale_1 = scales[min(first + 1u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_1);
    bits = max(bits, bitcast<u32>(scale_1));
    let scale_2 = scales[min(first + 2u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_2);
    bits = max(bits, bitcast<u32>(scale_2));
    let scale_3 = scales[min(first + 3u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_3);
    bits = max(bits, bitcast<u32>(scale_3));
    let scale_4 = scales[min(first + 4u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_4);
    bits = max(bits, bitcast<u32>(scale_4));
    let scale_5 = scales[min(first + 5u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_5);
    bits = max(bits, bitcast<u32>(scale_5));
    let scale_6 = scales[min(first + 6u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_6);
    bits = max(bits, bitcast<u32>(scale_6));
    let scale_7 = scales[min(first + 7u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_7);
    bits = max(bits, bitcast<u32>(scale_7));
  }
  let scale = -workgroup_max(-smallest, thread);
  let largest = workgroup_max_bits(bits, thread);
  if (thread == 0u) {
    let below = bitcast<f32>(bitcast<u32>(scale) & 0x7f800000u); // the power of two up to it
    let found = bitcast<u32>(min(below * params.headroom, LARGEST));
    power[0] = bitcast<f32>(select(found, largest | 0x7fc00000u, largest >= 0x7f800000u));
  }
}

