const THREADS = 256;
// A soft cap in place: values become cap · tanh(value / cap).
//
// Shapes: values f32 [rows, cols], by rows with a pitch, whose zeros stay. Memory-bound; one thread per vec4.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The hyperbolic tangent, right to a few units in the last place. WGSL's own may be off by 1e-5, which a cap of 50 makes
// 5e-4, and may be no number where its argument is large. Include-only.

fn accurate_tanh(x: vec4<f32>) -> vec4<f32> {
  // e^(-2|x|), which ends in 0. Near 0 that is too near 1, and the first terms of the series do.
  let decay = exp2(abs(x) * -2.88539008177793);
  let square = x * x;
  let series = fma(square, fma(square, fma(square, fma(square, vec4<f32>(0.0218694885361552),
    vec4<f32>(-0.0539682539682540)), vec4<f32>(0.133333333333333)), vec4<f32>(-0.333333333333333)), vec4<f32>(1.0));
  return select(sign(x) * (1.0 - decay) / (1.0 + decay), x * series, abs(x) < vec4<f32>(0.25));
}


struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
  cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = linear_index(group, groups) * THREADS + thread;
  if (at < params.vectors) { values[at] = params.cap * accurate_tanh(values[at] / params.cap); }
}

