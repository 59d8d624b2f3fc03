// AdamW with bias correction and decoupled weight decay, as torch.optim.AdamW. With g = gradient · clip:
//   first  := beta1 · first + (1 − beta1) · g
//   second := beta2 · second + (1 − beta2) · g²
//   value  := value · (1 − learning_rate · weight_decay) − step_size · first / (sqrt(second) · second_scale + eps)
//
// CHANGES writes over the gradient what is added to the value.
//
// Shapes: values, gradients, first, second f32 [count], updated as whole vec4s; elements below decay_end decay.
// A step whose gradient is not finite changes nothing: CHANGES are zero.
// Idea: one thread per vec4; bound by memory. 1 − beta comes from the host, as in f32 it would lose four digits.
//! include linear_grid.wgsl
//! include step_state.wgsl

struct Params {
  vectors: u32, // vec4s in each
  decay_end: u32,
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  eps: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: StepInputs;
@group(0) @binding(2) var<storage, read> results: StepResults;
//! if CHANGES
@group(0) @binding(3) var<storage, read_write> gradients: array<vec4<f32>>;
//! else
@group(0) @binding(3) var<storage, read> gradients: array<vec4<f32>>;
//! end
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> second: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let i = linear_index(group, groups) * THREADS + thread;
  if (i >= params.vectors) { return; }
  if (results.finite == 0u) {
//! if CHANGES
    gradients[i] = vec4<f32>();
//! end
    return;
  }
  let g = gradients[i] * results.clip;
  let m = params.beta1 * first[i] + params.one_minus_beta1 * g;
  let v = params.beta2 * second[i] + params.one_minus_beta2 * g * g;
  first[i] = m;
  second[i] = v;
  let change = -inputs.step_size * m / (sqrt(v) * inputs.second_scale + params.eps);
  let decays = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.decay_end);
  let kept = select(vec4<f32>(1.0), vec4<f32>(1.0 - inputs.learning_rate * params.weight_decay), decays);
  let value = values[i];
  let updated = value * kept + change;
  values[i] = updated;
//! if CHANGES
  gradients[i] = updated - value; // what rounding left of it
//! end
}
