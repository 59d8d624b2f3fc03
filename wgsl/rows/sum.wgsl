// out[index] += Σ values[0 … count), by a single workgroup, so that the order is fixed.
// For sums as long as a batch has tokens, not for whole models.
//! include workgroup_reduce.wgsl

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
