// A soft cap in place: values become cap · tanh(value / cap).
//
// Shapes: values f32 [rows, cols], by rows with a pitch, whose zeros stay. Memory-bound; one thread per vec4.
//! include linear_grid.wgsl
//! include tanh.wgsl

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
