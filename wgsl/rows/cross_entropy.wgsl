// Cross-entropy of a chunk of rows, and its gradient:
//   row_loss[first_row + r] = log Σ_c e^logits[r][c] − logits[r][target]            (0 where target < 0: ignored)
//   gradient[r][c] = (softmax(logits[r])[c] − [c = target]) · loss_scale            (zeros where ignored)
// which goes nowhere (GRADIENT none), in place of the logits (logits), or goes out as codes (codes): codes of CODES with
// one scale per row, as quantize_rows.wgsl writes them.
//
// Shapes: logits f32 [rows, vocab]; targets i32 and row_loss f32 for all rows of the batch, of which this chunk begins at
// first_row; codes [rows, vocab], scales [rows]. Targets are below vocab, and taken as the last class if not.
// With SOFT_CAP the logits above are cap · tanh(x / cap) of those that are read, and the gradient is that of these.
// Idea: one workgroup per row. Every thread keeps a running maximum and the sum of exponentials relative to it, rescaled
// when the maximum grows, so that logits are read once for the loss and once for the gradient. The largest magnitude of
// the gradient needs no look at the row: it is the target's, 1 − p, which all other probabilities share between them. The
// slope of a cap only makes it less.
//! include linear_grid.wgsl
//! include workgroup_max.wgsl

const LOWEST = -3.4028234e38;
const LEAST_MASS = 0x1p-24; // of the classes besides the target: what rounding of 1 − p may hide

struct Params {
  rows: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  first_row: u32,
//! if SOFT_CAP
  soft_cap: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> row_loss: array<f32>;
//! if GRADIENT != none
//! include step_state.wgsl
@group(0) @binding(4) var<storage, read> inputs: StepInputs;
//! end
//! if GRADIENT == logits
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;

fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  logits[at] = gradient;
}
//! else
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
//! end
//! if GRADIENT == codes
//! include row_codes.wgsl

fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  write_codes(at, gradient * scale);
}
//! end

fn columns_of(vector: u32) -> vec4<u32> {
  return 4u * vector + vec4<u32>(0u, 1u, 2u, 3u);
}

//! if SOFT_CAP
//! include tanh.wgsl
//! end

// Four logits; what lies beyond the classes is too low to count.
fn logits_of(row: u32, vector: u32) -> vec4<f32> {
  //! if SOFT_CAP
  let x = params.soft_cap *
    accurate_tanh(logits[row * params.vectors + min(vector, params.vectors - 1u)] / params.soft_cap);
  //! else
  let x = logits[row * params.vectors + min(vector, params.vectors - 1u)];
  //! end
  return select(vec4<f32>(LOWEST), x, columns_of(vector) < vec4<u32>(params.vocab));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  let start = row * params.vectors;
  let token = params.first_row + row;
  if (targets[token] < 0) {
    if (thread == 0u) {
      row_loss[token] = 0.0;
//! if GRADIENT == codes
      scales[row] = 1.0;
//! end
    }
//! if GRADIENT != none
    for (var v = thread; v < params.vectors; v += THREADS) { write_gradient(start + v, vec4<f32>(), 1.0); }
//! end
    return;
  }
  let label = min(u32(targets[token]), params.vocab - 1u);

  var largest_logit = LOWEST;
  var total = 0.0;
  for (var v = thread; v < params.vectors; v += 2u * THREADS) {
    let x = logits_of(row, v);
    let y = logits_of(row, v + THREADS);
    let both = max(x, y);
    let grown = max(largest_logit, max(max(both.x, both.y), max(both.z, both.w)));
    total = total * exp(largest_logit - grown) + dot(exp(x - grown) + exp(y - grown), vec4<f32>(1.0));
    largest_logit = grown;
  }
  let row_largest = workgroup_max(largest_logit, thread);
  let row_total = workgroup_sum(total * exp(largest_logit - row_largest), thread);

  //! if SOFT_CAP
  let label_logit = logits_of(row, label / 4u)[label % 4u] - row_largest;
  //! else
  let label_logit = logits[start + label / 4u][label % 4u] - row_largest;
  //! end
  if (thread == 0u) { row_loss[token] = log(row_total) - label_logit; }

//! if GRADIENT != none
  let inverse_total = 1.0 / row_total;
//! if GRADIENT == codes
  let scale = scale_of(bitcast<u32>(max(1.0 - exp(label_logit) * inverse_total, LEAST_MASS) * inputs.loss_scale));
  if (thread == 0u) { scales[row] = scale; }
//! else
  let scale = 1.0;
  storageBarrier(); // the label's logit is read before it is overwritten
//! end
  for (var v = thread; v < params.vectors; v += THREADS) {
    let columns = columns_of(v);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    //! if SOFT_CAP
    let capped = logits_of(row, v);
    let tangent = capped / params.soft_cap;
    let gradient = (exp(capped - row_largest) * inverse_total - one_hot) * inputs.loss_scale * (1.0 - tangent * tangent);
    //! else
    let gradient = (exp(logits_of(row, v) - row_largest) * inverse_total - one_hot) * inputs.loss_scale;
    //! end
    write_gradient(start + v, select(vec4<f32>(), gradient, columns < vec4<u32>(params.vocab)), scale);
  }
//! end
}
