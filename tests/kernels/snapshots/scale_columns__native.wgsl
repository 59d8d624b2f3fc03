const THREADS = 256;
// Columns times factors: out[r][c] = input[r][c] · factors[c] (+ bias_factor · bias[c]) (+ addend[r][c]).
//
// Shapes: input, out, addend (ADDEND) [rows, cols] by rows with a pitch, factors, bias (BIAS) [pitch], all f32. One thread
// per vec4. Columns up to the pitch take part: they are zero in the inputs, and so in the output.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  bias_factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> addend: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let v = item % params.vectors;
  var value = input[item] * factors[v];
  value += params.bias_factor * bias[v];
  value += addend[item];
  out[item] = value;
}

