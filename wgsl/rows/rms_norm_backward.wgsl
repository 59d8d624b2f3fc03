// Gradient of RMSNorm with respect to its input, row by row. With g = d_output · weight:
//   d_input[r] (+)= rstd[r] · g − input[r] · rstd[r]³ · mean_c(g · input[r])
//
// Shapes: d_output, input, d_input [rows, cols], weight [cols], rstd [rows], all f32. With ACCUMULATE the result is added
// to d_input: the gradient of the residual stream that runs past the norm.
// With QUANTIZED, d_input in few bits too: codes and scales of row_codes.wgsl, after the columns were divided by
// column_scales [cols] (COLUMN_SCALES), the scales of the rows of the weight that it is multiplied by next.
// Idea: as in rms_norm.wgsl, a workgroup keeps its row in registers, what is added to included, or walks it again.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl
//! if QUANTIZED
//! include row_codes.wgsl
//! end

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_input: array<vec4<f32>>;

//! if COLUMN_SCALES
@group(0) @binding(8) var<storage, read> column_scales: array<vec4<f32>>;
//! end

//! if QUANTIZED
// What is quantised of vector v of a row.
fn unscaled(dx: vec4<f32>, v: u32) -> vec4<f32> {
//! if COLUMN_SCALES
  return dx / column_scales[min(v, params.vectors - 1u)];
//! else
  return dx;
//! end
}
//! end

// Zero past the end of the weight, which lies before the pitch.
fn weight_at(v: u32) -> vec4<f32> {
  let weights = (params.cols + 3u) / 4u;
  return select(vec4<f32>(), weight[min(v, weights - 1u)], v < weights);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let row_rstd = rstd[row];

  var partial = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  let at_$i = start + min(v_$i, params.vectors - 1u);
  let dy_$i = d_output[at_$i];
  let x_$i = input[at_$i];
//! if ACCUMULATE
  let before_$i = d_input[at_$i];
//! end
//! end
//! unroll i 0 VECTORS
  partial += dot(dy_$i * weight_at(v_$i), x_$i);
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    partial += dot(d_output[start + v] * weight_at(v), input[start + v]);
  }
//! end
  let mean = workgroup_sum(partial, thread) / f32(params.cols);
  let pull = row_rstd * row_rstd * row_rstd * mean;

//! if QUANTIZED
  var amax = 0.0;
//! end
//! if REGISTERS
//! unroll i 0 VECTORS
//! if ACCUMULATE
  let dx_$i = before_$i + (row_rstd * dy_$i * weight_at(v_$i) - pull * x_$i);
//! else
  let dx_$i = row_rstd * dy_$i * weight_at(v_$i) - pull * x_$i;
//! end
//! end
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) { d_input[at_$i] = dx_$i; }
//! if QUANTIZED
  let out_$i = unscaled(dx_$i, v_$i);
  amax = max(amax, select(0.0, largest(out_$i), v_$i < params.vectors));
//! end
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let at = start + v;
//! if ACCUMULATE
    let dx = d_input[at] + (row_rstd * d_output[at] * weight_at(v) - pull * input[at]);
//! else
    let dx = row_rstd * d_output[at] * weight_at(v) - pull * input[at];
//! end
    d_input[at] = dx;
//! if QUANTIZED
    amax = max(amax, largest(unscaled(dx, v)));
//! end
  }
//! end
//! if QUANTIZED
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }
//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) { write_codes(at_$i, out_$i * scale); }
//! end
//! else
  // A thread reads back what it wrote itself.
  for (var v = thread; v < params.vectors; v += THREADS) {
    write_codes(start + v, unscaled(d_input[start + v], v) * scale);
  }
//! end
//! end
}
