// Matrix product on tensor cores of FP8 codes in panels: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], or · B[k, n] with
// B_BY_K; f16 factors and f32 sums. It takes codes as the kernels that make them leave them: nothing is packed.
//
// a, b: panels [rows / 128][columns / 64][128][64 bytes]; K is a multiple of 64. a is zero from the end of the
// contraction on, or b is. Rows behind the last may hold any e4m3, as nothing of them is written.
// Idea: as gemm_tensor.wgsl, but workgroup memory has [x][k] (and [k][n] with B_BY_K), as codes come: 16 codes of a row
// become two vectors of f16 for one fragment. A pad of one vector per row spreads fragments' rows over the banks, and the
// order in which threads take rows spreads their stores.
//
// Codes that are next to each other in memory become f16 of different words: ORDER is that of four codes in a word.
//   bytes: one after another. Decoded, four stand in the order 0, 2, 1, 3. Both factors have it along k, so it does not
//          matter to sums; with B_BY_K rows of b are taken in it, and outgoing columns put right.
//   lanes: 16 bits for codes 0 and 2, then 1 and 3, in the lanes of pack_codes.wgsl. Decoded, they stand in order, and
//          e4m3 takes 5 operations in place of 7.
//! include gemm_output.wgsl
//! include gemm_tile.wgsl
//! include fragments.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 128u;
// 64 columns of 128 rows, in vectors of 16 codes.
const BLOCK = 512u;
// Vectors of a row that a step takes.
const VECTORS = BK / 16u;
// Rows of the tiles in vectors of 8 f16 values.
const ROW = BK / 8u + 1u;
const B_TILE = BM * ROW; // where b's values begin
//! if B_BY_K
const B_ROW = BN / 8u + 1u;
const TILE = B_TILE + BK * B_ROW;
//! else
const TILE = B_TILE + BN * ROW;
//! end
// What a subgroup makes, and a row of its outgoing sums in vectors of 4 floats.
const SUB_M = BM / 2u;
const SUB_N = BN / 2u;
const OUT_ROW = SUB_N / 4u + 1u;

var<workgroup> tile: array<vec4<u32>, max(TILE, 64u * OUT_ROW)>;

// Four sums of neighbouring columns.
fn values_of(sums: vec4<u32>) -> vec4<f32> {
//! if COLUMNS_SWAPPED
  return bitcast<vec4<f32>>(sums).xzyw;
//! else
  return bitcast<vec4<f32>>(sums);
//! end
}

// The f16 of half of the codes of each word, and of the other half.
//! if ORDER == bytes
fn first_e4m3(codes: vec4<u32>) -> vec4<u32> {
  return ((codes << vec4<u32>(8u)) & vec4<u32>(0x80008000u)) | ((codes << vec4<u32>(7u)) & vec4<u32>(0x3f803f80u));
}
fn other_e4m3(codes: vec4<u32>) -> vec4<u32> {
  return (codes & vec4<u32>(0x80008000u)) | ((codes >> vec4<u32>(1u)) & vec4<u32>(0x3f803f80u));
}
fn first_e5m2(codes: vec4<u32>) -> vec4<u32> { return (codes << vec4<u32>(8u)) & vec4<u32>(0xff00ff00u); }
fn other_e5m2(codes: vec4<u32>) -> vec4<u32> { return codes & vec4<u32>(0xff00ff00u); }
//! else
fn first_e4m3(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xbf80bf80u); }
fn other_e4m3(lanes: vec4<u32>) -> vec4<u32> {
  return ((lanes << vec4<u32>(7u)) & vec4<u32>(0x3f803f80u)) | ((lanes << vec4<u32>(1u)) & vec4<u32>(0x80008000u));
}
fn first_e5m2(lanes: vec4<u32>) -> vec4<u32> { return lanes & vec4<u32>(0xff00ff00u); }
fn other_e5m2(lanes: vec4<u32>) -> vec4<u32> { return (lanes << vec4<u32>(8u)) & vec4<u32>(0xff00ff00u); }
//! end

// The row that a thread fetches as its `slot`-th: eight threads in a row store to different banks.
fn slot_row(slot: u32) -> u32 {
//! if BK == 32
  return (slot & ~6u) | ((slot & 2u) << 1u) | ((slot & 4u) >> 1u);
//! else
  return slot;
//! end
}

// Where the step that begins at k is in a row of panels.
fn step_at(k: u32) -> u32 { return k / 64u * BLOCK + k % 64u / 16u; }

