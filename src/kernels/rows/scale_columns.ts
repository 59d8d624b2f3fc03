/**
 * Columns of a matrix times factors: what DoRA does to the output of a layer, and to its gradient.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands of {@linkcode scaleColumns}, all f32. */
export interface ScaleColumnsOptions {
  /** [rows, cols] */
  input: Matrix;
  /** [cols, rounded up to 16] */
  factors: Vector;
  /** [cols, rounded up to 16], zero behind the columns; times `biasFactor`, added to every row. */
  bias?: Vector;
  /** Default 1. */
  biasFactor?: number;
  /** [rows, cols], added. */
  addend?: Matrix;
  /** [rows, cols] */
  out: Matrix;
}

/** Records `out = input ⊙ factors (+ biasFactor · bias) (+ addend)`. */
export function scaleColumns(program: Program, options: ScaleColumnsOptions): void {
  const { input, factors, bias, biasFactor = 1, addend, out } = options;
  const { rows, cols, pitch } = input;
  for (const [name, matrix] of Object.entries({ input, out, ...(addend && { addend }) })) {
    expectMatrix("scaleColumns", name, matrix, { rows, cols });
  }
  expectVector("scaleColumns", "factors", factors, pitch);
  if (bias) expectVector("scaleColumns", "bias", bias, pitch);
  if (rows === 0 || cols === 0) return;
  program.dispatch(
    program.device.kernel("scale_columns", { BIAS: !!bias, ADDEND: !!addend, THREADS }),
    { input, factors, out, ...(bias && { bias }), ...(addend && { addend }) },
    { rows, vectors: pitch / 4, bias_factor: biasFactor },
    linearGrid(rows * pitch / 4, THREADS),
    { bytes: 4 * rows * cols * (addend ? 3 : 2), label: `${rows}×${cols}` },
  );
}
