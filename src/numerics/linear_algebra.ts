/**
 * The host's linear algebra for adapters: small matrices in f64. Vectors are rows throughout, so
 * that every inner loop runs over contiguous memory. The product and the tests' oracle both use it;
 * it has tests of its own.
 *
 * @module
 */

import { symmetricEigen } from "./symmetric_eigen.ts";
import { addScaled, dot } from "./vector.ts";

/**
 * Replaces rows by an orthonormal basis of their span, in place (Gram-Schmidt, each row
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
  const { values, vectors } = symmetricEigen(gramMatrix(a, rank), rank);
  const inverse = new Float64Array(rank * rank);
  for (let e = 0; e < rank; e++) {
    if (values[e] <= 1e-12 * values[0]) continue;
    for (let i = 0; i < rank; i++) {
      addScaled(inverse, i * rank, vectors[e * rank + i] / values[e], vectors, e * rank, rank);
    }
  }
  return inverse;
}

/** `A·Aᵀ` of the rows of A `[rank, columns]`: `[rank, rank]`. */
function gramMatrix(a: Float64Array, rank: number): Float64Array {
  const columns = a.length / rank;
  return Float64Array.from(
    { length: rank * rank },
    (_, at) => dot(a, Math.floor(at / rank) * columns, a, at % rank * columns, columns),
  );
}
