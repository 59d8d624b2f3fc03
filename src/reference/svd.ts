/**
 * The linear algebra of FALQON's initialisation and of its `accumulate` rule: the leading
 * singular triplets of a matrix by randomised projection (Halko, Martinsson and Tropp, 2011),
 * and the inverse of a small Gram matrix. Vectors are rows throughout, so that every inner
 * loop runs over contiguous memory.
 *
 * @module
 */

import { matmulNN, matmulNT } from "./matmul.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { addScaled, dot } from "./vector.ts";

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

/**
 * Turns rows into an orthonormal basis of their span, in place (Gram-Schmidt, each row
 * projected twice for orthogonality to the last bit). A row that depends on those before it
 * becomes zero.
 *
 * @param matrix `[count, length]`.
 * @param count Number of rows.
 */
export function orthonormalizeRows(matrix: Float64Array, count: number): void {
  const length = matrix.length / count;
  for (let i = 0; i < count; i++) {
    const start = i * length;
    const before = Math.sqrt(dot(matrix, start, matrix, start, length));
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const overlap = dot(matrix, start, matrix, j * length, length);
        addScaled(matrix, start, -overlap, matrix, j * length, length);
      }
    }
    const norm = Math.sqrt(dot(matrix, start, matrix, start, length));
    scaleRow(matrix, i, length, norm > 1e-12 * before ? 1 / norm : 0);
  }
}

function scaleRow(matrix: Float64Array, row: number, length: number, factor: number): void {
  for (let j = row * length; j < (row + 1) * length; j++) matrix[j] *= factor;
}

/**
 * The inverse of the Gram matrix of rows, `(A·Aᵀ)⁻¹`, with which the coefficients of a row d
 * in the row space of A are `d·Aᵀ·(A·Aᵀ)⁻¹`. Directions in which A vanishes are left out, as
 * in a pseudo-inverse.
 *
 * @param a A `[rank, columns]`.
 * @param rank Rows of A.
 * @returns `[rank, rank]`.
 */
export function gramInverse(a: Float64Array, rank: number): Float64Array {
  const { values, vectors } = symmetricEigen(matmulNT(a, a, rank, rank, a.length / rank), rank);
  const inverse = new Float64Array(rank * rank);
  for (let e = 0; e < rank; e++) {
    if (values[e] <= 1e-12 * values[0]) continue;
    for (let i = 0; i < rank; i++) {
      addScaled(inverse, i * rank, vectors[e * rank + i] / values[e], vectors, e * rank, rank);
    }
  }
  return inverse;
}
