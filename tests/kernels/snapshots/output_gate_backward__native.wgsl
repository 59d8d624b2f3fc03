const THREADS = 128;
// The gradient of output_gate.wgsl: d, that of its output, becomes that of attended in place, and
//   d_z = d · attended · sigmoid'(z) goes to the columns of z in d_merged.
//
// Shapes: as there. One thread per vec4 up to the pitch.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// Values of which e^(-x) is made, no less than -80, where it would overflow. NaN stays NaN, of which max() may make a
// number. Include-only.

fn bounded_below(x: vec4<f32>) -> vec4<f32> {
  // From the first value below -80 to minus infinity; what NaN is, is beyond.
  let beyond = bitcast<vec4<u32>>(x) - vec4<u32>(0xc2a00001u);
  return select(x, vec4<f32>(-80.0), beyond < vec4<u32>(0x3ce00000u));
}


struct Params {
  tokens: u32,
  vectors: u32,
  z_vector: u32, z_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> attended: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> merged: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> d_merged: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let z_at = token * params.z_vectors + params.z_vector + item % params.vectors;
  let s = 1.0 / (1.0 + exp(-bounded_below(merged[z_at])));
  let d_attended = d[item] * s;
  d[item] = d_attended;
  d_merged[z_at] = d_attended * attended[item] * (1.0 - s);
}

