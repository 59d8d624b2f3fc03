// Fetches a thread's codes of both operands of gemm_fp8_tensor.wgsl for the step that begins at K0: pasted into `main`
// before the first step, and into each step for the next one. Include-only.
//! unroll p 0 BM*BK/2048
  a_next_$p = a[a_at + step_at($K0) + ${p}u * (THREADS / VECTORS) * 4u];
//! end
//! if B_BY_K
//! unroll r 0 BK/32
  let b_rows_$r = ($K0 + 32u * ${r}u) / 128u * b_panel + ($K0 + 32u * ${r}u) % 128u * 4u;
//! unroll q 0 BN/64
  b_next_${r}_$q = b[b_at_$q + b_rows_$r];
//! end
//! end
//! else
//! unroll p 0 BN*BK/2048
  b_next_$p = b[b_at + step_at($K0) + ${p}u * (THREADS / VECTORS) * 4u];
//! end
//! end
