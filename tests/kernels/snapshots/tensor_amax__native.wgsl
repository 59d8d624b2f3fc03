const THREADS = 16;
// The largest magnitude of each row, NaN if that is in it: the first half of finding one scale for a whole matrix. One workgroup per row.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
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

// What is quantised of a row's values: with COLUMN_SCALES, they are divided by a scale per column first. Include-only.

fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value; }


struct Params {
  rows: u32,
  vectors: u32,
  trailing_vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> amax: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var mine = vec4<u32>();
  for (var v = thread; v < row_vectors(); v += THREADS) {
    mine = max(mine, bitcast<vec4<u32>>(by_column(row_value(row, v), v)) & vec4<u32>(0x7fffffffu));
  }
  let largest = workgroup_max_bits(max(max(mine.x, mine.y), max(mine.z, mine.w)), thread);
  if (thread == 0u) { amax[row] = bitcast<f32>(largest); }
}

