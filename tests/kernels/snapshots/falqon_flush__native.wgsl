// Bookkeeping of written rows. For row i = selected[p]:
//   RESIDUE   b[i][j] −= residue[p][j] / (column_factors[j] · row_factors[i])    the share that rounding realized
//   else      flushed[i] = b[i], delta[i] = 0                                    nothing of the row is pending
// One thread per element.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  count: u32,
  rank: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
@group(0) @binding(3) var<storage, read> residue: array<f32>;
@group(0) @binding(4) var<storage, read> row_factors: array<f32>;
@group(0) @binding(5) var<storage, read> column_factors: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let p = item / params.rank;
  let j = item % params.rank;
  if (p >= params.count) { return; }
  let row = selected[p];
  let at = row * params.pitch + j;
  b[at] -= residue[p * params.pitch + j] / (column_factors[j] * row_factors[row]);
}

