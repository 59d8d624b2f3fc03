// Dropout: out[r][c] (+)= kept ? scale · input[r][c] : 0, where an element is kept if its random word is not below
// `threshold`.
//
// Shapes: input, out f32 [rows, cols], by rows with a pitch; the columns beyond cols become or stay zero. state u32:
// the number of the micro-batch and the two words of the key. ACCUMULATE adds to what is there.
// Idea: counter-based as random.wgsl: a word depends on the key, the micro-batch, the tensor and the place only, so the
// backward pass, and a forward pass that is computed again, make the same mask without storing it.
//! include linear_grid.wgsl
//! include mix.wgsl

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
//! unroll i 0 4
  if (col + ${i}u < params.cols && mix(mix(place[$i] + first) + second) >= params.threshold) {
    value[$i] = params.scale * x[$i];
  }
//! end
//! if ACCUMULATE
  out[item] += value;
//! else
  out[item] = value;
//! end
}
