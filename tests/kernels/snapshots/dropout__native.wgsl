const THREADS = 256;
// Dropout: out[r][c] (+)= kept ? scale · input[r][c] : 0, where an element is kept if its random word is not below
// `threshold`.
//
// Shapes: input, out f32 [rows, cols], by rows with a pitch; the columns beyond cols become or stay zero. state u32:
// the number of the micro-batch and the two words of the key. ACCUMULATE adds to what is there.
// Idea: counter-based as random.wgsl: a word depends on the key, the micro-batch, the tensor and the place only, so the
// backward pass, and a forward pass that is computed again, make the same mask without storing it.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// A bijection of 32-bit words whose output bits each depend on all input bits: mix32 in src/numerics/random.ts.
// Include-only.

fn mix(word: u32) -> u32 {
  var z = word;
  z = (z ^ (z >> 16u)) * 0x21f0aaadu;
  z = (z ^ (z >> 15u)) * 0x735a2d97u;
  return z ^ (z >> 15u);
}


struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  tensor: u32,
  threshold: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let first = mix(mix(state[0] + state[1]) + state[2] + params.tensor * 0x9e3779b9u);
  let second = mix(first ^ state[1]);
  let col = 4u * (item % params.vectors);
  let place = vec4<u32>(row * params.cols + col) + vec4<u32>(0u, 1u, 2u, 3u);
  var value = vec4<f32>();
  let x = input[item];
  if (col + 0u < params.cols && mix(mix(place[0] + first) + second) >= params.threshold) {
    value[0] = params.scale * x[0];
  }
  if (col + 1u < params.cols && mix(mix(place[1] + first) + second) >= params.threshold) {
    value[1] = params.scale * x[1];
  }
  if (col + 2u < params.cols && mix(mix(place[2] + first) + second) >= params.threshold) {
    value[2] = params.scale * x[2];
  }
  if (col + 3u < params.cols && mix(mix(place[3] + first) + second) >= params.threshold) {
    value[3] = params.scale * x[3];
  }
  out[item] = value;
}

