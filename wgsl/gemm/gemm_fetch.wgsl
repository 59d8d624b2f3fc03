// Fetches a thread's blocks of both operands of gemm.wgsl for the step that begins at K: pasted into `main` before the
// first step, and into each step for the next one. Include-only.
//! for X,x in A,a B,b
//! unroll p 0 ${X}_LOADS
  if (${x}_fetches_$p) {
//! unroll c 0 4
//! if ${X}_BY_K
    let ${x}_k_$c = $K + ${x}_to_${p}_$c;
    ${x}_next_$p[$c] = select(vec4<f32>(), ${x}4(min(${x}_k_$c, k_end - 1u) * params.${x}_pitch + ${x}_of_${p}_$c), ${x}_k_$c < k_end);
//! else
    ${x}_next_$p[$c] = ${x}4(${x}_of_${p}_$c + $K);
//! end
//! end
  }
//! end
//! end
