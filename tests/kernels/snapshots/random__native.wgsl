const THREADS = 256;
// Random numbers: out[r][c] = mean + step · z(r · cols + c) for an integer z, uniform (UNIFORM) or close to normal.
//
// Shapes: out [rows, cols] in f32 or f16, by rows with a pitch; the columns beyond cols become zero.
// Idea: counter-based, so that an element depends on nothing but its index and the key, whatever the grid. A uniform z is
// an odd integer within ±2²⁴; a normal one the centred sum of eight uniform 16-bit integers (kurtosis 2.85 instead of 3,
// none beyond 4.9 standard deviations): integer arithmetic, so that every GPU and the twin tests/oracle/random.ts give
// the same bits.
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
  vectors: u32, // groups of four columns from one row to the next
  key_low: u32,
  key_high: u32,
  mean: f32,
  step: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

// The two uniform 16-bit integers in a word, added.
fn halves(word: u32) -> u32 {
  return (word & 0xffffu) + (word >> 16u);
}

fn element(row: u32, col: u32) -> f32 {
  if (col >= params.cols) { return 0.0; }
  let start = mix(row * params.cols + col + params.key_low) + params.key_high;
  let sum = halves(mix(start)) + halves(mix(start + 0x9e3779b9u)) + halves(mix(start + 0x3c6ef372u)) +
    halves(mix(start + 0xdaa66d2bu));
  let z = i32(sum) - 262140;
  return params.mean + params.step * f32(z);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let col = 4u * (item % params.vectors);
  let values = vec4<f32>(
    element(row, col),
    element(row, col + 1u),
    element(row, col + 2u),
    element(row, col + 3u),
  );
  out[item] = values;
}

