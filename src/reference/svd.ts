/**
 * The linear algebra of FALQON's initialisation and of its `accumulate` rule: the leading
 * singular triplets of a matrix by randomised projection (Halko, Martinsson and Tropp, 2011),
 * and the inverse of a small Gram matrix. Vectors are rows throughout, so that every inner
 * loop runs over contiguous memory.
 *
 * @module
 */

import { matmulNN, matmulNT } from "./matmul.ts";
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

/** Eigenvalues and eigenvectors of a symmetric matrix, the largest value first. */
export interface SymmetricEigen {
  /** Eigenvalues `[size]`. */
  values: Float64Array;
  /** Unit eigenvectors as rows, `[size, size]`. */
  vectors: Float64Array;
}

/** Sweeps after which rotations stop; convergence is quadratic and takes fewer than ten. */
const MAX_SWEEPS = 30;

/**
 * Diagonalises a symmetric matrix by cyclic Jacobi rotations.
 *
 * @param matrix `[size, size]`, symmetric.
 * @param size Its order.
 * @returns All eigenvalues and eigenvectors.
 */
export function symmetricEigen(matrix: Float64Array, size: number): SymmetricEigen {
  const a = matrix.slice();
  const vectors = new Float64Array(size * size);
  for (let i = 0; i < size; i++) vectors[i * size + i] = 1;
  const tolerance = 1e-30 * dot(a, 0, a, 0, a.length);
  for (let sweep = 0; sweep < MAX_SWEEPS && offDiagonal(a, size) > tolerance; sweep++) {
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) rotate(a, vectors, size, p, q);
    }
  }
  const order = Array.from({ length: size }, (_, i) => i)
    .sort((i, j) => a[j * size + j] - a[i * size + i]);
  return {
    values: Float64Array.from(order, (i) => a[i * size + i]),
    vectors: Float64Array.from(
      order.flatMap((i) => [...vectors.subarray(i * size, (i + 1) * size)]),
    ),
  };
}

function offDiagonal(a: Float64Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) sum += 2 * a[i * size + j] ** 2;
  }
  return sum;
}

/** Makes a[p][q] zero by a rotation in the plane (p, q), applied to the vectors as well. */
function rotate(a: Float64Array, vectors: Float64Array, size: number, p: number, q: number): void {
  const apq = a[p * size + q];
  if (apq === 0) return;
  const theta = (a[q * size + q] - a[p * size + p]) / (2 * apq);
  const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const cos = 1 / Math.sqrt(tangent * tangent + 1);
  const sin = tangent * cos;
  for (let k = 0; k < size; k++) {
    turn(a, k * size + p, k * size + q, cos, sin);
  }
  for (let k = 0; k < size; k++) {
    turn(a, p * size + k, q * size + k, cos, sin);
    turn(vectors, p * size + k, q * size + k, cos, sin);
  }
  // Zero but for rounding, which must not keep the sweeps going.
  a[p * size + q] = a[q * size + p] = 0;
}

function turn(a: Float64Array, i: number, j: number, cos: number, sin: number): void {
  const [x, y] = [a[i], a[j]];
  a[i] = cos * x - sin * y;
  a[j] = sin * x + cos * y;
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
