const THREADS = 256;
// Replaces the largest magnitudes of the rows by the one scale of the whole matrix, from the largest of them, written
// once per row: everything behind sees row scales. One workgroup.
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
  let scale = select(448.0 / amax, 1.0, amax < SMALLEST_AMAX);
  return select(scale, not_a_number(bits), bits >= 0x7f800000u);
}

// A NaN of the bits of one, or of infinity: compilers refuse one that they know.
fn not_a_number(bits: u32) -> f32 { return bitcast<f32>(bits | 0x7fc00000u); }

// What a row is multiplied by to be encoded: 0 where its scale is NaN, so that zeros beyond its columns stay zeros.
fn encoding_scale(scale: f32) -> f32 {
  return select(scale, 0.0, (bitcast<u32>(scale) & 0x7fffffffu) > 0x7f800000u);
}


struct Params {
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var i = thread; i < params.rows; i += THREADS) { mine = max(mine, bitcast<u32>(scales[i])); }
  let scale = scale_of(workgroup_max_bits(mine, thread));
  for (var i = thread; i < params.rows; i += THREADS) { scales[i] = scale; }
}

