// The largest of floats, signs and all, as the reductions of workgroup_reduce.wgsl. It may leave NaN out. Include-only.
//! include workgroup_reduce.wgsl

//! if SUBGROUP_MAX
fn workgroup_max(value: f32, thread: u32) -> f32 {
  let part = subgroupMax(value);
  if (thread % ${SUBGROUP_SIZE}u == 0u) { reduce_scratch[thread / ${SUBGROUP_SIZE}u] = part; }
  workgroupBarrier();
  var largest = reduce_scratch[0];
//! unroll i 1 THREADS/SUBGROUP_SIZE
  largest = max(largest, reduce_scratch[$i]);
//! end
  workgroupBarrier();
  return largest;
}
//! else
fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
//! unroll i 1 THREADS/16
    column = max(column, reduce_scratch[thread + 16u * ${i}u]);
//! end
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
//! unroll i 1 16
  largest = max(largest, reduce_scratch[$i]);
//! end
  workgroupBarrier();
  return largest;
}
//! end
