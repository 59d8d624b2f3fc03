const THREADS = 128;
// The gradient of delta_gates.wgsl: from d_gates, laid out like gates, to the columns of a and b in d_input. With DECAYS
// also decays[t][h] = d_gates[t][h] · gates[t][h], whose sums over the tokens are the gradient of a_log; that of dt_bias
// are the sums of the columns of a.
//
// Shapes: as there; decays f32 [tokens, heads]. One thread per gate pair.
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
  decays_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> a_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read> gates: array<f32>;
@group(0) @binding(5) var<storage, read> d_gates: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_input: array<f32>;
@group(0) @binding(7) var<storage, read_write> decays: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.heads;
  let head = item % params.heads;
  if (token >= params.tokens) { return; }
  let at = token * params.input_pitch + head;
  let from_at = token * params.gates_pitch + head;
  let d_decay = d_gates[from_at];
  let beta = gates[from_at + params.heads];
  d_input[at + params.a_column] = -d_decay * exp(a_log[head]) * sigmoid(input[at + params.a_column] + dt_bias[head]);
  d_input[at + params.b_column] = d_gates[from_at + params.heads] * beta * (1.0 - beta);
  decays[token * params.decays_pitch + head] = d_decay * gates[from_at];
}

