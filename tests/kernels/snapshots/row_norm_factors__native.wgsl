const THREADS = 16;
// The factors that give rows the norms wanted: inverse[first + r] = 1 / ‖input[r]‖, factors[first + r] =
// magnitude[r] / ‖input[r]‖. A row of zeros has no direction: its factor is 1 and its inverse 0.
//
// Shapes: input [rows, cols], magnitude [rows], factors and inverse from `first` on, all f32. One workgroup per row.
// Columns up to the pitch take part: they are zero.
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


struct Params {
  rows: u32,
  vectors: u32, // vec4s from one row to the next
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> magnitude: array<f32>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
  var squares = 0.0;
  for (var v = thread; v < params.vectors; v += THREADS) {
    let x = input[row * params.vectors + v];
    squares += dot(x, x);
  }
  let total = workgroup_sum(squares, thread);
  if (thread != 0u) { return; }
  let at = params.first + row;
  if (total > 0.0) {
    let norm = sqrt(total);
    inverse[at] = 1.0 / norm;
    factors[at] = magnitude[row] / norm;
  } else {
    inverse[at] = 0.0;
    factors[at] = 1.0;
  }
}

