const THREADS = 256;
// What a step that changed both B and A changed their product by, as one product of twice the rank:
//   c·Δ(B·A) = c·(ΔB·A + B_old·ΔA) = [ΔB | B_old] · c·[A; ΔA]
// Writes the factor on the left, columns divided by the scales of the rows of codes on the right:
//   factor[i] = (c · ΔB[i][j] / s_A[j] …, c · B_old[i][j] / s_ΔA[j] …)
//
// Shapes: b, change f32 [rows, rank], both with columns up to `half` zero, which is the rank rounded up to whole
// sixteens; scales f32 of all rows of the merged weight, this part's W from w_row on, its A from a_row, its ΔA from
// second_row; factor f32 [rows, 2·half].
// largest f32 [rows / 64] receives the largest |b[i][j]| · s_W[i] of each 64 rows, which B is encoded by
// (falqon_codes_of_b.wgsl).
// Idea: one workgroup per 64 rows, a vec4 of b per invocation at a time; bound by memory.
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
  vectors: u32, // vec4s in a row of b
  w_row: u32,
  a_row: u32,
  second_row: u32,
  lora_scale: f32, // c
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> change: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> factor: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> largest: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var item = thread; item < 64u * params.vectors; item += THREADS) {
    let row = group.x * 64u + item / params.vectors;
    let v = item % params.vectors;
    if (row >= params.rows) { break; }
    let value = b[row * params.vectors + v];
    let moved = change[row * params.vectors + v];
    let to = 2u * row * params.vectors + v;
    factor[to] = moved * (params.lora_scale / scales[params.a_row / 4u + v]);
    factor[to + params.vectors] = (value - moved) * (params.lora_scale / scales[params.second_row / 4u + v]);
    let w_row = params.w_row + row;
    let q = bitcast<vec4<u32>>(value * scales[w_row / 4u][w_row % 4u]) & vec4<u32>(0x7fffffffu);
    mine = max(mine, max(max(q.x, q.y), max(q.z, q.w)));
  }
  let of_group = workgroup_max_bits(mine, thread);
  if (thread == 0u) { largest[group.x] = bitcast<f32>(of_group); }
}

