/**
 * What the attention kernels ask of their operands.
 *
 * @module
 */

import type { BufferView, ColumnBlock, ElementType, Matrix } from "../../gpu/buffers.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { expectType } from "../shapes.ts";
import type { RopeAngles } from "./rope_angles.ts";

/** Components of the widest head that attention computes. */
export const MAX_HEAD_DIM = 512;

/** How many heads attention has, and their size. */
export interface AttentionHeads {
  /** Query heads. */
  heads: number;
  /** Key and value heads; query head h reads key head ⌊h · kvHeads / heads⌋. */
  kvHeads: number;
  /** Components of a head: even, at most {@linkcode MAX_HEAD_DIM}. */
  headDim: number;
}

/** What scores are made of q·k. */
export interface AttentionScores {
  /** The factor of q·k. Default 1 / √headDim. */
  scale?: number;
  /** c where scaled scores become c · tanh(score / c). Default none. */
  softCap?: number | null;
}

/** Element types in which q, k and v may be: both are computed with in f32, or on tensor cores in f16. */
export const QKV_TYPES: readonly ElementType[] = ["f32", "f16"];

/** What both directions of attention read: q, k and v are columns of one matrix, f32 or f16. */
export interface AttentionInputs extends AttentionHeads, AttentionScores {
  /** [tokens, heads · headDim], rotated. Blocks start at an even column. */
  q: ColumnBlock;
  /** [tokens, kvHeads · headDim], rotated. */
  k: ColumnBlock;
  /** [tokens, kvHeads · headDim]. */
  v: ColumnBlock;
  /**
   * u32 [tokens, 2]: start and end (exclusive) of each token's document, neither ever decreasing.
   * Token t attends to the tokens from its start to t. Under a sliding window: the first token that
   * it sees, and the one behind the last that sees it.
   */
  documents: BufferView;
}

/** Operands of `attentionForward`. */
export interface AttentionForwardOptions extends AttentionInputs {
  /** Receives [tokens, heads · headDim], f32 or f16. */
  output: Matrix;
  /** Receives f32 [tokens, heads]: log Σ exp of each query's scaled scores, for the backward. */
  logSumExp: Matrix;
}

/** Operands of `attentionBackward`. */
export interface AttentionBackwardOptions extends AttentionInputs {
  /** What the forward wrote, [tokens, heads · headDim]. */
  output: Matrix;
  /** What the forward wrote, f32 [tokens, heads]. */
  logSumExp: Matrix;
  /** Gradient of the output, f32 [tokens, heads · headDim]. */
  dOutput: Matrix;
  /**
   * The angles by which `rope` rotated q and k. With them dQ and dK are the gradients of what was
   * rotated: they are rotated back while they are written, in f32.
   */
  rotation?: RopeAngles;
  /** Receives the gradient of q. dQ, dK and dV are columns of one matrix, overwritten. */
  dQ: ColumnBlock;
  /** Receives the gradient of k. */
  dK: ColumnBlock;
  /** Receives the gradient of v. */
  dV: ColumnBlock;
}

/** The factor of q·k that is asked for. */
export function scaleOf(
  { headDim, scale = 1 / Math.sqrt(headDim) }: AttentionHeads & AttentionScores,
): number {
  return scale;
}

/** The soft cap that is asked for, as kernels want it: in units of log 2, like their scores. */
export function capOf({ softCap = null }: AttentionScores): {
  constants: KernelConstants;
  params: Record<string, number>;
} {
  return {
    constants: { SOFT_CAP: softCap !== null },
    params: softCap === null ? {} : { soft_cap: softCap * Math.LOG2E },
  };
}

/**
 * Checks the head layout.
 *
 * @param kernel Name of the recorder, for the message.
 * @throws {RangeError} for a layout that the kernels cannot compute.
 */
export function checkHeads(kernel: string, { heads, kvHeads, headDim }: AttentionHeads): void {
  if (headDim % 2 || !(headDim >= 2 && headDim <= MAX_HEAD_DIM)) {
    throw new RangeError(
      `${kernel}: headDim is ${headDim}, not an even number from 2 to ${MAX_HEAD_DIM}`,
    );
  }
  if (!(kvHeads >= 1 && kvHeads <= heads)) {
    throw new RangeError(`${kernel}: kvHeads is ${kvHeads}, not from 1 to heads (${heads})`);
  }
}

/**
 * Checks a block of heads: of an element type that does, at an even column, inside its matrix.
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
  types: readonly ElementType[] = ["f32"],
): void {
  expectType(kernel, name, matrix.type, types);
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

/**
 * Checks that blocks are columns of one matrix.
 *
 * @param kernel Name of the recorder, for the message.
 * @throws {RangeError} for blocks of several matrices.
 */
export function checkOneMatrix(
  kernel: string,
  blocks: Readonly<Record<string, ColumnBlock>>,
): void {
  const [[firstName, { matrix: first }], ...others] = Object.entries(blocks);
  for (const [name, { matrix }] of others) {
    if (matrix.buffer !== first.buffer || matrix.offset !== first.offset) {
      throw new RangeError(`${kernel}: ${name} is in another matrix than ${firstName}`);
    }
  }
}

/**
 * Checks heads, q, k, v and documents.
 *
 * @param kernel Name of the recorder, for the message.
 * @returns the number of tokens.
 */
export function checkInputs(kernel: string, inputs: AttentionInputs): number {
  const { q, k, v, documents, heads, kvHeads, headDim } = inputs;
  checkHeads(kernel, inputs);
  const tokens = q.matrix.rows;
  checkBlock(kernel, "q", q, tokens, heads * headDim, QKV_TYPES);
  checkBlock(kernel, "k", k, tokens, kvHeads * headDim, [q.matrix.type]);
  checkBlock(kernel, "v", v, tokens, kvHeads * headDim, [q.matrix.type]);
  checkOneMatrix(kernel, { q, k, v });
  if (documents.size < 8 * tokens) {
    throw new RangeError(
      `${kernel}: documents has ${documents.size} bytes, not 8 for each of ${tokens} tokens`,
    );
  }
  return tokens;
}
