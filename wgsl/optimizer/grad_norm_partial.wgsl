// First stage of the global gradient norm: partials[k] = Σ gradients[i]² over the share of workgroup k.
//
// Shapes: gradients f32 [count], read as vec4s (what fills the last one is zero), partials [workgroups].
// Idea: the number of workgroups depends on count alone, so sums repeat; each walks the whole vector in strides, so that
// neighbouring workgroups read neighbouring memory.
//! include workgroup_reduce.wgsl

struct Params {
  vectors: u32, // vec4s in gradients
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var i = group.x * THREADS + thread; i < params.vectors; i += groups.x * THREADS) {
    let g = gradients[i];
    sum += dot(g, g);
  }
  let total = workgroup_sum(sum, thread);
  if (thread == 0u) { partials[group.x] = total; }
}
