// The gate of attention's output: output = attended · sigmoid(z), element by element.
//
// Shapes: attended and output f32 [tokens, width]; z columns of merged f32 [tokens, ·], from a multiple of 16 on. One
// thread per vec4 up to the pitch: zeros between give zeros.
//! include linear_grid.wgsl
//! include bounded_below.wgsl

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
