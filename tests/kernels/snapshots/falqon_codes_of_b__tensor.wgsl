const THREADS = 256;
// B of one part of a merged layer as codes, for the gradient of x·Aᵀ, G·B, from the codes of G: its columns are divided
// by the scales of W's rows, so B's rows are multiplied by them, and by one scale s for the part.
//
// codes[first + j][i] = encode(s · s_W[i] · b[i][j]) for a row i of the merged layer that is of this part, else 0.
// Transposed, and zero outside the part, so that all parts are the right operand of one product.
//
// Shapes: b f32 [rows, rank], columns up to a multiple of 16 zero; scales f32 of all rows of the merged weight, this
// part's from w_row on; largest f32 [blocks], see falqon_product.wgsl; codes [rows of all A, width of the layer];
// column_scales f32 [rows of all A] receives s for this part's rows, or INVERSE 1 / s.
// Idea: a workgroup of 256 makes 64 columns of up to 64 rows of codes. Invocations side by side read along j.
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
    column += reduce_scratch[thread + 16u * 2u];
    column += reduce_scratch[thread + 16u * 3u];
    column += reduce_scratch[thread + 16u * 4u];
    column += reduce_scratch[thread + 16u * 5u];
    column += reduce_scratch[thread + 16u * 6u];
    column += reduce_scratch[thread + 16u * 7u];
    column += reduce_scratch[thread + 16u * 8u];
    column += reduce_scratch[thread + 16u * 9u];
    column += reduce_scratch[thread + 16u * 10u];
    column += reduce_scratch[thread + 16u * 11u];
    column += reduce_scratch[thread + 16u * 12u];
    column += reduce_scratch[thread + 16u * 13u];
    column += reduce_scratch[thread + 16u * 14u];
    column += reduce_scratch[thread + 16u * 15u];
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
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 2u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 3u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 4u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 5u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 6u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 7u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 8u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 9u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 10u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 11u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 12u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 13u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 14u]));
    column = max(column, bitcast<u32>(reduce_scratch[thread + 16u * 15u]));
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


struct Params {
  rows: u32,
  b_pitch: u32,
  w_row: u32,
  first: u32,  // row of codes
  words: u32,  // of four codes in a row of codes, those beyond the width included
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> column_scales: array<f32>;

// An element of b times the scale of its row; 0 outside the part.
fn scaled(column: u32, j: u32) -> f32 {
  if (column < params.w_row || column - params.w_row >= params.rows) { return 0.0; }
  return b[(column - params.w_row) * params.b_pitch + j] * scales[column];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.blocks; i += THREADS) { mine = max(mine, bitcast<u32>(largest[i])); }
  let bits = workgroup_max_bits(mine, thread);
  let amax = bitcast<f32>(bits);
  // NaN where B has NaN or infinity, as in row_scale.wgsl.
  let finite = select(448.0 / amax, 1.0, amax < 0x1p-100);
  let scale = bitcast<f32>(select(bitcast<u32>(finite), bits | 0x7fc00000u, bits >= 0x7f800000u));
  let j = group.y * 64u + thread % 64u;
  if (j >= params.b_pitch) { return; }
  let row = params.first + j;
  if (group.x == 0u && thread < 64u) {
    column_scales[row] = 1.0 / scale;
  }
  for (var w = thread / 64u; w < 16u; w += THREADS / 64u) {
    let word = group.x * 16u + w;
    if (word < params.words) {
      let column = 4u * word;
      let values = vec4<f32>(scaled(column, j), scaled(column + 1u, j), scaled(column + 2u, j), scaled(column + 3u, j));
      codes[code_place(row, word, params.words)] = pack4_e4m3(values * scale);
    }
  }
}

