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
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
// How a kernel that makes rows writes them as codes.
// Include-only; constants of the format from src/kernels/codes.ts. Four codes are a CODES_WORD; scales has one f32 per row.
// The FP8 codec of src/numerics/fp8.ts in WGSL: e4m3fn and e5m2, four codes in a u32, lowest byte first.
// Include-only.
//
// Encoding gives the codes of the TypeScript, bit for bit, in a third of the operations: the adder rounds.
// Decoding goes through f16, whose layout contains both formats: no table, two codes at a time.

// The codes of four magnitudes, none above the largest finite value, as mantissa bits stored and the exponent of 1 give
// them: f16's too.
//
// A magnitude m in [2^e, 2^(e+1)) plus 2^(e + 23 - mantissa) is rounded by the f32 adder, to nearest even, to steps of
// 2^(e - mantissa), and what the sum's bits are above the power's is the number of those steps: mantissa and implicit
// bit of the code, a carry into the exponent included. With e no less than the smallest normal exponent this holds for
// subnormal codes too, whose implicit bit is missing by itself. The steps are counted on the bits, since a compiler may
// simplify (m + power) - power but not the difference of integers.
fn encode4(magnitude: vec4<f32>, mantissa: u32, bias: u32) -> vec4<u32> {
  let smallest = vec4<u32>((128u - bias) << 23u);
  let power = max(bitcast<vec4<u32>>(magnitude) & vec4<u32>(0x7f800000u), smallest) + vec4<u32>((23u - mantissa) << 23u);
  let steps = bitcast<vec4<u32>>(magnitude + bitcast<vec4<f32>>(power)) - power;
  // Exponent field of the code, less the implicit bit: (e + bias - 1) << mantissa.
  return steps + (power >> vec4<u32>(23u - mantissa)) - vec4<u32>((151u - mantissa - bias) << mantissa);
}

fn pack4_fp8(v: vec4<f32>, max_value: f32, mantissa: u32, bias: u32) -> u32 {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(max_value)), mantissa, bias) | ((bits >> vec4<u32>(24u)) & vec4<u32>(0x80u));
  let codes = select(finite, vec4<u32>(0x7fu), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

fn pack4_e4m3(v: vec4<f32>) -> u32 { return pack4_fp8(v, 448.0, 3u, 7u); }
fn pack4_e5m2(v: vec4<f32>) -> u32 { return pack4_fp8(v, 57344.0, 2u, 15u); }

// Four values times 2^-8: an e4m3 code shifted into an f16 is off by the difference of the exponent biases.
// The NaN code comes out as 480 / 256: the GEMM gains nothing from a test, since a NaN in an activation
// also reaches the loss through the residual stream, which is not quantised.
fn unpack4_e4m3_scaled(codes: u32) -> vec4<f32> {
  let odd = codes >> 8u;
  let even_values = unpack2x16float(((codes & 0x00800080u) << 8u) | ((codes & 0x007f007fu) << 7u));
  let odd_values = unpack2x16float(((odd & 0x00800080u) << 8u) | ((odd & 0x007f007fu) << 7u));
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// Four values, NaN included.
fn unpack4_e4m3(codes: u32) -> vec4<f32> {
  let bytes = vec4<u32>(codes, codes >> 8u, codes >> 16u, codes >> 24u) & vec4<u32>(0x7fu);
  let nan = vec4<f32>(bitcast<f32>(0x7fc00000u | (codes & 0u)));
  return select(unpack4_e4m3_scaled(codes) * 256.0, nan, bytes == vec4<u32>(0x7fu));
}

// Four values, infinities and NaN included: e5m2 is the upper byte of an f16.
fn unpack4_e5m2(codes: u32) -> vec4<f32> {
  let even_values = unpack2x16float((codes << 8u) & 0xff00ff00u);
  let odd_values = unpack2x16float(codes & 0xff00ff00u);
  return vec4<f32>(even_values.x, odd_values.x, even_values.y, odd_values.y);
}

// The scale of a row, as the record of its format (src/numerics/formats.ts) makes it from the largest magnitude: what
// brings that to the format's largest value (less where there is headroom), or a power of two, exact, for a format with bits to spare.
// Include-only; constants from src/kernels/codes.ts. tests/oracle/quantize.ts is the same on the CPU.
//
// A row in which something is NaN or infinite has NaN for its scale. Codes would make numbers of that, but products divide by
// scales, so the whole row comes out as NaN and ends in the loss, or in the gradient's norm.
//
// Rows that vanish have the scale of the smallest magnitude, so that the smallest scale of a gradient tells its largest
// row (gradient_scale.wgsl), unless the format gives them one of their own.

const SMALLEST_AMAX = 0x1p-100; // scales of less would leave f32's range

// From the bits of the largest magnitude.
fn scale_of(bits: u32) -> f32 {
  let amax = bitcast<f32>(bits);
  let largest = select(amax, SMALLEST_AMAX, amax < SMALLEST_AMAX);
  let scale = bitcast<f32>((257u - (bitcast<u32>(largest) >> 23u)) << 23u);
  return select(scale, not_a_number(bits), bits >= 0x7f800000u);
}

// A NaN of the bits of one, or of infinity: compilers refuse one that they know.
fn not_a_number(bits: u32) -> f32 { return bitcast<f32>(bits | 0x7fc00000u); }

// What a row is multiplied by to be encoded: 0 where its scale is NaN, so that zeros beyond its columns stay zeros.
fn encoding_scale(scale: f32) -> f32 {
  return select(scale, 0.0, (bitcast<u32>(scale) & 0x7fffffffu) > 0x7f800000u);
}

// Where the codes of a matrix are, counted in words of four codes: LAYOUT is the format's, see MatrixLayout of
// src/numerics/formats.ts. Include-only.

// Words in a row of the codes, of which `words` hold values: the rest are zeros.
fn code_words(words: u32) -> u32 {
  return words;
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
  return row * words + word;
}


@group(0) @binding(7) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<vec2<u32>>;

// f16 for every f32: saturated like the FP8 formats, but infinity is NaN, so that an overflow stays visible.
fn pack4_f16(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  let finite = encode4(min(abs(v), vec4<f32>(65504.0)), 10u, 15u) | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
  let codes = select(finite, vec4<u32>(0x7e00u), (bits & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u));
  return codes.xz | (codes.yw << vec2<u32>(16u));
}

// Writes the codes of four values, already scaled, at a place of code_place.
fn write_codes(at: u32, v: vec4<f32>) {
  codes[at] = pack4_f16(v);
}

// The bits of the largest magnitude of four values: of NaN, if there is one.
fn largest(v: vec4<f32>) -> u32 {
  let q = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(q.x, q.y), max(q.z, q.w));
}


fn write_gradient(at: u32, gradient: vec4<f32>, scale: f32) {
  write_codes(at, gradient * scale);
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
      scales[row] = 1.0;
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
  let scale = scale_of(bitcast<u32>(max(1.0 - exp(label_logit) * inverse_total, LEAST_MASS) * inputs.loss_scale));
  if (thread == 0u) { scales[row] = scale; }
  for (var v = thread; v < params.vectors; v += THREADS) {
    let columns = columns_of(v);
    let one_hot = select(vec4<f32>(), vec4<f32>(1.0), columns == vec4<u32>(label));
    let gradient = (exp(logits_of(row, v) - row_largest) * inverse_total - one_hot) * inputs.loss_scale;
    write_gradient(start + v, select(vec4<f32>(), gradient, columns < vec4<u32>(params.vocab)), scale);
  }
}

