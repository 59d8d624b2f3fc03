// Second stage of the global gradient norm: adds the partial sums of squares in a fixed order and writes
//   grad_norm = sqrt(Σ partials),   clip = min(1, max_norm / (grad_norm + 1e-6))   (1 if max_norm is 0),
//   finite = 1 where the norm is a number, else 0.
// The clip factor is that of torch.nn.utils.clip_grad_norm_.
//! include workgroup_reduce.wgsl
//! include step_state.wgsl

struct Params {
  count: u32,
  max_norm: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> results: StepResults;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var i = thread; i < params.count; i += THREADS) { sum += partials[i]; }
  let norm = sqrt(workgroup_sum(sum, thread));
  if (thread != 0u) { return; }
  results.grad_norm = norm;
  results.clip = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
  // By its bits: compilers may assume that comparisons never meet NaN.
  results.finite = select(1u, 0u, (bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u);
}
