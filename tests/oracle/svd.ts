/**
 * The oracle of FALQON's initialisation: the leading singular triplets of a matrix by randomised
 * projection (Halko, Martinsson and Tropp, 2011). Vectors are rows throughout.
 *
 * @module
 */

import { orthonormalizeRows } from "../../src/numerics/linear_algebra.ts";
import { symmetricEigen } from "../../src/numerics/symmetric_eigen.ts";
import { matmulNN, matmulNT } from "./matmul.ts";

/** Leading singular triplets, the largest first: `M ≈ uᵀ·diag(s)·v`. */
export interface TruncatedSvd {
  /** Left singular vectors as rows, `[rank, rows]`. */
  u: Float64Array;
  /** Singular values `[rank]`. */
  s: Float64Array;
  /** Right singular vectors as rows, `[rank, columns]`. */
  v: Float64Array;
}

/**
 * Randomised truncated singular value decomposition.
 *
 * The singular values come from a Gram matrix, so those below 1e-8 of the largest are noise;
 * a triplet below that is returned as zeros.
 *
 * @param matrix `[rows, columns]`.
 * @param rows Its rows.
 * @param columns Its columns.
 * @param rank Triplets wanted, at most `min(rows, columns)`.
 * @param random Uniform numbers in [0, 1).
 * @param oversampling Extra directions of the random subspace, which sharpen the last triplets.
 * @param powerIterations Multiplications by M·Mᵀ, which separate close singular values.
 * @returns The triplets.
 */
export function truncatedSvd(
  matrix: Float64Array,
  rows: number,
  columns: number,
  rank: number,
  random: () => number,
  oversampling = 16,
  powerIterations = 3,
): TruncatedSvd {
  const width = Math.min(rank + oversampling, rows, columns);
  const probe = Float64Array.from({ length: width * columns }, () => normal(random));
  let q = matmulNT(probe, matrix, width, rows, columns);
  orthonormalizeRows(q, width);
  for (let i = 0; i < powerIterations; i++) {
    const z = matmulNN(q, matrix, width, columns, rows);
    orthonormalizeRows(z, width);
    q = matmulNT(z, matrix, width, rows, columns);
    orthonormalizeRows(q, width);
  }
  const small = matmulNN(q, matrix, width, columns, rows);
  const { values, vectors } = symmetricEigen(matmulNT(small, small, width, width, columns), width);
  const leading = vectors.subarray(0, rank * width);
  const s = values.slice(0, rank).map((value) => Math.sqrt(Math.max(value, 0)));
  const u = matmulNN(leading, q, rank, rows, width);
  const v = matmulNN(leading, small, rank, columns, width);
  for (let i = 0; i < rank; i++) {
    const negligible = s[i] <= 1e-8 * s[0];
    if (negligible) s[i] = 0;
    scaleRow(u, i, rows, negligible ? 0 : 1);
    scaleRow(v, i, columns, negligible ? 0 : 1 / s[i]);
  }
  return { u, s, v };
}

/** A normally distributed number by Box and Muller. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function scaleRow(matrix: Float64Array, row: number, length: number, factor: number): void {
  for (let j = row * length; j < (row + 1) * length; j++) matrix[j] *= factor;
}
