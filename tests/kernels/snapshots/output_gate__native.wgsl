const THREADS = 128;
// The gate of attention's output: output = attended · sigmoid(z), element by element.
//
// Shapes: attended and output f32 [tokens, width]; z columns of merged f32 [tokens, ·], from a multiple of 16 on. One
// thread per vec4 up to the pitch: zeros between give zeros.
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
  vectors: u32, // vec4s in a row of attended
  z_vector: u32, z_vectors: u32, // where z begins, and vec4s in a row of merged
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> attended: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> merged: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let z = merged[token * params.z_vectors + params.z_vector + item % params.vectors];
  output[item] = attended[item] / (1.0 + exp(-bounded_below(z)));
}

