// The power of two by which the attention backward multiplies d_output before it rounds it to f16, and its inverse, from
// the maxima that attention_backward_delta.wgsl left. They go to scales[at] and scales[at + 1].
//
// The largest magnitude becomes 2^exponent to 2^(exponent + 1): room for sums of products with values above, and more than
// the range of a gradient's elements that matter below (f16 goes down to 2^-24). Zero and infinite maxima get a finite scale
// as well.
// Grid: 1. The maximum does not depend on the order, so the result does not either.

const THREADS = 256u;

struct Params { count: u32, at: u32, exponent: i32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> maxima: array<f32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var maximum = 0.0;
  for (var first = thread; first < params.count; first += 8u * THREADS) {
    //! unroll n 0 8
    maximum = max(maximum, maxima[min(first + ${n}u * THREADS, params.count - 1u)]);
    //! end
  }
  partial[thread] = maximum;
  workgroupBarrier();
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    if (thread < step) { partial[thread] = max(partial[thread], partial[thread + step]); }
    workgroupBarrier();
  }
  if (thread == 0u) {
    // Exponents as they are stored, 127 above their value; both the scale's and its inverse's must be 1 … 253.
    let exponent = clamp(127 + params.exponent + 127 - i32(bitcast<u32>(partial[0]) >> 23u), 1, 253);
    scales[params.at] = bitcast<f32>(u32(exponent) << 23u);
    scales[params.at + 1u] = bitcast<f32>(u32(254 - exponent) << 23u);
  }
}
