// Matrix product with packed half-precision arithmetic: out[m, n] = alpha · Σ_k A[k, m] · B[k, n], both from pack.wgsl.
//
// a, b: f16 in panels of BM and BN, rounded up to whole ones, and k filled up with zeros.
// Idea: a pair (k, k + 1) of one operand is multiplied by a pair of the other, so no value has to be broadcast into both
// halves of a register, which would halve the rate of the packed multiply-add. The two halves of a sum are joined when it
// is promoted to f32, every PROMOTE steps of BK: f16 sums stay short. k is a multiple of BK.
// A step's values wait in workgroup memory, the next step's are fetched into registers meanwhile.
enable f16;
//! include gemm_output.wgsl READ_AHEAD=false
//! include gemm_tile.wgsl

alias Pairs = array<vec4<f16>, 2>; // four neighbours along m or n, each a pair along k

@group(0) @binding(1) var<storage, read> a: array<Pairs>;
@group(0) @binding(2) var<storage, read> b: array<Pairs>;

const THREADS = (BM / TM) * (BN / TN);
const STEP_PAIRS = BK / 2;

var<workgroup> a_tile: array<array<Pairs, BM / 4>, STEP_PAIRS>;
var<workgroup> b_tile: array<array<Pairs, BN / 4>, STEP_PAIRS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  let a_pair = thread / (BM / 4u);
  let a_quad = thread % (BM / 4u);
  let b_pair = thread / (BN / 4u);
  let b_quad = thread % (BN / 4u);
  let a_at = place.y * params.k / 2u * (BM / 4u) + thread;
  let b_at = place.x * params.k / 2u * (BN / 4u) + thread;
  // Named once: an index that is computed again in every step costs a twentieth of the time under naga.
//! unroll p 0 A_LOADS
  let a_to_$p = a_pair + ${p}u * (THREADS / (BM / 4u));
//! end
//! unroll p 0 B_LOADS
  let b_to_$p = b_pair + ${p}u * (THREADS / (BN / 4u));
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + ${i}u * (BM / TM);
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + ${j}u * (BN / TN);
//! end
//! unroll p 0 A_LOADS
  var a_next_$p = a[a_at + k_begin / 2u * (BM / 4u) + ${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
  var b_next_$p = b[b_at + k_begin / 2u * (BN / 4u) + ${p}u * THREADS];
//! end

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
  var sum_${i}${c}_$j$h = vec2<f32>();
//! end
//! end
//! end
//! end
  for (var k_sum = k_begin; k_sum < k_end; k_sum += BK * PROMOTE) {
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    var half_${i}${c}_$j$h = vec4<f16>(); // here, so that it takes no register while values are moved
//! end
//! end
//! end
//! end
    let k_stop = min(k_sum + BK * PROMOTE, k_end);
    for (var k0 = k_sum; k0 < k_stop; k0 += BK) {
      workgroupBarrier();
//! unroll p 0 A_LOADS
      a_tile[a_to_$p][a_quad] = a_next_$p;
//! end
//! unroll p 0 B_LOADS
      b_tile[b_to_$p][b_quad] = b_next_$p;
//! end
      workgroupBarrier();
      // The last step fetches its own values again: cheaper than to ask.
      let next = min(k0 + BK, k_end - BK) / 2u;
//! unroll p 0 A_LOADS
      a_next_$p = a[a_at + next * (BM / 4u) + ${p}u * THREADS];
//! end
//! unroll p 0 B_LOADS
      b_next_$p = b[b_at + next * (BN / 4u) + ${p}u * THREADS];
//! end
//! unroll kk 0 BK/2
      {
//! unroll i 0 TM/4
        let a_$i = a_tile[$kk][a_from_$i];
        let a_${i}0 = a_$i[0].xyxy;
        let a_${i}1 = a_$i[0].zwzw;
        let a_${i}2 = a_$i[1].xyxy;
        let a_${i}3 = a_$i[1].zwzw;
//! end
//! unroll j 0 TN/4
        let b_$j = b_tile[$kk][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
        half_${i}${c}_$j$h = fma(a_${i}$c, b_$j[$h], half_${i}${c}_$j$h);
//! end
//! end
//! end
//! end
      }
//! end
    }
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
//! unroll h 0 2
    {
      let wide = vec4<f32>(half_${i}${c}_$j$h);
      sum_${i}${c}_$j$h += wide.xz + wide.yw;
    }
//! end
//! end
//! end
//! end
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  let sum_${i}_${c}_$j = vec4<f32>(sum_${i}${c}_${j}0, sum_${i}${c}_${j}1);
//! end
//! end
//! end
//! include gemm_store.wgsl
}
