/**
 * The scales of a matrix that is stored as codes: one for each block of some rows and columns, from
 * one per row, or per 128 × 128 elements, up to one for all. The value of a code in row r and column c
 * is `decode(code) · scales[⌊r / rowsPerBlock⌋][⌊c / colsPerBlock⌋]`; the last blocks of a row and of
 * a column may be cut. Whatever reads codes of a file uses the functions here.
 *
 * @module
 */

import { codecOf, type NumberFormat } from "./formats.ts";

/** How many rows and columns of a matrix share a scale. */
export type BlockShape = readonly [rows: number, cols: number];

/** The scales of a matrix of codes. */
export interface ScaleGrid {
  /** f32 [⌈rows / rowsPerBlock⌉, ⌈cols / colsPerBlock⌉] */
  readonly scales: Float32Array<ArrayBuffer>;
  readonly block: BlockShape;
}

/** The number of scales along both sides of a matrix. */
export function gridShape(
  [rows, cols]: readonly [rows: number, cols: number],
  [rowsPerBlock, colsPerBlock]: BlockShape,
): [number, number] {
  return [Math.ceil(rows / rowsPerBlock), Math.ceil(cols / colsPerBlock)];
}

/**
 * The scale of each row, f32 [rows]; null where rows have several that differ.
 *
 * @param shape Of the matrix.
 */
export function rowScales(
  grid: ScaleGrid,
  shape: readonly [rows: number, cols: number],
): Float32Array<ArrayBuffer> | null {
  const largest = largestRowScales(grid, shape);
  const [, perRow] = gridShape(shape, grid.block);
  const isOne = perRow === 1 ||
    grid.scales.every((scale, i) => scale === largest[Math.floor(i / perRow) * grid.block[0]]);
  return isOne ? largest : null;
}

/**
 * The largest scale of each row, f32 [rows]: under it every value of the row is within the range of
 * the codes.
 *
 * @param shape Of the matrix.
 */
export function largestRowScales(
  { scales, block }: ScaleGrid,
  shape: readonly [rows: number, cols: number],
): Float32Array<ArrayBuffer> {
  const [, perRow] = gridShape(shape, block);
  return Float32Array.from({ length: shape[0] }, (_, row) => {
    const first = Math.floor(row / block[0]) * perRow;
    return scales.subarray(first, first + perRow).reduce((a, b) => Math.max(a, b), 0);
  });
}

/**
 * The same scales with blocks of one row, f32 [rows, ⌈cols / colsPerBlock⌉], for rows that are to be
 * moved.
 *
 * @param shape Of the matrix.
 */
export function gridByRow(
  { scales, block: [rowsPerBlock, colsPerBlock] }: ScaleGrid,
  [rows, cols]: readonly [rows: number, cols: number],
): ScaleGrid {
  const perRow = Math.ceil(cols / colsPerBlock);
  const byRow = new Float32Array(rows * perRow);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(row / rowsPerBlock) * perRow;
    byRow.set(scales.subarray(first, first + perRow), row * perRow);
  }
  return { scales: byRow, block: [1, colsPerBlock] };
}

/**
 * Decodes rows `first` to `first + count`.
 *
 * @param codes Of the whole matrix, [rows, cols].
 * @returns f32 [count, cols]
 */
export function decodeRows(
  format: NumberFormat,
  codes: Uint8Array,
  { scales, block: [rowsPerBlock, colsPerBlock] }: ScaleGrid,
  cols: number,
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const table = codecOf(format).values();
  const perRow = Math.ceil(cols / colsPerBlock);
  const values = new Float32Array(count * cols);
  for (let row = first, i = 0; row < first + count; row++) {
    const scaleRow = Math.floor(row / rowsPerBlock) * perRow;
    for (let block = 0; block < perRow; block++) {
      const scale = scales[scaleRow + block];
      const end = (row - first) * cols + Math.min(cols, (block + 1) * colsPerBlock);
      for (; i < end; i++) values[i] = table[codes[first * cols + i]] * scale;
    }
  }
  return values;
}
