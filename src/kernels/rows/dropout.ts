/**
 * Dropout with masks that are computed again wherever they are wanted, and so never stored.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Elements of the state of masks: the number of the micro-batch, and the two words of a key. */
export const DROPOUT_STATE = 3;

/** Operands and options of {@linkcode dropout}. */
export interface DropoutOptions {
  /** f32 [rows, cols] */
  input: Matrix;
  /** f32 [rows, cols] */
  out: Matrix;
  /** u32 [{@linkcode DROPOUT_STATE}] */
  state: Vector;
  /** Which mask of a micro-batch. */
  tensor: number;
  /** The share of elements that becomes zero; the others are divided by what remains. */
  rate: number;
  /** Add to what `out` holds. Default false. */
  accumulate?: boolean;
}

/** Records `out (+)= mask ⊙ input / (1 − rate)`. */
export function dropout(program: Program, options: DropoutOptions): void {
  const { input, out, state, tensor, rate, accumulate = false } = options;
  const { rows, cols, pitch } = input;
  expectMatrix("dropout", "input", input, { rows, cols });
  expectMatrix("dropout", "out", out, { rows, cols });
  expectVector("dropout", "state", state, DROPOUT_STATE, "u32");
  const vectors = pitch / 4;
  program.dispatch(
    program.device.kernel("dropout", { ACCUMULATE: accumulate, THREADS }),
    { input, state, out },
    {
      rows,
      cols,
      vectors,
      tensor,
      threshold: Math.floor(rate * 2 ** 32),
      scale: 1 / (1 - rate),
    },
    linearGrid(rows * vectors, THREADS),
    { bytes: 8 * rows * cols, label: `${rows}×${cols}` },
  );
}

/** Records going on to the masks of the next micro-batch. */
export function countMicroBatch(program: Program, state: Vector): void {
  expectVector("countMicroBatch", "state", state, DROPOUT_STATE, "u32");
  program.dispatch(program.device.kernel("count"), { counter: state }, {}, [1]);
}
