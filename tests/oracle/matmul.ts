/**
 * Matrix products of row-major f64 matrices, in the three forms a linear layer needs:
 * NT for its output, NN for the gradient of its input, TN for that of its weight.
 *
 * Everything under `tests/oracle/` is the oracle of the GPU kernels: f64 arithmetic in the
 * plainest order, so that a difference from it is the kernel's rounding or its bug.
 *
 * @module
 */

import { addScaled, dot } from "./vector.ts";

/**
 * C = A·Bᵀ.
 *
 * @param a `[m, k]`.
 * @param b `[n, k]`.
 * @param m Rows of A and C.
 * @param n Rows of B, columns of C.
 * @param k Columns of A and B.
 * @returns C `[m, n]`.
 */
export function matmulNT(
  a: Float64Array,
  b: Float64Array,
  m: number,
  n: number,
  k: number,
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) c[i * n + j] = dot(a, i * k, b, j * k, k);
  }
  return c;
}

/**
 * C = A·B.
 *
 * @param a `[m, k]`.
 * @param b `[k, n]`.
 * @param m Rows of A and C.
 * @param n Columns of B and C.
 * @param k Columns of A, rows of B.
 * @returns C `[m, n]`.
 */
export function matmulNN(
  a: Float64Array,
  b: Float64Array,
  m: number,
  n: number,
  k: number,
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) addScaled(c, i * n, a[i * k + l], b, l * n, n);
  }
  return c;
}

/**
 * C = Aᵀ·B.
 *
 * @param a `[k, m]`.
 * @param b `[k, n]`.
 * @param m Columns of A, rows of C.
 * @param n Columns of B and C.
 * @param k Rows of A and B.
 * @returns C `[m, n]`.
 */
export function matmulTN(
  a: Float64Array,
  b: Float64Array,
  m: number,
  n: number,
  k: number,
): Float64Array {
  const c = new Float64Array(m * n);
  for (let l = 0; l < k; l++) {
    for (let i = 0; i < m; i++) addScaled(c, i * n, a[l * m + i], b, l * n, n);
  }
  return c;
}
