const THREADS = 256;
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
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// What the host sets before an optimizer step, and what the step's kernels find out. The layout of src/gpu/step_state.ts.

struct StepInputs {
  step: u32,          // counted from 1
  target_count: u32,  // of the whole step, all micro-batches together
  loss_scale: f32,    // 1 / target_count: makes the sum of losses their mean
  learning_rate: f32,
  step_size: f32,     // learning_rate / (1 − beta1^step)
  second_scale: f32,  // 1 / sqrt(1 − beta2^step)
}

struct StepResults {
  loss_sum: f32,
  grad_norm: f32, // before clipping
  clip: f32,      // factor that brings the gradient to the allowed norm
  finite: u32,    // 0 where the norm is NaN or infinite: such a step must change nothing
}


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
@group(0) @binding(3) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> second: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let i = linear_index(group, groups) * THREADS + thread;
  if (i >= params.vectors) { return; }
  if (results.finite == 0u) {
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
}

