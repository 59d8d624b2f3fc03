// Columns times factors: out[r][c] = input[r][c] · factors[c] (+ bias_factor · bias[c]) (+ addend[r][c]).
//
// Shapes: input, out, addend (ADDEND) [rows, cols] by rows with a pitch, factors, bias (BIAS) [pitch], all f32. One thread
// per vec4. Columns up to the pitch take part: they are zero in the inputs, and so in the output.
//! include linear_grid.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  bias_factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! if BIAS
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
//! end
//! if ADDEND
@group(0) @binding(5) var<storage, read> addend: array<vec4<f32>>;
//! end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let v = item % params.vectors;
  var value = input[item] * factors[v];
//! if BIAS
  value += params.bias_factor * bias[v];
//! end
//! if ADDEND
  value += addend[item];
//! end
  out[item] = value;
}
