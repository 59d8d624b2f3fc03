// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).
//! if ENABLE_SUBGROUPS
enable subgroups;
//! end

var<workgroup> reduce_scratch: array<f32, THREADS>;

//! if SUBGROUP_SUM
fn workgroup_sum(value: f32, thread: u32) -> f32 {
  let part = subgroupAdd(value);
  if (thread % ${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / ${SUBGROUP_SIZE}u] = part; }
  workgroupBarrier();
  var total = reduce_scratch[0];
//! unroll i 1 THREADS/SUBGROUP_SIZE
  total += reduce_scratch[$i];
//! end
  workgroupBarrier(); // the scratch may be written again
  return total;
}
//! else
fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
//! unroll i 1 THREADS/16
    column += reduce_scratch[thread + 16u * ${i}u];
//! end
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
//! unroll i 1 16
  total += reduce_scratch[$i];
//! end
  workgroupBarrier(); // the scratch may be written again
  return total;
}
//! end

// The largest of magnitudes, as their bits without the sign, in which order they are: maxima of floats may leave NaN out, and
// those of integers do not. A NaN, or else infinity, among the values is what comes out.
//! if SUBGROUP_MAX
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  let part = subgroupMax(bits);
  if (thread % ${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / ${SUBGROUP_SIZE}u] = bitcast<f32>(part); }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
//! unroll i 1 THREADS/SUBGROUP_SIZE
  largest = max(largest, bitcast<u32>(reduce_scratch[$i]));
//! end
  workgroupBarrier();
  return largest;
}
//! else
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  reduce_scratch[thread] = bitcast<f32>(bits);
  workgroupBarrier();
  if (thread < 16u) {
    var column = bits;
//! unroll i 1 THREADS/16
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * ${i}u]));
//! end
    reduce_scratch[thread] = bitcast<f32>(column);
  }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
//! unroll i 1 16
  largest = max(largest, bitcast<u32>(reduce_scratch[$i]));
//! end
  workgroupBarrier();
  return largest;
}
//! end
