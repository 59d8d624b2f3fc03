// Block Hadamard transform of a matrix along its rows, see hadamard.wgsl: output[r] = input[r] · H.
//
// Shapes: input, output f32 [rows, cols], by rows with a pitch; with IN_PLACE output is input too. With ACCUMULATE the
// result is added to what output holds.
// Idea: the pitch is whole blocks, so the matrix is one run of them. Four vec4s per thread, each loaded and stored once.
//! include linear_grid.wgsl
//! include hadamard.wgsl

struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
//! if !IN_PLACE
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
//! end
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

fn value(at: u32) -> vec4<f32> {
  let inside = min(at, params.vectors - 1u);
//! if IN_PLACE
  return output[inside];
//! else
  return input[inside];
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let start = linear_index(group, groups) * 4u * THREADS;
//! unroll i 0 4
  let value_$i = value(start + tile_place(thread, ${i}u));
//! end
  let result = rotated(Tile(value_0, value_1, value_2, value_3), thread);
//! unroll i 0 4
  let at_$i = start + tile_place(thread, ${i}u);
//! if ACCUMULATE
  if (at_$i < params.vectors) { output[at_$i] += result[$i]; }
//! else
  if (at_$i < params.vectors) { output[at_$i] = result[$i]; }
//! end
//! end
}
