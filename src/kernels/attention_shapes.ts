/**
 * What the attention kernels ask of their operands.
 *
 * @module
 */

import type { ColumnBlock } from "../gpu/buffers.ts";

/** How many heads attention has, and their size. */
export interface AttentionHeads {
  /** Query heads. */
  heads: number;
  /** Key and value heads; query head h reads key head ⌊h · kvHeads / heads⌋. */
  kvHeads: number;
  /** Components of a head: even, at most 128. */
  headDim: number;
}

/**
 * Checks the head layout.
 *
 * @param kernel Name of the recorder, for the message.
 * @throws {RangeError} for a layout that the kernels cannot compute.
 */
export function checkHeads(kernel: string, { heads, kvHeads, headDim }: AttentionHeads): void {
  if (headDim % 2 || !(headDim >= 2 && headDim <= 128)) {
    throw new RangeError(`${kernel}: headDim is ${headDim}, not an even number from 2 to 128`);
  }
  if (!(kvHeads >= 1 && kvHeads <= heads)) {
    throw new RangeError(`${kernel}: kvHeads is ${kvHeads}, not from 1 to heads (${heads})`);
  }
}

/**
 * Checks a block of heads: f32, at an even column, inside its matrix.
 *
 * @param kernel Name of the recorder, for the message.
 * @param name Name of the operand, for the message.
 * @throws {TypeError} for another element type.
 * @throws {RangeError} for another shape.
 */
export function checkBlock(
  kernel: string,
  name: string,
  { matrix, column, cols }: ColumnBlock,
  rows: number,
  width: number,
): void {
  if (matrix.type !== "f32") throw new TypeError(`${kernel}: ${name} is ${matrix.type}, not f32`);
  if (matrix.rows !== rows || cols !== width) {
    throw new RangeError(`${kernel}: ${name} is ${matrix.rows}×${cols}, not ${rows}×${width}`);
  }
  if (column % 2 || column + cols > matrix.cols) {
    throw new RangeError(
      `${kernel}: ${name} has the columns ${column} to ${column + cols}, ` +
        `which must start evenly and end by ${matrix.cols}`,
    );
  }
}
