// Matrix product on tensor cores: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], f16 factors and f32 sums.
//
// a, b: both FP8 from pack_codes.wgsl (CODES) or both f16 from pack.wgsl, in panels of BM and BN, rounded up to whole
// ones, and k filled up with zeros.
// Idea: a workgroup is 2 × 2 subgroups of 32, each of which keeps (BM / 2) × (BN / 2) sums in fragments of 16 × 16. A
// step of BK waits in workgroup memory, the next one is fetched into registers meanwhile. k outermost makes both the
// fetches and the stores whole vectors; fragments are loaded transposed at no cost. A pad of 8 f16 values per row
// spreads the rows over the banks. More than about 22 KB per workgroup would leave room for only one of them on a
// core. Codes become f16 on their way into workgroup memory: fetched as f16, the operands alone would keep the
// second-level cache of an H200 busy for nine tenths of the time. K is known to the compiler: a fifth of the time of
// f16 on an H200, whose loop it unrolls. That of codes stays rolled, and in the instruction cache, which is a tenth
// faster. A fragment's elements have no known place, so sums go through workgroup memory on their way out.
//! include gemm_output.wgsl READ_AHEAD=true
//! include gemm_tile.wgsl
//! include fragments.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 128u;
//! if CODES
const PER_VECTOR = 16u; // values
//! else
const PER_VECTOR = 8u;
//! end
// Rows of the tiles in vectors of 8 f16 values.
const A_ROW = BM / 8u + 1u;
const B_ROW = BN / 8u + 1u;
const B_TILE = BK * A_ROW; // where b's values begin
// What a subgroup makes, and a row of its outgoing sums in vectors of 4 floats.
const SUB_M = BM / 2u;
const SUB_N = BN / 2u;
const OUT_ROW = SUB_N / 4u + 2u;

var<workgroup> tile: array<vec4<u32>, max(B_TILE + BK * B_ROW, 64u * OUT_ROW)>;
var<workgroup> row_factors: array<f32, BM>;

fn four_sums(at: u32, row: u32, quad: u32) -> vec4<f32> { return bitcast<vec4<f32>>(tile[at + row * OUT_ROW + quad]); }

//! if CODES
// The f16 of the first values of lanes from pack_codes.wgsl, and of the others.
fn first_e4m3(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xbf80bf80u); }
fn other_e4m3(lanes: vec4<u32>) -> vec4<u32> {
  return ((lanes << vec4<u32>(7u)) & vec4<u32>(0x3f803f80u)) | ((lanes << vec4<u32>(1u)) & vec4<u32>(0x80008000u));
}
fn first_e5m2(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xff00ff00u); }
fn other_e5m2(lanes: vec4<u32>) -> vec4<u32> { return (lanes << vec4<u32>(8u)) & vec4<u32>(0xff00ff00u); }

//! end
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
//! if IS_SPLIT
  let k_begin = group.z * SPLIT_K;
  let k_end = min(k_begin + SPLIT_K, K);
//! else
  let k_begin = 0u;
  const k_end = u32(K);
//! end
  for (var row = thread; row < BM; row += THREADS) { row_factors[row] = row_factor(m0 + row); }
  let subgroup = thread / 32u;
  let half_m = subgroup / 2u;
  let half_n = subgroup % 2u;

  // Vectors of a step come one after another in a panel.
  let a_at = place.y * K * (BM / PER_VECTOR) + thread;
  let b_at = place.x * K * (BN / PER_VECTOR) + thread;
  let a_to = thread / (BM / PER_VECTOR) * A_ROW + thread % (BM / PER_VECTOR);
  let b_to = B_TILE + thread / (BN / PER_VECTOR) * B_ROW + thread % (BN / PER_VECTOR);
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_at + k_begin * (BM / PER_VECTOR) + ${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_at + k_begin * (BN / PER_VECTOR) + ${p}u * THREADS];
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_${i}_$j = Sum();
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
//! if CODES
    tile[a_to + ${p}u * (THREADS / (BM / 16u)) * A_ROW] = first_$A_TYPE(a_next_$p);
    tile[a_to + ${p}u * (THREADS / (BM / 16u)) * A_ROW + BM / 16u] = other_$A_TYPE(a_next_$p);
//! else
    tile[a_to + ${p}u * (THREADS / (BM / 8u)) * A_ROW] = a_next_$p;
//! end
//! end
//! unroll p 0 B_LOADS
//! if CODES
    tile[b_to + ${p}u * (THREADS / (BN / 16u)) * B_ROW] = first_$B_TYPE(b_next_$p);
    tile[b_to + ${p}u * (THREADS / (BN / 16u)) * B_ROW + BN / 16u] = other_$B_TYPE(b_next_$p);
//! else
    tile[b_to + ${p}u * (THREADS / (BN / 8u)) * B_ROW] = b_next_$p;
//! end
//! end
//! if !CODES
    workgroupBarrier();
//! end
    // Codes are fetched while the others still store, which f16 would only hold up.
    // The last step fetches its own values again: cheaper than to ask.
    let next = min(k0 + BK, k_end - BK);
//! unroll p 0 A_LOADS
    a_next_$p = a[a_at + next * (BM / PER_VECTOR) + ${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
    b_next_$p = b[b_at + next * (BN / PER_VECTOR) + ${p}u * THREADS];
//! end
//! if CODES
    workgroupBarrier();
//! end
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = load_left_transposed(16u * ${kk}u * A_ROW + half_m * (BM / 16u) + 2u * ${i}u, A_ROW);
//! end
//! unroll j 0 BN/32
      let b_$j = load_right(B_TILE + 16u * ${kk}u * B_ROW + half_n * (BN / 16u) + 2u * ${j}u, B_ROW);
//! end
//! unroll i 0 BM/32
//! unroll j 0 BN/32
      sum_${i}_$j = multiply_add(a_$i, b_$j, sum_${i}_$j);
//! end
//! end
    }
//! end
  }

//! include gemm_fragment_store.wgsl DOWN=2 ACROSS=2
}
