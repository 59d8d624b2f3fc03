/**
 * The inner loops of the host's linear algebra, in f64, in one place because they take most of its
 * time.
 *
 * @module
 */

/**
 * Σ a[aStart + i]·b[bStart + i] over n elements.
 *
 * @param a First array.
 * @param aStart Where it starts.
 * @param b Second array.
 * @param bStart Where it starts.
 * @param n How many elements.
 * @returns The dot product.
 */
export function dot(
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  n: number,
): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[aStart + i] * b[bStart + i];
  return sum;
}

/**
 * `y[yStart + i] += factor · x[xStart + i]` for n elements.
 *
 * @param y The array added to, in place.
 * @param yStart Where it starts.
 * @param factor Multiplies every element of x.
 * @param x The array added.
 * @param xStart Where it starts.
 * @param n How many elements.
 */
export function addScaled(
  y: Float64Array,
  yStart: number,
  factor: number,
  x: Float64Array,
  xStart: number,
  n: number,
): void {
  for (let i = 0; i < n; i++) y[yStart + i] += factor * x[xStart + i];
}

/** Scales the rows of a matrix to the norms given, in place; a row of zeros stays one. */
export function setRowNorms(matrix: Float32Array, norms: Float32Array): void {
  const cols = matrix.length / norms.length;
  norms.forEach((norm, row) => {
    const values = matrix.subarray(row * cols, (row + 1) * cols);
    const old = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
    if (old > 0) { for (let c = 0; c < cols; c++) values[c] *= norm / old; }
  });
}
