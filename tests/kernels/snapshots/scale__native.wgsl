const THREADS = 256;
// Rows times a number of the model, in place: values *= factor.
//
// Shapes: values f32 [rows, cols], by rows with a pitch; factor f32 [1]. Memory-bound; one thread per vec4, up to the
// pitch, whose zeros stay.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = linear_index(group, groups) * THREADS + thread;
  if (at < params.vectors) { values[at] *= factor[0]; }
}

