// Matrix product with packed half-precision arithmetic: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], both from pack.wgsl.
//
// a, b: f16 in panels of 128 m or n, rounded up to whole ones, and k filled up with zeros.
// Idea: a pair (k, k + 1) of one operand is multiplied by a pair of the other, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. The two halves of a sum are joined when it
// is promoted to f32, every PROMOTE steps of BK: f16 sums stay short. K is a multiple of BK · PROMOTE.
// A step's values wait in workgroup memory, the next step's are fetched into registers meanwhile.
enable f16;
//! include gemm_output.wgsl
//! include gemm_tile.wgsl

alias Pairs = array<vec4<f16>, 2>; // four neighbours along m or n, each a pair along k

@group(0) @binding(1) var<storage, read> a: array<Pairs>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;

const THREADS = (BM / TM) * (BN / TN);
const STEP_PAIRS = BK / 2;

var<workgroup> a_tile: array<array<Pairs, BM / 4>, STEP_PAIRS>;
var<workgroup> b_tile: array<array<Pairs, BN / 4>, STEP_PAIRS>;

const PANEL = 128u;
const ROW = PANEL / 4u; // quads in a row of a panel

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
//! if SPLIT
  let k_begin = group.z * SHARE;
  let k_end = min(k_begin + SHARE, K);
//! else
  let k_begin = 0u;
  const k_end = u32(K);
//! end
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  let a_pair = thread / (BM / 4u);
  let a_quad = thread % (BM / 4u);
  let b_pair = thread / (BN / 4u);
  let b_quad = thread % (BN / 4u);
  // A tile is a panel, or half of one.
  var a_at = (m0 / PANEL * (K / 2u) + k_begin / 2u + a_pair) * ROW + m0 % PANEL / 4u + a_quad;
  var b_at = (n0 / PANEL * (K / 2u) + k_begin / 2u + b_pair) * ROW + n0 % PANEL / 4u + b_quad;
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_at + ${p}u * (THREADS / (BM / 4u)) * ROW];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_at + ${p}u * (THREADS / (BN / 4u)) * ROW];
//! end

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
  var sum_${i}${c}_$j$h = vec2<f32>();
//! if PROMOTE != 1
  var half_${i}${c}_$j$h = vec4<f16>();
//! end
//! end
//! end
//! end
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    a_tile[a_pair + ${p}u * (THREADS / (BM / 4u))][a_quad] = a_next_$p;
//! end
//! unroll p 0 B_LOADS
    b_tile[b_pair + ${p}u * (THREADS / (BN / 4u))][b_quad] = b_next_$p;
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let forward = select(0u, STEP_PAIRS * ROW, k0 + BK < k_end);
    a_at += forward;
    b_at += forward;
//! unroll p 0 A_LOADS
    a_next_$p = a[a_at + ${p}u * (THREADS / (BM / 4u)) * ROW];
//! end
//! unroll p 0 B_LOADS
    b_next_$p = b[b_at + ${p}u * (THREADS / (BN / 4u)) * ROW];
//! end
//! if PROMOTE == 1
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    var half_${i}${c}_$j$h = vec4<f16>(); // here, so that it takes no register while values are moved
//! end
//! end
//! end
//! end
//! end
//! unroll kk 0 BK/2
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][tm + ${i}u * (BM / TM)];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][tn + ${j}u * (BN / TN)];
//! end
//! unroll i 0 TM/4
//! unroll j 0 TN/4
//! unroll h 0 2
      half_${i}0_$j$h = fma(a_$i[0].xyxy, b_$j[$h], half_${i}0_$j$h);
      half_${i}1_$j$h = fma(a_$i[0].zwzw, b_$j[$h], half_${i}1_$j$h);
      half_${i}2_$j$h = fma(a_$i[1].xyxy, b_$j[$h], half_${i}2_$j$h);
      half_${i}3_$j$h = fma(a_$i[1].zwzw, b_$j[$h], half_${i}3_$j$h);
//! end
//! end
//! end
    }
//! end
//! if PROMOTE != 1
    if ((k0 - k_begin) / BK % PROMOTE == PROMOTE - 1u) {
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    {
      let wide = vec4<f32>(half_${i}${c}_$j$h);
      sum_${i}${c}_$j$h += wide.xz + wide.yw;
//! if PROMOTE != 1
      half_${i}${c}_$j$h = vec4<f16>();
//! end
    }
//! end
//! end
//! end
//! end
//! if PROMOTE != 1
    }
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  store(group.z, m0 + (tm + ${i}u * (BM / TM)) * 4u + ${c}u, n0 + (tn + ${j}u * (BN / TN)) * 4u,
    vec4<f32>(sum_${i}${c}_${j}0, sum_${i}${c}_${j}1));
//! end
//! end
//! end
}
