// Fetches a thread's words of both operands of gemm_int8.wgsl for the step STEP: pasted into `main` before the first
// step, and into each step for the next one. Include-only.
//! for X,x,N in A,a,M B,b,N
//! unroll p 0 ${X}_LOADS
//! if ${X}_GUARDED
  if (${x}_quad_$p < B$N / 4) {
//! else
  {
//! end
//! unroll c 0 4
    ${x}_next_${p}_$c = $x[${x}_at_$p + $STEP * BLOCK + ${c}u * 4u];
//! end
  }
//! end
//! end
