// Writes the sums of a thread of the GEMM kernels without tensor cores, sum_i_c_j for row c of row block i and column
// block j, all vec4s of columns. Pasted at the end of `main`. Include-only.
//
// All results are finished before any is written: see gemm_output.wgsl.
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
