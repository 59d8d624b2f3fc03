/**
 * The block Hadamard transform that rotates the rows of a matrix before they are rounded, so that
 * an outlier is spread over its block instead of deciding the scale of its row (arXiv 2404.00456,
 * 2502.01625).
 *
 * Each block of `n` columns is multiplied by Sylvester's matrix, normalised: element (i, j) is ±1/√n,
 * negative where i and j share an odd number of ones. The matrix is symmetric and its own inverse, so
 * `(x·H)·(w·H)ᵀ = x·wᵀ`, and rotating twice gives back what was there.
 *
 * @module
 */

/** The largest block: larger ones spread outliers little further, and cost more. */
export const LARGEST_ROTATION = 256;

/**
 * The block that rows of `width` columns are rotated by: the largest power of two up to
 * {@linkcode LARGEST_ROTATION} that divides the width. 1 for an odd width, which is not rotated.
 */
export function rotationBlock(width: number): number {
  let block = 1;
  while (block < LARGEST_ROTATION && width % (2 * block) === 0) block *= 2;
  return block;
}

/**
 * The order in which the transform adds and subtracts values that are this far apart: it decides the
 * last bits, and lets the kernels (`wgsl/rows/hadamard.wgsl`) load and store whole runs of memory.
 */
const DISTANCES = [1, 2, 64, 128, 4, 8, 16, 32];

/**
 * Rotates rows in place, in f32: bit for bit what the kernels compute.
 *
 * @param values Whole rows of a width that `block` divides.
 * @param block A power of two up to {@linkcode LARGEST_ROTATION}; 1 changes nothing.
 * @returns The same array.
 */
export function rotateValues(
  values: Float32Array<ArrayBuffer>,
  block: number,
): Float32Array<ArrayBuffer> {
  const factor = Math.fround(1 / Math.sqrt(block));
  for (const distance of DISTANCES.filter((distance) => distance < block)) {
    for (let i = 0; i < values.length; i++) {
      if (i & distance) continue;
      const [a, b] = [values[i], values[i + distance]];
      values[i] = a + b;
      values[i + distance] = a - b;
    }
  }
  for (let i = 0; i < values.length; i++) values[i] *= factor;
  return values;
}
