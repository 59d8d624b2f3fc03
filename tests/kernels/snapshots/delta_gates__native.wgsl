const THREADS = 128;
// The gates of a delta net, from columns of the linear layer before it:
//   gates[t][h] = −exp(a_log[h]) · softplus(a[t][h] + dt_bias[h]), the log of what a state is multiplied by,
//   gates[t][heads + h] = sigmoid(b[t][h]), how far it is corrected.
//
// Shapes: input f32 [tokens, ·], gates f32 [tokens, 2 · heads], a_log and dt_bias f32 [heads]. One thread per gate pair.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The functions that gates of a delta net are made of. Include-only.

// Values of which e^(-x) is made, no less than -80, where it would overflow. NaN stays NaN, of which max() may make a
// number. Include-only.

fn bounded_below(x: vec4<f32>) -> vec4<f32> {
  // From the first value below -80 to minus infinity; what NaN is, is beyond.
  let beyond = bitcast<vec4<u32>>(x) - vec4<u32>(0xc2a00001u);
  return select(x, vec4<f32>(-80.0), beyond < vec4<u32>(0x3ce00000u));
}


fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-bounded_below(vec4<f32>(x)).x)); }

// log(1 + e^x), without an overflow. NaN stays NaN.
fn softplus(x: f32) -> f32 {
  let value = max(x, 0.0) + log(1.0 + exp(-min(abs(x), 80.0)));
  return select(value, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}


struct Params {
  tokens: u32,
  heads: u32,
  a_column: u32, b_column: u32,
  input_pitch: u32, gates_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> a_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> gates: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.heads;
  let head = item % params.heads;
  if (token >= params.tokens) { return; }
  let at = token * params.input_pitch + head;
  let out = token * params.gates_pitch + head;
  gates[out] = -exp(a_log[head]) * softplus(input[at + params.a_column] + dt_bias[head]);
  gates[out + params.heads] = sigmoid(input[at + params.b_column]);
}

