// General matrix product in f32: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], from f32, f16 or FP8 operands.
//
// Storage: an operand is either stored by rows of its outer index (A[m][k], B[n][k]: *_BY_K false) or by rows of the
// contraction (A[k][m], B[k][n]: *_BY_K true). So NT = neither, NN = B_BY_K, TN = both.
// Idea: a workgroup makes a BM × BN tile; K is walked in steps of BK. Every thread fetches 4×4 blocks of both
// operands, decodes them and puts them into workgroup memory as [k][outer / 4] vectors, whatever the storage; then
// each thread multiplies TM × TN values in registers. The next step's blocks are fetched while this one is
// multiplied. Pitches and columns are multiples of 4, and columns between a matrix' width and its pitch are zero by
// invariant, so only row indices need guards: rows behind the last repeat it where they are outer, as their products
// are not written, and count as zeros where they are contracted.
//
// Workgroups along z each take a split of k and write a partial product; sum_partials adds them.
//! include fp8.wgsl
//! include gemm_output.wgsl READ_AHEAD=false

const THREADS = (BM / TM) * (BN / TN);

// Both operands: their bindings, blocks and tiles.
//! for X,x,N,binding,decode in A,a,M,1,$A_DECODE B,b,N,2,$B_DECODE
//! if ${X}_TYPE == f32
@group(0) @binding($binding) var<storage, read> $x: array<vec4<f32>>;
//! elif ${X}_TYPE == f16
@group(0) @binding($binding) var<storage, read> $x: array<vec2<u32>>;
//! else
@group(0) @binding($binding) var<storage, read> $x: array<u32>;
//! end
const ${X}_BLOCKS = B$N * BK / 16;

var<workgroup> ${x}_tile: array<array<vec4<f32>, B$N / 4 + 1>, BK>;

// Four elements starting at element `i` (a multiple of 4), as the format is decoded fastest: alpha undoes the factor.
fn ${x}4(i: u32) -> vec4<f32> {
//! if ${X}_TYPE == f32
  return $x[i / 4u];
//! elif ${X}_TYPE == f16
  let v = $x[i / 4u];
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
//! else
  return $decode($x[i / 4u]);
//! end
}

// Which 4×4 block a task fetches, along the outer index and along k: neighbouring threads walk the direction that is
// contiguous in memory.
fn ${x}_task(task: u32) -> vec2<u32> {
//! if ${X}_BY_K
  return vec2<u32>(task % (B$N / 4u), task / (B$N / 4u));
//! else
  return vec2<u32>(task / (BK / 4u), task % (BK / 4u));
//! end
}

//! end
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let k_begin = group.z * params.split_k;
  let k_end = min(k_begin + params.split_k, params.k);
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
//! for X,x,n in A,a,m B,b,n
//! unroll p 0 ${X}_LOADS
  let ${x}_fetches_$p = thread + ${p}u * THREADS < ${X}_BLOCKS;
  let ${x}_at_$p = ${x}_task(thread + ${p}u * THREADS);
//! unroll c 0 4
  let ${x}_to_${p}_$c = ${x}_at_$p.y * 4u + ${c}u;
//! if ${X}_BY_K
  let ${x}_of_${p}_$c = min(${n}0 + ${x}_at_$p.x * 4u, (params.$n - 1u) & ~3u) + params.${x}_column;
//! else
  let ${x}_of_${p}_$c = min(${n}0 + ${x}_at_$p.x * 4u + ${c}u, params.$n - 1u) * params.${x}_pitch + params.${x}_column + ${x}_at_$p.y * 4u;
//! end
//! end
  var ${x}_next_$p = mat4x4<f32>();
//! end
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
//! include gemm_fetch.wgsl K=k_begin
  for (var k0 = k_begin; k0 < k_end; k0 += BK) {
    workgroupBarrier();
//! for X,x in A,a B,b
//! unroll p 0 ${X}_LOADS
    if (${x}_fetches_$p) {
//! if ${X}_BY_K
      let block = ${x}_next_$p;
//! else
      let block = transpose(${x}_next_$p);
//! end
//! unroll c 0 4
      ${x}_tile[${x}_to_${p}_$c][${x}_at_$p.x] = block[$c];
//! end
    }
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own values again: cheaper than to ask.
    let k1 = min(k0 + BK, k_last);
//! include gemm_fetch.wgsl K=k1
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

//! include gemm_store.wgsl
}
