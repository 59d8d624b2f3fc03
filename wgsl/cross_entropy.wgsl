// Cross-entropy of a chunk of rows, and in place its gradient:
//   row_loss[first_row + r] = log Σ_c e^logits[r][c] − logits[r][target]              (0 where target < 0: ignored)
//   logits[r][c] := (softmax(logits[r])[c] − [c = target]) · loss_scale               (zeros where ignored; if GRADIENT)
//
// Shapes: logits f32 [rows, vocab]; targets i32 and row_loss f32 for all rows of the batch, of which this chunk begins at
// first_row. Targets below vocab are the caller's duty.
// Idea: a workgroup a row. Every thread keeps a running maximum and the sum of exponentials relative to it, rescaled
// when the maximum grows, so that logits are read once for the loss and once for the gradient.
//! include workgroup_reduce.wgsl
//! if GRADIENT
//! include step_state.wgsl
//! end

const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> row_loss: array<f32>;
//! if GRADIENT
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> inputs: StepInputs;
//! else
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
//! end

fn columns_of(vector: u32) -> vec4<u32> {
  return 4u * vector + vec4<u32>(0u, 1u, 2u, 3u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  if (targets[params.first_row + row] < 0) {
    if (thread == 0u) { row_loss[params.first_row + row] = 0.0; }
//! if GRADIENT
    for (var c = thread; c < params.vectors; c += THREADS) { logits[start + c] = vec4<f32>(); }
//! end
    return;
  }
  let label = u32(targets[params.first_row + row]);

  var largest = LOWEST;
  var total = 0.0;
  for (var c = thread; 4u * c < params.vocab; c += THREADS) {
    let inside = columns_of(c) < vec4<u32>(params.vocab);
    let x = select(vec4<f32>(LOWEST), logits[start + c], inside);
    let grown = max(largest, max(max(x.x, x.y), max(x.z, x.w)));
    total = total * exp(largest - grown) + dot(exp(x - grown), vec4<f32>(1.0));
    largest = grown;
  }
  let row_largest = workgroup_max(largest, thread);
  let row_total = workgroup_sum(total * exp(largest - row_largest), thread);

  // The thread that overwrites the label's logit reads it, so that no other can come before.
  if (thread == label / 4u % THREADS) {
    row_loss[params.first_row + row] = log(row_total) - (logits[start + label / 4u][label % 4u] - row_largest);
  }

//! if GRADIENT
  for (var c = thread; c < params.vectors; c += THREADS) {
    let columns = columns_of(c);
    let inside = columns < vec4<u32>(params.vocab);
    let x = select(vec4<f32>(LOWEST), logits[start + c], inside);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    let gradient = (exp(x - row_largest) / row_total - one_hot) * inputs.loss_scale;
    logits[start + c] = select(vec4<f32>(), gradient, inside);
  }
//! end
}
