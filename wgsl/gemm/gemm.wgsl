// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then each
// thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is multiplied.
// Pitches and columns are multiples of 4, and columns between a matrix' width and its pitch are zero by invariant, so only
// row indices need guards: rows behind the last repeat it where they are outer, as their products are not written, and
// count as zeros where they are contracted.
//
// Workgroups along z each take a share of k and write a partial product; sum_partials adds them.
//! include fp8.wgsl
//! include gemm_output.wgsl

//! if A_TYPE == f32
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
//! end
//! if A_TYPE == f16
@group(0) @binding(1) var<storage, read> a: array<vec2<u32>>;
//! end
//! if A_FP8
@group(0) @binding(1) var<storage, read> a: array<u32>;
//! end
//! if B_TYPE == f32
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
//! end
//! if B_TYPE == f16
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;
//! end
//! if B_FP8
@group(0) @binding(2) var<storage, read> b: array<u32>;
//! end
const THREADS = (BM / TM) * (BN / TN);
const A_BLOCKS = BM * BK / 16;
const B_BLOCKS = BN * BK / 16;

var<workgroup> a_tile: array<array<vec4<f32>, BM / 4 + 1>, BK>;
var<workgroup> b_tile: array<array<vec4<f32>, BN / 4 + 1>, BK>;

