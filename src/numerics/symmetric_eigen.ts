/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder reflections make it tridiagonal,
 * QR steps with Wilkinson's shift make that diagonal (Golub and Van Loan, Matrix Computations,
 * 8.3). Five times as fast as Jacobi's rotations at the sizes of adapters, and a run
 * waits for hundreds of these before its first step.
 *
 * @module
 */

import { addScaled, dot } from "./vector.ts";

/** Eigenvalues and eigenvectors of a symmetric matrix, the largest value first. */
export interface SymmetricEigen {
  /** Eigenvalues `[size]`. */
  values: Float64Array;
  /** Unit eigenvectors as rows, `[size, size]`. */
  vectors: Float64Array;
}

/**
 * QR steps per eigenvalue after which something is wrong, such as NaN in the matrix; two or three
 * are usual.
 */
const MOST_STEPS = 60;

/**
 * Diagonalises a symmetric matrix.
 *
 * @param matrix `[size, size]`, symmetric.
 * @param size Its order.
 * @returns All eigenvalues and eigenvectors.
 */
export function symmetricEigen(matrix: Float64Array, size: number): SymmetricEigen {
  const { diagonal, beside, basis } = tridiagonalize(matrix, size);
  const norm = Math.sqrt(dot(matrix, 0, matrix, 0, matrix.length));
  const negligible = (i: number) =>
    Math.abs(beside[i]) <=
      Number.EPSILON * (Math.abs(diagonal[i]) + Math.abs(diagonal[i + 1]) + Number.EPSILON * norm);
  let last = size - 1;
  for (let steps = 0; last > 0 && steps < MOST_STEPS * size; steps++) {
    if (negligible(last - 1)) {
      last--;
      continue;
    }
    let first = last - 1;
    while (first > 0 && !negligible(first - 1)) first--;
    qrStep(diagonal, beside, basis, first, last);
  }
  const order = Array.from(diagonal, (_, i) => i).sort((i, j) => diagonal[j] - diagonal[i]);
  const vectors = new Float64Array(size * size);
  order.forEach((from, to) =>
    vectors.set(basis.subarray(from * size, (from + 1) * size), to * size)
  );
  return { values: Float64Array.from(order, (i) => diagonal[i]), vectors };
}

/** A symmetric matrix M as basisᵀ·T·basis with a tridiagonal T. */
interface Tridiagonal {
  /** Of T, `[size]`. */
  diagonal: Float64Array;
  /** Beside its diagonal, `[size - 1]`. */
  beside: Float64Array;
  /** Orthonormal rows `[size, size]`. */
  basis: Float64Array;
}

function tridiagonalize(matrix: Float64Array, size: number): Tridiagonal {
  const a = matrix.slice();
  const basis = new Float64Array(size * size);
  for (let i = 0; i < size; i++) basis[i * size + i] = 1;
  const diagonal = new Float64Array(size);
  const beside = new Float64Array(Math.max(0, size - 1));
  const v = new Float64Array(size);
  const w = new Float64Array(size);
  for (let k = 0; k < size - 1; k++) {
    const first = k + 1;
    const count = size - first;
    // The reflection I − 2v·vᵀ turns the part of row k beyond the diagonal into a multiple of its
    // first element.
    for (let i = first; i < size; i++) v[i] = a[k * size + i];
    const length = Math.sqrt(dot(v, first, v, first, count));
    beside[k] = v[first] > 0 ? -length : length;
    v[first] -= beside[k];
    const norm = Math.sqrt(dot(v, first, v, first, count));
    if (norm === 0) continue; // already zero
    for (let i = first; i < size; i++) v[i] /= norm;
    // On both sides of the rest: A − 2(v·wᵀ + w·vᵀ) with w = A·v − (vᵀ·A·v)·v.
    for (let i = first; i < size; i++) w[i] = dot(a, i * size + first, v, first, count);
    addScaled(w, first, -dot(v, first, w, first, count), v, first, count);
    for (let i = first; i < size; i++) {
      addScaled(a, i * size + first, -2 * v[i], w, first, count);
      addScaled(a, i * size + first, -2 * w[i], v, first, count);
    }
    w.fill(0);
    for (let i = first; i < size; i++) addScaled(w, 0, v[i], basis, i * size, size);
    for (let i = first; i < size; i++) addScaled(basis, i * size, -2 * v[i], w, 0, size);
    w.fill(0);
  }
  for (let i = 0; i < size; i++) diagonal[i] = a[i * size + i];
  return { diagonal, beside, basis };
}

/**
 * One implicit QR step on rows `first` to `last` of T, which has no zero beside its diagonal there.
 */
function qrStep(
  diagonal: Float64Array,
  beside: Float64Array,
  basis: Float64Array,
  first: number,
  last: number,
): void {
  const size = diagonal.length;
  const half = (diagonal[last - 1] - diagonal[last]) / 2;
  const off = beside[last - 1];
  const root = Math.hypot(half, off);
  // The eigenvalue of the last 2×2 block that is nearer to its last element.
  const shift = diagonal[last] - off * off / (half + (half < 0 ? -root : root));
  let x = diagonal[first] - shift;
  let bulge = beside[first];
  for (let k = first; k < last; k++) {
    const r = Math.hypot(x, bulge);
    const [cos, sin] = r === 0 ? [1, 0] : [x / r, bulge / r];
    const [d, e, f] = [diagonal[k], beside[k], diagonal[k + 1]];
    const twice = 2 * cos * sin * e;
    diagonal[k] = cos * cos * d + twice + sin * sin * f;
    diagonal[k + 1] = sin * sin * d - twice + cos * cos * f;
    beside[k] = cos * sin * (f - d) + (cos * cos - sin * sin) * e;
    if (k > first) beside[k - 1] = r;
    if (k < last - 1) {
      x = beside[k];
      bulge = sin * beside[k + 1];
      beside[k + 1] *= cos;
    }
    for (let i = k * size; i < (k + 1) * size; i++) {
      const y = basis[i];
      const z = basis[i + size];
      basis[i] = cos * y + sin * z;
      basis[i + size] = cos * z - sin * y;
    }
  }
}
