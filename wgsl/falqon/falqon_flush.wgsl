// Bookkeeping of written rows. For row i = selected[p]:
//   RESIDUE   b[i][j] −= residue[p][j] / (column_factors[j] · row_factors[i])    the share that rounding realized
//   else      flushed[i] = b[i], delta[i] = 0                                    nothing of the row is pending
// One thread per element.
//! include linear_grid.wgsl

struct Params {
  count: u32,
  rank: u32,
  pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
//! if RESIDUE
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
@group(0) @binding(3) var<storage, read> residue: array<f32>;
@group(0) @binding(4) var<storage, read> row_factors: array<f32>;
@group(0) @binding(5) var<storage, read> column_factors: array<f32>;
//! else
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> flushed: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;
//! end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let p = item / params.rank;
  let j = item % params.rank;
  if (p >= params.count) { return; }
  let row = selected[p];
  let at = row * params.pitch + j;
//! if RESIDUE
  b[at] -= residue[p * params.pitch + j] / (column_factors[j] * row_factors[row]);
//! else
  flushed[at] = b[at];
  delta[at] = 0.0;
//! end
}
