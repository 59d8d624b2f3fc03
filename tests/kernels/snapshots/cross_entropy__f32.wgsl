const THREADS = 32;
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
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The largest of floats, signs and all, as the reductions of workgroup_reduce.wgsl. It may leave NaN out. Include-only.
// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column += reduce_scratch[thread + 16u * 1u];
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
  total += reduce_scratch[1];
  total += reduce_scratch[2];
  total += reduce_scratch[3];
  total += reduce_scratch[4];
  total += reduce_scratch[5];
  total += reduce_scratch[6];
  total += reduce_scratch[7];
  total += reduce_scratch[8];
  total += reduce_scratch[9];
  total += reduce_scratch[10];
  total += reduce_scratch[11];
  total += reduce_scratch[12];
  total += reduce_scratch[13];
  total += reduce_scratch[14];
  total += reduce_scratch[15];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

// The largest of magnitudes, as their bits without the sign, in which order they are: maxima of floats may leave NaN out, and
// those of integers do not. A NaN, or else infinity, among the values is what comes out.
fn workgroup_max_bits(bits: u32, thread: u32) -> u32 {
  reduce_scratch[thread] = bitcast<f32>(bits);
  workgroupBarrier();
  if (thread < 16u) {
    var column = bits;
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 1u]));
    reduce_scratch[thread] = bitcast<f32>(column);
  }
  workgroupBarrier();
  var largest = bitcast<u32>(reduce_scratch[0]);
  largest = max(largest, bitcast<u32>(reduce_scratch[1]));
  largest = max(largest, bitcast<u32>(reduce_scratch[2]));
  largest = max(largest, bitcast<u32>(reduce_scratch[3]));
  largest = max(largest, bitcast<u32>(reduce_scratch[4]));
  largest = max(largest, bitcast<u32>(reduce_scratch[5]));
  largest = max(largest, bitcast<u32>(reduce_scratch[6]));
  largest = max(largest, bitcast<u32>(reduce_scratch[7]));
  largest = max(largest, bitcast<u32>(reduce_scratch[8]));
  largest = max(largest, bitcast<u32>(reduce_scratch[9]));
  largest = max(largest, bitcast<u32>(reduce_scratch[10]));
  largest = max(largest, bitcast<u32>(reduce_scratch[11]));
  largest = max(largest, bitcast<u32>(reduce_scratch[12]));
  largest = max(largest, bitcast<u32>(reduce_scratch[13]));
  largest = max(largest, bitcast<u32>(reduce_scratch[14]));
  largest = max(largest, bitcast<u32>(reduce_scratch[15]));
  workgroupBarrier();
  return largest;
}


fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column = max(column, reduce_scratch[thread + 16u * 1u]);
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
  largest = max(largest, reduce_scratch[1]);
  largest = max(largest, reduce_scratch[2]);
  largest = max(largest, reduce_scratch[3]);
  largest = max(largest, reduce_scratch[4]);
  largest = max(largest, reduce_scratch[5]);
  largest = max(largest, reduce_scratch[6]);
  largest = max(largest, reduce_scratch[7]);
  largest = max(largest, reduce_scratch[8]);
  largest = max(largest, reduce_scratch[9]);
  largest = max(largest, reduce_scratch[10]);
  largest = max(largest, reduce_scratch[11]);
  largest = max(largest, reduce_scratch[12]);
  largest = max(largest, reduce_scratch[13]);
  largest = max(largest, reduce_scratch[14]);
  largest = max(largest, reduce_scratch[15]);
  workgroupBarrier();
  return largest;
}


const LOWEST = -3.4028234e38;
const LEAST_MASS = 0x1p-24; // of the classes besides the target: what rounding of 1 − p may hide

struct Params {
  rows: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> row_loss: array<f32>;
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

@group(0) @binding(4) var<storage, read> inputs: StepInputs;
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;

fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  logits[at] = gradient;
}

fn columns_of(vector: u32) -> vec4<u32> {
  return 4u * vector + vec4<u32>(0u, 1u, 2u, 3u);
}


// Four logits; what lies beyond the classes is too low to count.
fn logits_of(row: u32, vector: u32) -> vec4<f32> {
  let x = logits[row * params.vectors + min(vector, params.vectors - 1u)];
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
    }
    for (var v = thread; v < params.vectors; v += THREADS) { write_gradient(start + v, vec4<f32>(), 1.0); }
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

  let label_logit = logits[start + label / 4u][label % 4u] - row_largest;
  if (thread == 0u) { row_loss[token] = log(row_total) - label_logit; }

  let inverse_total = 1.0 / row_total;
  let scale = 1.0;
  storageBarrier(); // the label's logit is read before it is overwritten
  for (var v = thread; v < params.vectors; v += THREADS) {
    let columns = columns_of(v);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    let gradient = (exp(logits_of(row, v) - row_largest) * inverse_total - one_hot) * inputs.loss_scale;
    write_gradient(start + v, select(vec4<f32>(), gradient, columns < vec4<u32>(params.vocab)), scale);
  }
}