//! if B_BY_K
// Which row of b is row `row` of its tile.
fn contracted_row(row: u32) -> u32 {
//! if COLUMNS_SWAPPED
  return (row & ~3u) | ((row & 1u) << 1u) | ((row & 2u) >> 1u);
//! else
  return row;
//! end
}

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
  let subgroup = thread / 32u;
  let sub_m0 = subgroup / 2u * SUB_M;
  let sub_n0 = subgroup % 2u * SUB_N;

  let row = slot_row(thread / VECTORS);
  let a_panel = params.a_pitch / 64u * BLOCK;
  let b_panel = params.b_pitch / 64u * BLOCK;
  let a_at = m0 / 128u * a_panel + params.a_column / 64u * BLOCK + (m0 % 128u + row) * 4u + thread % VECTORS;
  let a_to = row * ROW + 2u * (thread % VECTORS);
//! if B_BY_K
  // Past the last panel it stands in for others: they make columns that are not written.
  let last_panel = params.b_pitch / 64u - 1u;
//! unroll q 0 BN/64
  let b_at_$q = min((params.b_column + n0) / 64u + ${q}u, last_panel) * BLOCK + contracted_row(thread / 4u) * 4u + thread % 4u;
//! end
  let b_to = B_TILE + thread / 4u * B_ROW + 2u * (thread % 4u);
//! else
  let b_at = n0 / 128u * b_panel + params.b_column / 64u * BLOCK + (n0 % 128u + row) * 4u + thread % VECTORS;
  let b_to = B_TILE + a_to;
//! end

//! unroll p 0 BM*BK/2048
  var a_next_$p = vec4<u32>();
//! end
//! if B_BY_K
//! unroll r 0 BK/32
//! unroll q 0 BN/64
  var b_next_${r}_$q = vec4<u32>();
//! end
//! end
//! else
//! unroll p 0 BN*BK/2048
  var b_next_$p = vec4<u32>();
//! end
//! end
  {
//! include gemm_fp8_fetch.wgsl K0=k_begin
  }
//! unroll i 0 BM/32
//! unroll j 0 BN/32
  var sum_${i}_$j = Sum();
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 BM*BK/2048
    {
      let first = first_$A_TYPE(a_next_$p);
      let other = other_$A_TYPE(a_next_$p);
      let to = a_to + ${p}u * (THREADS / VECTORS) * ROW;
      tile[to] = vec4<u32>(first.x, other.x, first.y, other.y);
      tile[to + 1u] = vec4<u32>(first.z, other.z, first.w, other.w);
    }
//! end
//! if B_BY_K
//! unroll r 0 BK/32
//! unroll q 0 BN/64
    {
      let first = first_$B_TYPE(b_next_${r}_$q);
      let other = other_$B_TYPE(b_next_${r}_$q);
      let to = b_to + 32u * ${r}u * B_ROW + 8u * ${q}u;
      tile[to] = vec4<u32>(first.x, other.x, first.y, other.y);
      tile[to + 1u] = vec4<u32>(first.z, other.z, first.w, other.w);
    }
//! end
//! end
//! else
//! unroll p 0 BN*BK/2048
    {
      let first = first_$B_TYPE(b_next_$p);
      let other = other_$B_TYPE(b_next_$p);
      let to = b_to + ${p}u * (THREADS / VECTORS) * ROW;
      tile[to] = vec4<u32>(first.x, other.x, first.y, other.y);
      tile[to + 1u] = vec4<u32>(first.z, other.z, first.w, other.w);
    }
//! end
//! end
    // The last step fetches its own codes again: cheaper than to ask.
    let next = min(k0 + BK, k_end - BK);
//! include gemm_fp8_fetch.wgsl K0=next
    workgroupBarrier();
//! unroll kk 0 BK/16
    {
//! unroll i 0 BM/32
      let a_$i = load_left((sub_m0 + 16u * ${i}u) * ROW + 2u * ${kk}u, ROW);
//! end
//! unroll j 0 BN/32
//! if B_BY_K
      let b_$j = load_right(B_TILE + 16u * ${kk}u * B_ROW + sub_n0 / 8u + 2u * ${j}u, B_ROW);
//! else
      let b_$j = load_right_transposed(B_TILE + (sub_n0 + 16u * ${j}u) * ROW + 2u * ${kk}u, ROW);
//! end
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
