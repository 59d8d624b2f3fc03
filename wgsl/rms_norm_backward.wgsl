// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight:
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With params.accumulate the result
// is added to d_input: the gradient of the residual stream that runs past the norm.
// Idea: as in rms_norm.wgsl, a workgroup walks its row twice.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let weights = (params.cols + 3u) / 4u;

  var partial = 0.0;
  for (var c = thread; c < weights; c += THREADS) {
    partial += dot(d_output[start + c] * weight[c], input[start + c]);
  }
  let mean = workgroup_sum(partial, thread) / f32(params.cols);
  let row_rstd = rstd[row];
  let pull = row_rstd * row_rstd * row_rstd * mean;

  for (var c = thread; c < params.vectors; c += THREADS) {
    var dx = vec4<f32>();
    if (c < weights) {
      dx = row_rstd * d_output[start + c] * weight[c] - pull * input[start + c];
      if (params.accumulate != 0u) { dx += d_input[start + c]; }
    }
    d_input[start + c] = dx;
  }
}
