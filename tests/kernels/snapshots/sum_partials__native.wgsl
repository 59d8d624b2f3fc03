// out[r][c] (+)= Σ_s partials[s][r][c]: joins the partial products of a GEMM that was split along K.
// The splits are added in order, so the result does not depend on scheduling. One thread per vec4.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row
  pitch: u32,
  out_pitch: u32,
  out_column: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.vectors;
  let column = item % params.vectors;
  if (row >= params.rows) { return; }
  let at = (row * params.out_pitch + params.out_column) / 4u + column;
  var sum = vec4<f32>();
  sum = out[at];
  for (var s = 0u; s < params.splits; s++) {
    sum += partials[(s * params.rows + row) * (params.pitch / 4u) + column];
  }
  out[at] = sum;
}

