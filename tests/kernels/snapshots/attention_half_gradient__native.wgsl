enable f16;
// d_output in f16 for the attention backward in packed half-precision arithmetic, times the power of two at scales[at]
// that attention_gradient_scale.wgsl found.
//
// Shapes: d_output f32, halves f16, of the same pitch, seen as `count` vectors of eight elements.
// Memory-bound; a thread takes one vector.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


const THREADS = 256u;

struct Params { count: u32, at: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<array<vec4<f32>, 2>>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> halves: array<array<vec4<f16>, 2>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  if (item >= params.count) { return; }
  let scale = scales[params.at];
  halves[item] = array<vec4<f16>, 2>(vec4<f16>(d_output[item][0] * scale), vec4<f16>(d_output[item][1] * scale));
}

