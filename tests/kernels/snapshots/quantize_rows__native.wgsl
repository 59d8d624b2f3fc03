const THREADS = 16;
const VECTORS = 2;
// Quantisation of a matrix by rows: codes[r][c] = encode(x[r][c] · scale[r]), scale[r] from the largest magnitude of
// row r.
//
// Shapes: x f32 [rows, cols] and what row_values.wgsl adds to it, codes alike from row first_row of theirs on. One workgroup per row, which goes the
// way of row_pass.wgsl: every load is 16 bytes and every store four codes.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The rows that are quantised: x, f32 or f16 (X), optionally followed by the columns of a second matrix (TRAILING: FALQON's pending
// term).
// Include-only. The including file's Params must have `vectors` (vec4s in a row of x: its pitch / 4) and
// `trailing_vectors`.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
fn row_vectors() -> u32 { return params.vectors; }

// Vector v of a row, or past its end the last one again: no more than a repetition to a maximum, and no branch, which
// lets all loads of a thread be under way at once.
fn row_value(row: u32, v: u32) -> vec4<f32> {
  let at = min(v, row_vectors() - 1u);
  return x[row * params.vectors + at];
}

// How a workgroup makes a row and writes its codes, with one scale per row: the skeleton of the kernels that end in
// codes.
// Include-only.
//
// A row is PARTS matrices side by side, of row_vectors() vec4s each. A thread takes every THREADS-th place v in it,
// and in all parts at once. With REGISTERS it keeps what it read, of VECTORS places, so that memory is read once; a
// row too long for that is walked again for each step, from cache except for the first time.
//
// The including kernel declares `params`, row_vectors(), and of a place v, which may be past the end of the row:
//   Source, load(row, v)              what is read there. Without a branch, so that all loads of a thread are under way at
//                                     once: past the end it reads the last place again, or gives zeros
//   Row, begin_row(row)               what all places have in common
//   reduced(source, v)                REDUCES: what it adds to the sum over the row, nothing past the end
//   end_sum(row, of_row, sum, thread) REDUCES: what all places have in common once the sum is known
//   made(source, v, of_row)           the values: one vec4 per part
//   again(row, v, of_row)             the same, where they are in no register
//   keep(row, v, values)              writes what is wanted besides codes
//   keep_scaled(at, value)            the same of a value that was scaled, `at` counted in vec4s of the row-major result
//
// With COLUMN_SCALES values are divided by a scale per column before they are quantised: of a following GEMM that
// runs over these columns, the other operand carries one scale per row, which must be folded in before rounding. With
// GIVEN_SCALES the scales of the rows are inputs, and SEEN makes those NaN whose rows are not finite (row_scale.wgsl). With FIRST_ROW the codes begin at row `params.first_row` of theirs,
// and scales at `params.first_scale`.
// Without QUANTIZED there are no codes.
//
// ROTATED is what goes through the transform of hadamard.wgsl, of which a thread takes four places of a tile at once. Rows
// are always kept in registers then (VECTORS is a multiple of 4).
//   values   what is quantised (PARTS=1, no COLUMN_SCALES); what is kept besides codes is not rotated
//   source   a part of what is read, which another kernel left rotated: the transform is its own inverse. The kernel
//            declares turned(row, v), that part; Rest, rest(row, v), what else is read, without waiting for the
//            transform; and source_of(rest, part), what load(row, v) gives of the two
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

// Block Hadamard transform of the values of a row, as src/numerics/hadamard.ts defines it: the same additions in the same
// order, one multiplication after them.
// Include-only; constants from src/kernels/rows/rotation.ts.
//
// A thread holds four vec4s, and sixteen threads a tile: 64 vec4s, a block of 256 or several smaller ones. The 64 places
// of a tile have six bits. A thread holds places that differ in the upper two, so that sixteen threads load and store one
// run of memory; what it holds is added and subtracted in registers. For the other four bits
//   SHUFFLES  threads of a subgroup read each other's registers: no barrier, and no workgroup memory;
//   else      exchanges through workgroup memory bring a thread places that differ in the lower two bits, then in the
//             middle two, then its own again. It writes only where it has read last, so each exchange has one barrier.
//
// Results are at the places that values came from.

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
  let scale = select(params.top / amax, 1.0, amax < SMALLEST_AMAX);
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
@group(0) @binding(6) var<storage, read_write> codes: array<u32>;

// Writes the codes of four values, already scaled, at a place of code_place.
fn write_codes(at: u32, v: vec4<f32>) {
  codes[at] = pack4_e4m3(v);
}

// The bits of the largest magnitude of four values: of NaN, if there is one.
fn largest(v: vec4<f32>) -> u32 {
  let q = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(q.x, q.y), max(q.z, q.w));
}

// What is quantised of a row's values: with COLUMN_SCALES, they are divided by a scale per column first. Include-only.

fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value; }


alias Values = array<vec4<f32>, 1>;

fn write_row(row: u32, thread: u32) {
  let vectors = row_vectors();
  let of_row = begin_row(row);
  let v_0 = thread + 0u * THREADS;
  let source_0 = load(row, v_0);
  let v_1 = thread + 1u * THREADS;
  let source_1 = load(row, v_1);


  let values_0 = made(source_0, v_0, of_row);
  let values_1 = made(source_1, v_1, of_row);
  if (v_0 < vectors) { keep(row, v_0, values_0); }
  if (v_1 < vectors) { keep(row, v_1, values_1); }

  let out_0_0 = by_column(values_0[0], 0u * vectors + min(v_0, vectors - 1u));
  let out_1_0 = by_column(values_1[0], 0u * vectors + min(v_1, vectors - 1u));
  var amax = 0u;
  amax = max(amax, select(0u, largest(out_0_0), v_0 < vectors));
  amax = max(amax, select(0u, largest(out_1_0), v_1 < vectors));
  let made_scale = scale_of(workgroup_max_bits(amax, thread));
  if (thread == 0u) { scales[scale_place(row)] = made_scale; }
  let scale = encoding_scale(made_scale);
  if (v_0 < vectors) {
    write_scaled(row, 0u * vectors + v_0, out_0_0 * scale);
  }
  if (v_1 < vectors) {
    write_scaled(row, 0u * vectors + v_1, out_1_0 * scale);
  }
}

fn scale_place(row: u32) -> u32 {
  return params.first_scale + row;
}

fn place_of(row: u32, v: u32) -> u32 {
  return code_place(params.first_row + row, v, code_words(1 * row_vectors()));
}

fn write_scaled(row: u32, v: u32, value: vec4<f32>) {
  write_codes(place_of(row, v), value);
  keep_scaled(1 * row * row_vectors() + v, value);
}


struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
  first_row: u32,
  first_scale: u32,
  top: f32, // what a scale to the maximum brings the largest magnitude to
}

@group(0) @binding(0) var<uniform> params: Params;

alias Source = vec4<f32>;
alias Row = u32;

fn begin_row(row: u32) -> Row { return row; }
fn load(row: u32, v: u32) -> Source { return row_value(row, v); }
fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return Values(row_value(row, v)); }
fn keep(row: u32, v: u32, values: Values) {}
fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}

