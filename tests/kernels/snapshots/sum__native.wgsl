const THREADS = 256;
// out[index] += Σ values[0 … count), by a single workgroup, so that the order is fixed.
// For sums as long as a batch has tokens, not for whole models.
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


struct Params {
  count: u32,
  index: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var partial = 0.0;
  for (var i = thread; i < params.count; i += THREADS) { partial += values[i]; }
  let total = workgroup_sum(partial, thread);
  if (thread == 0u) { out[params.index] += total; }
}

