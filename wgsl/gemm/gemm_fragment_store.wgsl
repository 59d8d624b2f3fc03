// Writes the sums of a workgroup of the GEMM kernels for tensor cores, sum_i_j for fragment j of fragment row i, by
// DOWN × ACROSS subgroups of 32. Pasted at the end of `main`. Include-only.
//
// A fragment's elements have no known place, so sums go through `tile`, 16 rows at a time: a subgroup's 16 × SUB_N sums,
// then its lanes write them row by row, each always the same columns. The including kernel declares SUB_M × SUB_N, what
// a subgroup makes, OUT_ROW, the vectors of such a row with two more against bank conflicts, `four_sums`, those of a row
// from column 4 · quad on, and `row_factors`, of the workgroup's rows. All results of these rows are finished before any
// is written: see gemm_output.wgsl. What is added to the next 16 is read before that, so that they need not wait for it.
  let subgroup_row = subgroup / ${ACROSS}u * SUB_M;
  let subgroup_n0 = n0 + subgroup % ${ACROSS}u * SUB_N;
  let lane = thread % 32u;
  let mine = subgroup * 16u * OUT_ROW;
  let quad = lane % (SUB_N / 4u);
  let column = subgroup_n0 + 4u * quad;
  let factors = column_factors(column);
//! unroll q 0 BN/$ACROSS/8
  let slab_row_$q = (lane + 32u * ${q}u) / (SUB_N / 4u);
  var added_$q = added_to(group.z, m0 + subgroup_row + slab_row_$q, column);
//! end
//! unroll i 0 BM/$DOWN/16
  workgroupBarrier();
//! unroll j 0 BN/$ACROSS/16
  store_sum(mine + 4u * ${j}u, OUT_ROW, sum_${i}_$j);
//! end
//! unroll q 0 BN/$ACROSS/8
  let next_${i}_$q = added_to(group.z, m0 + subgroup_row + 16u * (${i}u + 1u) + slab_row_$q, column);
//! end
  workgroupBarrier();
//! unroll q 0 BN/$ACROSS/8
  let row_${i}_$q = subgroup_row + 16u * ${i}u + slab_row_$q;
  let scaled_${i}_$q = four_sums(mine, slab_row_$q, quad) * (row_factors[row_${i}_$q] * factors);
  let value_${i}_$q = finished(column, scaled_${i}_$q, added_$q);
  added_$q = next_${i}_$q;
//! end
//! unroll q 0 BN/$ACROSS/8
  put(group.z, m0 + row_${i}_$q, column, value_${i}_$q);
//! end
//! end