// Four elements starting at element `i` (a multiple of 4). e4m3 comes times 2^-8, undone by alpha.
fn a4(i: u32) -> vec4<f32> {
//! if A_TYPE == f32
  return a[i / 4u];
//! end
//! if A_TYPE == f16
  let v = a[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if A_TYPE == e4m3
  return unpack4_e4m3_scaled(a[i / 4u]);
//! end
//! if A_TYPE == e5m2
  return unpack4_e5m2(a[i / 4u]);
//! end
}

fn b4(i: u32) -> vec4<f32> {
//! if B_TYPE == f32
  return b[i / 4u];
//! end
//! if B_TYPE == f16
  let v = b[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! end
//! if B_TYPE == e4m3
  return unpack4_e4m3_scaled(b[i / 4u]);
//! end
//! if B_TYPE == e5m2
  return unpack4_e5m2(b[i / 4u]);
//! end
}

// Which 4×4 block a task fetches, along the outer index and along k: neighbouring threads walk the direction that is
// contiguous in memory.
fn a_task(task: u32) -> vec2<u32> {
//! if A_BY_K
  return vec2<u32>(task % (BM / 4u), task / (BM / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

fn b_task(task: u32) -> vec2<u32> {
//! if B_BY_K
  return vec2<u32>(task % (BN / 4u), task / (BN / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let k_begin = group.z * params.share;
  let k_end = min(k_begin + params.share, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
//! unroll p 0 A_LOADS
  let a_fetches_$p = thread + ${p}u * THREADS < A_BLOCKS;
  let a_at_$p = a_task(thread + ${p}u * THREADS);
//! unroll c 0 4
  let a_to_${p}_$c = a_at_$p.y * 4u + ${c}u;
//! if A_BY_K
  let a_of_${p}_$c = min(m0 + a_at_$p.x * 4u, (params.m - 1u) & ~3u) + params.a_column;
//! else
  let a_of_${p}_$c = min(m0 + a_at_$p.x * 4u + ${c}u, params.m - 1u) * params.a_pitch + params.a_column + a_at_$p.y * 4u;
//! end
//! end
  var a_next_$p = mat4x4<f32>();
//! end
//! unroll p 0 B_LOADS
  let b_fetches_$p = thread + ${p}u * THREADS < B_BLOCKS;
  let b_at_$p = b_task(thread + ${p}u * THREADS);
//! unroll c 0 4
  let b_to_${p}_$c = b_at_$p.y * 4u + ${c}u;
//! if B_BY_K
  let b_of_${p}_$c = min(n0 + b_at_$p.x * 4u, (params.n - 1u) & ~3u) + params.b_column;
//! else
  let b_of_${p}_$c = min(n0 + b_at_$p.x * 4u + ${c}u, params.n - 1u) * params.b_pitch + params.b_column + b_at_$p.y * 4u;
//! end
//! end
  var b_next_$p = mat4x4<f32>();
//! end
//! unroll i 0 TM/4
  let a_from_$i = tm + ${i}u * (BM / TM);
//! end
//! unroll j 0 TN/4
  let b_from_$j = tn + ${j}u * (BN / TN);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  var sum_${i}_${c}_$j = vec4<f32>();
//! end
//! end
//! end

  let k_last = k_begin + (k_end - k_begin - 1u) / BK * BK;
//! unroll p 0 A_LOADS
  if (a_fetches_$p) {
//! unroll c 0 4
//! if A_BY_K
    let a_k_$c = k_begin + a_to_${p}_$c;
    a_next_$p[$c] = select(vec4<f32>(), a4(min(a_k_$c, k_end - 1u) * params.a_pitch + a_of_${p}_$c), a_k_$c < k_end);
//! else
    a_next_$p[$c] = a4(a_of_${p}_$c + k_begin);
//! end
//! end
  }
//! end
//! unroll p 0 B_LOADS
  if (b_fetches_$p) {
//! unroll c 0 4
//! if B_BY_K
    let b_k_$c = k_begin + b_to_${p}_$c;
    b_next_$p[$c] = select(vec4<f32>(), b4(min(b_k_$c, k_end - 1u) * params.b_pitch + b_of_${p}_$c), b_k_$c < k_end);
//! else
    b_next_$p[$c] = b4(b_of_${p}_$c + k_begin);
//! end
//! end
  }
//! end
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! unroll p 0 A_LOADS
    if (a_fetches_$p) {
//! if A_BY_K
      let block = a_next_$p;
//! else
      let block = transpose(a_next_$p);
//! end
//! unroll c 0 4
      a_tile[a_to_${p}_$c][a_at_$p.x] = block[$c];
//! end
    }
//! end
//! unroll p 0 B_LOADS
    if (b_fetches_$p) {
//! if B_BY_K
      let block = b_next_$p;
//! else
      let block = transpose(b_next_$p);
//! end
//! unroll c 0 4
      b_tile[b_to_${p}_$c][b_at_$p.x] = block[$c];
//! end
    }
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let k1 = min(k0 + BK, k_last);
//! unroll p 0 A_LOADS
    if (a_fetches_$p) {
//! unroll c 0 4
//! if A_BY_K
      let a_k_$c = k1 + a_to_${p}_$c;
      a_next_$p[$c] = select(vec4<f32>(), a4(min(a_k_$c, k_end - 1u) * params.a_pitch + a_of_${p}_$c), a_k_$c < k_end);
//! else
      a_next_$p[$c] = a4(a_of_${p}_$c + k1);
//! end
//! end
    }
//! end
//! unroll p 0 B_LOADS
    if (b_fetches_$p) {
//! unroll c 0 4
//! if B_BY_K
      let b_k_$c = k1 + b_to_${p}_$c;
      b_next_$p[$c] = select(vec4<f32>(), b4(min(b_k_$c, k_end - 1u) * params.b_pitch + b_of_${p}_$c), b_k_$c < k_end);
//! else
      b_next_$p[$c] = b4(b_of_${p}_$c + k1);
//! end
//! end
    }
//! end
//! unroll kk 0 BK
    {
//! unroll i 0 TM/4
      let a_$i = a_tile[$kk][a_from_$i];
//! end
//! unroll j 0 TN/4
      let b_$j = b_tile[$kk][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
      sum_${i}_${c}_$j = fma(vec4<f32>(a_$i[$c]), b_$j, sum_${i}_${c}_$j);
//! end
//! end
//! end
    }
//! end
  }

//! unroll j 0 TN/4
  let factors_$j = column_factors(n0 + b_from_$j * 4u);
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
  let factor_${i}$c = row_factor(m0 + a_from_$i * 4u + ${c}u);
//! unroll j 0 TN/4
  let value_${i}_${c}_$j = finished(group.z, m0 + a_from_$i * 4u + ${c}u, n0 + b_from_$j * 4u,
    sum_${i}_${c}_$j * (factor_${i}$c * factors_$j));
//! end
//! end
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  put(group.z, m0 + a_from_$i * 4u + ${c}u, n0 + b_from_$j * 4u, value_${i}_${c}_$j);
//! end
//! end
//! end
}
