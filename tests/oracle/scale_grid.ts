/**
 * Matrices of codes with one scale per block, decoded element by element in f64.
 *
 * @module
 */

import type { NumberFormat } from "../../src/numerics/formats.ts";
import { decodeCodes } from "./codes.ts";

/**
 * The values of a matrix [·, cols] of codes.
 *
 * @param scales [⌈rows / block rows⌉, ⌈cols / block cols⌉]
 * @param block Rows and columns that share a scale.
 */
export function decodeBlocks(
  format: NumberFormat,
  codes: Uint8Array,
  cols: number,
  scales: ArrayLike<number>,
  block: readonly [rows: number, cols: number],
): Float64Array {
  const perRow = Math.floor((cols + block[1] - 1) / block[1]);
  return Float64Array.from(decodeCodes(format, codes), (value, i) => {
    const [row, col] = [(i - i % cols) / cols, i % cols];
    const [blockRow, blockCol] = [row - row % block[0], col - col % block[1]];
    return value * scales[blockRow / block[0] * perRow + blockCol / block[1]];
  });
}
