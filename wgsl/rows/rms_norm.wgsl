// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass. The output
// is wanted in f32 (OUTPUT), in few bits (QUANTIZED: codes and scales of row_codes.wgsl), or both.
// Idea: a workgroup takes a row and keeps it in registers (REGISTERS); one too long for that is walked once for each of
// mean square, largest magnitude and result, from cache but for the first time. Columns up to the pitch take part: they
// are zero in the input, so they add nothing and stay zero.
//! include linear_grid.wgsl
//! include workgroup_reduce.wgsl
//! if QUANTIZED
//! include row_codes.wgsl
//! end

struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
//! if OUTPUT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
//! end
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

// Vector v of a row, zero past its end. Nothing here branches, so that all loads of a thread are under way at once.
fn input_at(row: u32, v: u32) -> vec4<f32> {
  return select(vec4<f32>(), input[row * params.vectors + min(v, params.vectors - 1u)], v < params.vectors);
}

// The weight ends before the pitch: past it there is nothing to read, and zero is due.
fn normed(x: vec4<f32>, row_rstd: f32, v: u32) -> vec4<f32> {
  let weights = (params.cols + 3u) / 4u;
  return select(vec4<f32>(), x * row_rstd * weight[min(v, weights - 1u)], v < weights);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = row * params.vectors;

  var squares = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  let x_$i = input_at(row, thread + ${i}u * THREADS);
//! end
//! unroll i 0 VECTORS
  squares += dot(x_$i, x_$i);
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    let x = input[start + v];
    squares += dot(x, x);
  }
//! end
  let mean_square = workgroup_sum(squares, thread) / f32(params.cols);
  let row_rstd = 1.0 / sqrt(mean_square + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }

//! if REGISTERS
//! unroll i 0 VECTORS
  let v_$i = thread + ${i}u * THREADS;
  let y_$i = normed(x_$i, row_rstd, v_$i);
//! end
//! end
//! if OUTPUT
//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) { output[start + v_$i] = y_$i; }
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) { output[start + v] = normed(input[start + v], row_rstd, v); }
//! end
//! end
//! if QUANTIZED
  var amax = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  amax = max(amax, largest(y_$i));
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    amax = max(amax, largest(normed(input[start + v], row_rstd, v)));
  }
//! end
  let scale = scale_of(workgroup_max(amax, thread));
  if (thread == 0u) { scales[row] = scale; }
//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < params.vectors) { write_codes(start + v_$i, y_$i * scale); }
//! end
//! else
  for (var v = thread; v < params.vectors; v += THREADS) {
    write_codes(start + v, normed(input[start + v], row_rstd, v) * scale);
  }
//! end
//! end
}
