/**
 * Rows times a number that is a tensor of the model.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands of {@linkcode scale}. */
export interface ScaleOptions {
  /** f32 [rows, cols]: overwritten. */
  values: Matrix;
  /** f32 [1]. */
  factor: Vector;
}

/** Records `values = values · factor`; its own gradient. */
export function scale(program: Program, { values, factor }: ScaleOptions): void {
  const { rows, cols, pitch } = values;
  expectMatrix("scale", "values", values, { rows, cols });
  expectVector("scale", "factor", factor, 1);
  if (rows === 0) return;
  const vectors = rows * pitch / 4;
  program.dispatch(
    program.device.kernel("scale", { THREADS }),
    { values, factor },
    { vectors },
    linearGrid(vectors, THREADS),
    { bytes: 2 * values.size, label: `${rows}×${cols}` },
  );
}
