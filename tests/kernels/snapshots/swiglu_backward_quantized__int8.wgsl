const THREADS = 32;
const VECTORS = 4;
// Gradient of the gate of swiglu.wgsl, quantised at once: codes and scales of row_codes.wgsl.
//
// Shapes: gate_up, d_gate_up, codes [rows, 2·pitch] and d_output [rows, width] as in swiglu_backward.wgsl; with
// COLUMN_SCALES, column_scales [2·pitch] of the rows of the weight that the gradient is multiplied by next. d_gate_up
// is the gradient in f32; or in f16 (D_GATE_UP) the very values that codes are made of, divided and scaled, which are
// in range as codes are. With ROTATED == source, d_output comes rotated, as from a layer whose input is rotated.
// One workgroup per row, which goes the way of row_pass.wgsl with the gradients of gate and of up as its parts.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// What the gate of an MLP and its gradient read of the linear layer before them, and the activation. Include-only.
//
// Shapes: gate_up [rows, 2·pitch], f32 or f16 (GATE_UP), with the gate in columns 0 … width and the up projection in
// pitch … pitch + width: the merged linear starts each part at a multiple of 16. Precision is in f32 either way.
//
// ACTIVATION names the file with the activation act: gated(gate, up) = act(gate) · up, and gated_gradient of it.
// The gate of SwiGLU, gated(gate, up) = silu(gate) · up with silu(g) = g · sigmoid(g), and its gradient.
// Include-only, from gate_up.wgsl.

fn gated(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  return gate * sigmoid(gate) * up;
}

// From dy, that of the result.
fn gated_gradient(gate: vec4<f32>, up: vec4<f32>, dy: vec4<f32>) -> GateUp {
  let s = sigmoid(gate);
  return GateUp(dy * up * s * (1.0 + gate * (1.0 - s)), dy * gate * s);
}


// Gradients of gate and up.
struct GateUp {
  gate: vec4<f32>,
  up: vec4<f32>,
}

fn sigmoid(g: vec4<f32>) -> vec4<f32> {
  // Below −80 the result is zero to any use; the bound keeps e^−g finite, as WGSL promises nothing beyond.
  return 1.0 / (1.0 + exp(-max(g, vec4<f32>(-80.0))));
}

alias GateUpWord = vec2<u32>;

@group(0) @binding(1) var<storage, read> gate_up: array<GateUpWord>;

// The values of a word.
fn widened(word: GateUpWord) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
}

// Four values, `at` counted in fours.
fn gate_up_at(at: u32) -> vec4<f32> { return widened(gate_up[at]); }

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

alias Tile = array<vec4<f32>, 4>;

// Where value i of a thread is, counted in vec4s: value 4 is the first of the workgroup's next tiles.
fn tile_place(thread: u32, i: u32) -> u32 {
  return i / 4u * (4u * THREADS) + thread / 16u * 64u + thread % 16u + 16u * (i % 4u);
}

// The butterflies within a vec4.
fn within(v: vec4<f32>) -> vec4<f32> {
  let x = vec4<f32>(v.xz + v.yw, v.xz - v.yw).xzyw;
  return vec4<f32>(x.xy + x.zw, x.xy - x.zw);
}

// Those of values 0 and 1, 2 and 3; and of 0 and 2, 1 and 3.
fn beside(x: Tile) -> Tile { return Tile(x[0] + x[1], x[0] - x[1], x[2] + x[3], x[2] - x[3]); }
fn across(x: Tile) -> Tile { return Tile(x[0] + x[2], x[1] + x[3], x[0] - x[2], x[1] - x[3]); }


// The transform of a workgroup's tiles, for all of its invocations at once.
fn rotated(values: Tile, thread: u32) -> Tile {
  var x = Tile(within(values[0]), within(values[1]), within(values[2]), within(values[3]));
  return Tile(0.5f * x[0], 0.5f * x[1], 0.5f * x[2], 0.5f * x[3]);
}

// How a kernel that makes rows writes them as codes.
// Include-only; constants of the format from src/kernels/codes.ts. Four codes are a CODES_WORD; scales has one f32 per row.
// The codec of src/numerics/int8.ts in WGSL: integers from -127 to 127, four in a u32, lowest byte first.
// Include-only.
//
// No conversion between integers and floats, and no rounding function, of which a GPU does a quarter to an eighth as many:
// an integer plus 2^23, or one and a half times that, is an f32 whose lower bits are the integer's.

