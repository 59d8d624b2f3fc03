// out[r][c] = decode(codes[r][c]) / scales[r]: codes back to f32; less the original (SUBTRACT), the quantisation error.
// The codes begin at row first_row of theirs. One thread per vec4.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
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


struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of the output
  first_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> subtract: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * 64u + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let four = codes[code_place(params.first_row + row, item % params.vectors, code_words(params.vectors))];
  var value = unpack4_e4m3(four) / scales[row];
  value -= subtract[item];
  out[item] = value;
}

