/**
 * What the kernels of gated delta nets have in common.
 *
 * @module
 */

import type { BufferView, Matrix } from "../../gpu/buffers.ts";
import { expectMatrix } from "../shapes.ts";

/** Components of the longest query or key that a delta net computes with. */
export const MAX_KEY_DIM = 256;

/** Threads of a workgroup of the kernels that go element by element, and of those that go by rows. */
export const THREADS = 128;
export const ROW_THREADS = 64;

/** The heads of a delta net. */
export interface DeltaHeads {
  /** Query and key heads; each serves `valueHeads / keyHeads` consecutive value heads. */
  readonly keyHeads: number;
  /** Components of a query or key, at most {@linkcode MAX_KEY_DIM}. */
  readonly keyDim: number;
  readonly valueHeads: number;
  /** Components of a value. */
  readonly valueDim: number;
}

/** Columns of q, and of k. */
export function keyColumns({ keyHeads, keyDim }: DeltaHeads): number {
  return keyHeads * keyDim;
}

/** Columns of v. */
export function valueColumns({ valueHeads, valueDim }: DeltaHeads): number {
  return valueHeads * valueDim;
}

/** Columns of q, k and v beside each other. */
export function channelsOf(heads: DeltaHeads): number {
  return 2 * keyColumns(heads) + valueColumns(heads);
}

/** Where the merged output of the linear layers before a delta net has k, v, z, b and a; q is first. */
export interface MergedColumns {
  readonly k: number;
  readonly v: number;
  readonly z: number;
  readonly b: number;
  readonly a: number;
}

/**
 * Checks the layout of heads.
 *
 * @throws {RangeError} for one that the kernels cannot compute.
 */
export function checkDeltaHeads(kernel: string, heads: DeltaHeads): void {
  const { keyHeads, keyDim, valueHeads, valueDim } = heads;
  if (!(keyDim >= 1 && keyDim <= MAX_KEY_DIM) || valueDim < 1) {
    throw new RangeError(
      `${kernel}: keyDim is ${keyDim} and valueDim ${valueDim}, not from 1 to ${MAX_KEY_DIM} and ` +
        "at least 1",
    );
  }
  if (keyHeads < 1 || valueHeads % keyHeads !== 0) {
    throw new RangeError(
      `${kernel}: valueHeads is ${valueHeads}, not a multiple of keyHeads (${keyHeads})`,
    );
  }
}

/**
 * Checks that columns lie in a merged matrix.
 *
 * @throws {RangeError} if they do not.
 */
export function checkMerged(
  kernel: string,
  name: string,
  matrix: Matrix,
  rows: number,
  ends: readonly number[],
): void {
  expectMatrix(kernel, name, matrix, { rows, cols: matrix.cols });
  const end = Math.max(...ends);
  if (end > matrix.cols) {
    throw new RangeError(`${kernel}: ${name} has ${matrix.cols} columns, not ${end} or more`);
  }
}

/**
 * Checks bounds of documents: u32 [tokens, 2], start and end (exclusive) of each token's document.
 *
 * @throws {RangeError} if there are too few.
 */
export function checkDocuments(kernel: string, documents: BufferView, tokens: number): void {
  if (documents.size < 8 * tokens) {
    throw new RangeError(
      `${kernel}: documents has ${documents.size} bytes, not 8 for each of ${tokens} tokens`,
    );
  }
}
