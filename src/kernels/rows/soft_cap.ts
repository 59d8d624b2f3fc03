/**
 * A soft cap of logits, where they are wanted themselves: a loss caps what it reads.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands of {@linkcode softCap}. */
export interface SoftCapOptions {
  /** f32 [rows, cols]: overwritten. */
  values: Matrix;
  /** What magnitudes stay below, positive. */
  cap: number;
}

/** Records `values = cap · tanh(values / cap)`. */
export function softCap(program: Program, { values, cap }: SoftCapOptions): void {
  const { rows, cols, pitch } = values;
  expectMatrix("softCap", "values", values, { rows, cols });
  const vectors = rows * pitch / 4;
  program.dispatch(
    program.device.kernel("soft_cap", { THREADS }),
    { values },
    { vectors, cap },
    linearGrid(vectors, THREADS),
    { bytes: 2 * values.size, label: `${rows}×${cols}` },
  );
}
