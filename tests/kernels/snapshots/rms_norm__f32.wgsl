const THREADS = 16;
const VECTORS = 2;
// RMSNorm: output[r][c] = input[r][c] · rstd[r] · weight[c], with rstd[r] = 1 / sqrt(mean_c(input[r][c]²) + eps).
//
// Shapes: input, output [rows, cols], weight [cols], rstd [rows], all f32; rstd is kept for the backward pass. The output
// is wanted in f32 (OUTPUT), quantised (QUANTIZED: codes and scales of row_codes.wgsl), or both. With ONE_MORE the factor
// is 1 + weight[c]. With ADDEND, addend [rows, cols] is added: the residual stream that a branch joins behind its norm.
// One workgroup per row, which goes the way of row_pass.wgsl; its sum is that of squares. Columns up to the pitch
// take part: they are zero in the input, so they add nothing and stay zero.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
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


alias Values = array<vec4<f32>, 1>;

fn write_row(row: u32, thread: u32) {
  let vectors = row_vectors();
  let begun = begin_row(row);
  let v_0 = thread + 0u * THREADS;
  let source_0 = load(row, v_0);
  let v_1 = thread + 1u * THREADS;
  let source_1 = load(row, v_1);

  var sum = 0.0;
  sum += reduced(source_0, v_0);
  sum += reduced(source_1, v_1);
  let of_row = end_sum(row, begun, workgroup_sum(sum, thread), thread);

  let values_0 = made(source_0, v_0, of_row);
  let values_1 = made(source_1, v_1, of_row);
  if (v_0 < vectors) { keep(row, v_0, values_0); }
  if (v_1 < vectors) { keep(row, v_1, values_1); }

}



struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // vec4s from one row to the next
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

struct Source {
  x: vec4<f32>,
}

alias Row = f32; // rstd

fn row_vectors() -> u32 { return params.vectors; }

fn begin_row(row: u32) -> Row { return 0.0; }

fn load(row: u32, v: u32) -> Source {
  let at = row * params.vectors + min(v, params.vectors - 1u);
  let x = select(vec4<f32>(), input[at], v < params.vectors);
  return Source(x);
}

fn reduced(source: Source, v: u32) -> f32 { return dot(source.x, source.x); }

fn end_sum(row: u32, begun: Row, squares: f32, thread: u32) -> Row {
  let row_rstd = 1.0 / sqrt(squares / f32(params.cols) + params.eps);
  if (thread == 0u) { rstd[row] = row_rstd; }
  return row_rstd;
}

// The weight ends before the pitch: past it there is nothing to read, and zero is due.
fn made(source: Source, v: u32, row_rstd: Row) -> Values {
  let weights = (params.cols + 3u) / 4u;
  let factor = weight[min(v, weights - 1u)];
  let y = select(vec4<f32>(), source.x * row_rstd * factor, v < weights);
  return Values(y);
}

fn again(row: u32, v: u32, row_rstd: Row) -> Values { return made(load(row, v), v, row_rstd); }

fn keep(row: u32, v: u32, values: Values) {
  output[row * params.vectors + v] = values[0];
}

fn keep_scaled(at: u32, value: vec4<f32>) {}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row < params.rows) { write_row(row, thread); }
}

