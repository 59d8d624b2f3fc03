// Writes what this step did into its slot of a ring, which the host reads once in many steps.
//! include step_state.wgsl

struct Entry {
  step: u32,
  target_count: u32,
  finite: u32,
  loss_sum: f32,
  grad_norm: f32,
  clip: f32,
  learning_rate: f32,
}

struct Params {
  capacity: u32, // entries in the ring
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: StepInputs;
@group(0) @binding(2) var<storage, read> results: StepResults;
@group(0) @binding(3) var<storage, read_write> ring: array<Entry>;

@compute @workgroup_size(1)
fn main() {
  ring[(inputs.step - 1u) % params.capacity] = Entry(
    inputs.step,
    inputs.target_count,
    results.finite,
    results.loss_sum,
    results.grad_norm,
    results.clip,
    inputs.learning_rate,
  );
}
