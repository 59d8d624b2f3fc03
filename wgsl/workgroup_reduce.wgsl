// Reductions over the THREADS invocations of a workgroup (a power of two). The tree has a fixed shape, so results
// repeat bit for bit. Every invocation gets the result.

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] += reduce_scratch[thread + stride]; }
  }
  workgroupBarrier();
  let total = reduce_scratch[0];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (thread < stride) { reduce_scratch[thread] = max(reduce_scratch[thread], reduce_scratch[thread + stride]); }
  }
  workgroupBarrier();
  let largest = reduce_scratch[0];
  workgroupBarrier();
  return largest;
}
