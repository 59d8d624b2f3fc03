// Matrix product of int8 codes without tensor cores: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: panels [rows / 128][k / 64][128][64 bytes] as they are stored; params.k is a multiple of 64, and one of both is
// zero from the end of the contraction on. Rows behind the last may hold anything, as nothing of them is written.
// Idea: four neighbours along k are multiplied by one instruction. So words of four codes wait in workgroup memory as
// [word][row], and a vector of them is four rows: a thread fetches 16 codes of four rows and transposes their words in
// its registers on the way. The next step's words are fetched while this one's are multiplied.
//! include gemm_output.wgsl READ_AHEAD=false
//! include gemm_tile.wgsl
//! include dot4.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = (BM / TM) * (BN / TN);
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

// One more vector per word, so that the stores of neighbouring threads, of different words, meet different banks.
var<workgroup> a_tile: array<array<vec4<u32>, BM / 4 + 1>, 16>;
var<workgroup> b_tile: array<array<vec4<u32>, BN / 4 + 1>, 16>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let place = output_tile(group, groups);
  let m0 = place.y * BM;
  let n0 = place.x * BN;
  let steps = params.k / 64u;
  let tm = thread / (BN / TN);
  let tn = thread % (BN / TN);

  // Indices are named once: one that is computed again in every step costs time under naga.
  let vector = thread % 4u;
//! unroll w 0 4
  let to_$w = vector * 4u + ${w}u;
//! end
//! for X,x,n in A,a,m B,b,n
  let ${x}_panel = (${n}0 / 128u * (params.${x}_pitch / 64u) + params.${x}_column / 64u) * BLOCK + ${n}0 % 128u * 4u;
//! unroll p 0 ${X}_LOADS
  let ${x}_quad_$p = thread / 4u + ${p}u * (THREADS / 4u);
  let ${x}_at_$p = ${x}_panel + ${x}_quad_$p * 16u + vector;
//! unroll c 0 4
  var ${x}_next_${p}_$c = vec4<u32>();
//! end
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
  var total_${i}_${c}_$j = vec4<i32>();
//! end
//! end
//! end

//! include gemm_int8_fetch.wgsl STEP=0u
  for (var step = 0u; step < steps; step += 1u) {
    workgroupBarrier();
//! for X,x,N in A,a,M B,b,N
//! unroll p 0 ${X}_LOADS
//! if ${X}_GUARDED
    if (${x}_quad_$p < B$N / 4) {
//! else
    {
//! end
//! unroll w 0 4
      ${x}_tile[to_$w][${x}_quad_$p] =
        vec4<u32>(${x}_next_${p}_0[$w], ${x}_next_${p}_1[$w], ${x}_next_${p}_2[$w], ${x}_next_${p}_3[$w]);
//! end
    }
//! end
//! end
    workgroupBarrier();
    // The last step fetches its own words again: cheaper than to ask.
    let next = min(step + 1u, steps - 1u);
//! include gemm_int8_fetch.wgsl STEP=next
//! if ROLLED
    for (var word = 0u; word < 16u; word += AT_ONCE) {
//! else
    {
      const word = 0u; // known, so that nothing is computed to stay in bounds
//! end
//! unroll w 0 AT_ONCE
      {
//! unroll i 0 TM/4
        let a_$i = a_tile[word + $w][a_from_$i];
//! end
//! unroll j 0 TN/4
        let b_$j = b_tile[word + $w][b_from_$j];
//! end
//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
        total_${i}_${c}_$j += vec4<i32>(
          dot4(a_$i[$c], b_$j.x), dot4(a_$i[$c], b_$j.y), dot4(a_$i[$c], b_$j.z), dot4(a_$i[$c], b_$j.w));
//! end
//! end
//! end
      }
//! end
    }
  }

//! unroll i 0 TM/4
//! unroll c 0 4
//! unroll j 0 TN/4
  let sum_${i}_${c}_$j = vec4<f32>(total_${i}_${c}_$j);
//! end
//! end
//! end
//! include gemm_store.wgsl
}