// Rounded to nearest, ties to even, by the adder; NaN becomes 0.
fn pack4_int8(v: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  let limited = clamp(select(v, vec4<f32>(), bits > vec4<u32>(0x7f800000u)), vec4<f32>(-127.0), vec4<f32>(127.0));
  let made = bitcast<vec4<u32>>(limited + 12583040.0); // 0x4b400000 + code + 128
  let pairs = made.xz + (made.yw << vec2<u32>(8u));
  return (pairs.x + (pairs.y << 16u) + 0x74c00000u) ^ 0x80808080u;
}

fn unpack4_int8(codes: u32) -> vec4<f32> {
  // Each byte plus 128 is the mantissa's lowest byte, or the next one.
  let low = codes ^ 0x80808080u;
  let high = low >> 16u;
  let bytes = (vec4<u32>(low, low, high, high) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bytes) * vec4<f32>(1.0, 0x1p-8, 1.0, 0x1p-8) -
    vec4<f32>(8388736.0, 32896.0, 8388736.0, 32896.0);
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
  let scale = 127.0 / largest;
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
  return (words + 15u) & ~15u;
}

// Word `word` of row `row`, where a row has `words` of them.
fn code_place(row: u32, word: u32, words: u32) -> u32 {
  return ((row >> 7u) * (words >> 4u) + (word >> 4u)) * 2048u + (row & 127u) * 16u + (word & 15u);
}


@group(0) @binding(7) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<u32>;

// Writes the codes of four values, already scaled, at a place of code_place.
fn write_codes(at: u32, v: vec4<f32>) {
  codes[at] = pack4_int8(v);
}

// The bits of the largest magnitude of four values: of NaN, if there is one.
fn largest(v: vec4<f32>) -> u32 {
  let q = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(q.x, q.y), max(q.z, q.w));
}

// What is quantised of a row's values: with COLUMN_SCALES, they are divided by a scale per column first. Include-only.

@group(0) @binding(8) var<storage, read> column_scales: array<vec4<f32>>;

fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value / column_scales[at]; }


alias Values = array<vec4<f32>, 2>;

