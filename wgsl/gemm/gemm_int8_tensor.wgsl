// Matrix product of int8 codes on tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; K is a multiple of 64, and one of both is zero
// from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: a workgroup is SUBGROUPS_M × SUBGROUPS_N subgroups of 32, each of which keeps its part of the BM × BN sums in
// fragments of 16 × 16. A step of 64 k waits in workgroup memory, the next one is fetched into registers meanwhile: one
// run of memory for each 128 rows.
// Banks: a pad of one vector per row spreads the rows over them, without which the product takes 1.7 times as long on an
// H100. Of eight rows the even ones wait first, then the odd ones: eight neighbouring threads bring two rows, which
// fill the banks once where they are four places apart, but meet in one where they are neighbours. That is 13 % of the
// product on an H200. Threads that share out the rows in another way need more requests to memory, and lose 20 %. Sums come
// out in the same order. K is known to the compiler, which is worth 1 %.
//! include gemm_output.wgsl READ_AHEAD=true
//! include gemm_tile.wgsl
//! include fragments_int8.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 32u * SUBGROUPS_M * SUBGROUPS_N;
const STEPS = K / 64u;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;
// What a subgroup makes.
const SUB_M = BM / SUBGROUPS_M;
const SUB_N = BN / SUBGROUPS_N;
// A row of the tiles in vectors, with its pad.
const ROW = 5u;
const B_TILE = BM * ROW; // where b's codes begin
// Rows of the outgoing sums of a subgroup in vectors of 4.
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BN * ROW, SUBGROUPS_M * SUBGROUPS_N * 16u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

// The place of a row of an operand among the rows of the tile.
fn place_of(row: u32) -> u32 { return (row & ~7u) | ((row >> 1u) & 3u) | ((row & 1u) << 2u); }

// Two quads of columns in their places: 0, 2, 4, 6 and 1, 3, 5, 7.
fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> {
  let pair = at + place_of(row) * OUT_ROW + (quad & ~1u);
  let even = bitcast<vec4<i32>>(tile[pair]);
  let odd = bitcast<vec4<i32>>(tile[pair + 1u]);
  let second = (quad & 1u) == 1u;
  let evens = vec2<f32>(select(even.xy, even.zw, second));
  let odds = vec2<f32>(select(odd.xy, odd.zw, second));
  return vec4<f32>(evens.x, odds.x, evens.y, odds.y);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let sub_m = subgroup / SUBGROUPS_N;
  let sub_n = subgroup % SUBGROUPS_N;

  // A thread's first vector of the tile's rows, and how far on those of a second panel are: where the operand has none,
  // the first one's serve, as nothing of them is written.
//! for X,x,n in A,a,m B,b,n
  let ${x}_panel = params.${x}_pitch / 64u * BLOCK;
  let ${x}_at = ${n}0 / 128u * ${x}_panel + params.${x}_column / 64u * BLOCK + ${n}0 % 128u * 4u + thread;
  let ${x}_second = select(0u, ${x}_panel, ${n}0 + 128u < params.$n);
//! end
  let a_to = place_of(thread / 4u) * ROW + thread % 4u;
  let b_to = B_TILE + a_to;
//! for X,x in A,a B,b
//! unroll p 0 ${X}_LOADS
  var ${x}_next_$p = $x[${x}_at + ${p}u * THREADS / BLOCK * ${x}_second + ${p}u * THREADS % BLOCK];
//! end
//! end
//! unroll i 0 BM/SUBGROUPS_M/16
//! unroll j 0 BN/SUBGROUPS_N/16
  var sum_${i}_$j = Sum();
//! end
//! end
  for (var step = 0u; step < STEPS; step += 1u) {
    workgroupBarrier();
//! for X,x in A,a B,b
//! unroll p 0 ${X}_LOADS
    tile[${x}_to + ${p}u * (THREADS / 4u) * ROW] = ${x}_next_$p;
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own codes again: cheaper than to ask.
    let next = min(step + 1u, STEPS - 1u) * BLOCK;
//! for X,x in A,a B,b
//! unroll p 0 ${X}_LOADS
    ${x}_next_$p = $x[${x}_at + next + ${p}u * THREADS / BLOCK * ${x}_second + ${p}u * THREADS % BLOCK];
//! end
//! end
//! unroll kk 0 2
    {
//! unroll i 0 BM/SUBGROUPS_M/16
      let a_$i = load_left((sub_m * SUB_M + 16u * ${i}u) * ROW + 2u * ${kk}u, ROW);
//! end
//! unroll j 0 BN/SUBGROUPS_N/16
      let b_$j = load_right(B_TILE + (sub_n * SUB_N + 16u * ${j}u) * ROW + 2u * ${kk}u, ROW);
//! end
//! unroll i 0 BM/SUBGROUPS_M/16
//! unroll j 0 BN/SUBGROUPS_N/16
      sum_${i}_$j = multiply_add(a_$i, b_$j, sum_${i}_$j);
//! end
//! end
    }
//! end
  }

//! include gemm_fragment_store.wgsl DOWN=$SUBGROUPS_M ACROSS=$SUBGROUPS_N
}
