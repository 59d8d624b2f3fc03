// The factors that give rows the norms wanted: inverse[first + r] = 1 / ‖input[r]‖, factors[first + r] =
// magnitude[r] / ‖input[r]‖. A row of zeros has no direction: its factor is 1 and its inverse 0.
//
// Shapes: input [rows, cols], magnitude [rows], factors and inverse from `first` on, all f32. One workgroup per row.
// Columns up to the pitch take part: they are zero.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> magnitude: array<f32>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var squares = 0.0;
  for (var v = thread; v < params.vectors; v += THREADS) {
    let x = input[row * params.vectors + v];
    squares += dot(x, x);
  }
  let total = workgroup_sum(squares, thread);
  if (thread != 0u) { return; }
  let at = params.first + row;
  if (total > 0.0) {
    let norm = sqrt(total);
    inverse[at] = 1.0 / norm;
    factors[at] = magnitude[row] / norm;
  } else {
    inverse[at] = 0.0;
    factors[at] = 1.0;
  }
}