fn write_row(row: u32, thread: u32) {
  let vectors = row_vectors();
  let of_row = begin_row(row);
  let v_0 = tile_place(thread, 0u);
  let turned_0 = turned(row, v_0);
  let v_1 = tile_place(thread, 1u);
  let turned_1 = turned(row, v_1);
  let v_2 = tile_place(thread, 2u);
  let turned_2 = turned(row, v_2);
  let v_3 = tile_place(thread, 3u);
  let turned_3 = turned(row, v_3);
  let rest_0 = rest(row, v_0);
  let rest_1 = rest(row, v_1);
  let rest_2 = rest(row, v_2);
  let rest_3 = rest(row, v_3);
  var tile_0: Tile;
  tile_0[0u % 4u] = turned_0;
  tile_0[1u % 4u] = turned_1;
  tile_0[2u % 4u] = turned_2;
  tile_0[3u % 4u] = turned_3;
  tile_0 = rotated(tile_0, thread);
  let source_0 = source_of(rest_0, tile_0[0u % 4u]);
  let source_1 = source_of(rest_1, tile_0[1u % 4u]);
  let source_2 = source_of(rest_2, tile_0[2u % 4u]);
  let source_3 = source_of(rest_3, tile_0[3u % 4u]);


  let values_0 = made(source_0, v_0, of_row);
  let values_1 = made(source_1, v_1, of_row);
  let values_2 = made(source_2, v_2, of_row);
  let values_3 = made(source_3, v_3, of_row);
  if (v_0 < vectors) { keep(row, v_0, values_0); }
  if (v_1 < vectors) { keep(row, v_1, values_1); }
  if (v_2 < vectors) { keep(row, v_2, values_2); }
  if (v_3 < vectors) { keep(row, v_3, values_3); }

  let out_0_0 = by_column(values_0[0], 0u * vectors + min(v_0, vectors - 1u));
  let out_0_1 = by_column(values_0[1], 1u * vectors + min(v_0, vectors - 1u));
  let out_1_0 = by_column(values_1[0], 0u * vectors + min(v_1, vectors - 1u));
  let out_1_1 = by_column(values_1[1], 1u * vectors + min(v_1, vectors - 1u));
  let out_2_0 = by_column(values_2[0], 0u * vectors + min(v_2, vectors - 1u));
  let out_2_1 = by_column(values_2[1], 1u * vectors + min(v_2, vectors - 1u));
  let out_3_0 = by_column(values_3[0], 0u * vectors + min(v_3, vectors - 1u));
  let out_3_1 = by_column(values_3[1], 1u * vectors + min(v_3, vectors - 1u));
  var amax = 0u;
  amax = max(amax, select(0u, largest(out_0_0), v_0 < vectors));
  amax = max(amax, select(0u, largest(out_0_1), v_0 < vectors));
  amax = max(amax, select(0u, largest(out_1_0), v_1 < vectors));
  amax = max(amax, select(0u, largest(out_1_1), v_1 < vectors));
  amax = max(amax, select(0u, largest(out_2_0), v_2 < vectors));
  amax = max(amax, select(0u, largest(out_2_1), v_2 < vectors));
  amax = max(amax, select(0u, largest(out_3_0), v_3 < vectors));
  amax = max(amax, select(0u, largest(out_3_1), v_3 < vectors));
  let made_scale = scale_of(workgroup_max_bits(amax, thread));
  if (thread == 0u) { scales[scale_place(row)] = made_scale; }
  let scale = encoding_scale(made_scale);
  if (v_0 < vectors) {
    write_scaled(row, 0u * vectors + v_0, out_0_0 * scale);
    write_scaled(row, 1u * vectors + v_0, out_0_1 * scale);
  }
  if (v_1 < vectors) {
    write_scaled(row, 0u * vectors + v_1, out_1_0 * scale);
    write_scaled(row, 1u * vectors + v_1, out_1_1 * scale);
  }
  if (v_2 < vectors) {
    write_scaled(row, 0u * vectors + v_2, out_2_0 * scale);
    write_scaled(row, 1u * vectors + v_2, out_2_1 * scale);
  }
  if (v_3 < vectors) {
    write_scaled(row, 0u * vectors + v_3, out_3_0 * scale);
    write_scaled(row, 1u * vectors + v_3, out_3_1 * scale);
  }
  // Up to the pitch of the codes.
  let filled = 2 * vectors;
  if (thread < code_words(filled) - filled) { write_codes(place_of(row, filled + thread), vec4<f32>()); }
}

fn scale_place(row: u32) -> u32 {
  return row;
}

fn place_of(row: u32, v: u32) -> u32 {
  return code_place(row, v, code_words(2 * row_vectors()));
}

fn write_scaled(row: u32, v: u32, value: vec4<f32>) {
  write_codes(place_of(row, v), value);
  keep_scaled(2 * row * row_vectors() + v, value);
}


struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of d_output; twice as many in a row of gate_up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> d_output: array<vec4<f32>>;

alias Source = GateUp;
alias Row = u32;

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return row; }

fn place(v: u32) -> u32 { return min(v, params.vectors - 1u); }

fn turned(row: u32, v: u32) -> vec4<f32> { return d_output[row * params.vectors + place(v)]; }

// As it is stored, which takes the fewest registers.
struct Rest {
  gate: GateUpWord,
  up: GateUpWord,
}

fn rest(row: u32, v: u32) -> Rest {
  let at = 2u * row * params.vectors + place(v);
  return Rest(gate_up[at], gate_up[at + params.vectors]);
}

// The gradients, which take two thirds of the registers of what they are made of.
fn source_of(rest: Rest, dy: vec4<f32>) -> Source { return gated_gradient(widened(rest.gate), widened(rest.up), dy); }

fn load(row: u32, v: u32) -> Source { return source_of(rest(row, v), turned(row, v)); }

fn made(source: Source, v: u32, of_row: Row) -> Values { return Values(source.gate, source.up); }
fn again(row: u32, v: u32, of_row: Row) -> Values { return made(load(row, v), v, of_row); }

@group(0) @binding(3) var<storage, read_write> d_gate_up: array<vec4<f32>>;

fn keep(row: u32, v: u32, values: Values) {
  let at = 2u * row * params.vectors + v;
  d_gate_up[at] = values[0];
  d_gate_up[at + params.vectors] = values[1];
}

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}

