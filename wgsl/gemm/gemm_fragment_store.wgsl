// Writes the sums of a workgroup of the GEMM kernels for tensor cores, sum_i_j for fragment j of fragment row i, by
// DOWN × ACROSS subgroups of 32. Pasted at the end of `main`. Include-only.
//
// A fragment's elements have no known place, so sums go through `tile`, 16 rows at a time: a subgroup's 16 × SUB_N sums,
// then its lanes write them row by row, each always the same columns. The including kernel declares SUB_M × SUB_N, what
// a subgroup makes, OUT_ROW, the vectors of such a row with one more against bank conflicts, and `four_sums`, those of a
// row from column 4 · quad on. All results of these rows are finished before any is written: see gemm_output.wgsl.
  let subgroup_m0 = m0 + subgroup / ${ACROSS}u * SUB_M;
  let subgroup_n0 = n0 + subgroup % ${ACROSS}u * SUB_N;
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
  let quad = lane % (SUB_N / 4u);
  let column = subgroup_n0 + 4u * quad;
  let factors = column_factors(column);
//! unroll i 0 BM/$DOWN/16
  workgroupBarrier();
//! unroll j 0 BN/$ACROSS/16
  store_sum(mine + 4u * ${j}u, OUT_ROW, sum_${i}_$j);
//! end
  workgroupBarrier();
//! unroll q 0 BN/$ACROSS/8
  let slab_row_${i}_$q = (lane + 32u * ${q}u) / (SUB_N / 4u);
  let row_${i}_$q = subgroup_m0 + 16u * ${i}u + slab_row_${i}_$q;
  let sum_of_${i}_$q = four_sums(mine, slab_row_${i}_$q, quad);
  let value_${i}_$q = finished(group.z, row_${i}_$q, column, sum_of_${i}_$q * (row_factor(row_${i}_$q) * factors));
//! end
//! unroll q 0 BN/$ACROSS/8
  put(group.z, row_${i}_$q, column, value_${i}_$q);
//! end
//! end
