// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass.
// Idea: a workgroup takes a row and walks it twice, for the mean square and for the output; the second walk is served
// by the cache. Columns up to the pitch take part: they are zero in the input, so they add nothing and stay zero.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;

  var squares = 0.0;
  for (var c = thread; c < params.vectors; c += THREADS) {
    let x = input[start + c];
    squares += dot(x, x);
  }
  let mean_square = workgroup_sum(squares, thread) / f32(params.cols);
  let row_rstd = 1.0 / sqrt(mean_square + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }

  // The weight ends before the pitch: past it there is nothing to read, and zero is due.
  let weights = (params.cols + 3u) / 4u;
  for (var c = thread; c < params.vectors; c += THREADS) {
    var y = vec4<f32>();
    if (c < weights) { y = input[start + c] * row_rstd * weight[c]; }
    output[start + c] = y;
  }
}
