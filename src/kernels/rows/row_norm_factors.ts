/**
 * The factors by which the rows of a matrix get given norms: DoRA's, from the changed weight and the
 * trained magnitudes.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectType, threadsForRow } from "../shapes.ts";

/** Operands of {@linkcode rowNormFactors}, all f32. */
export interface RowNormFactorsOptions {
  /** [rows, cols] */
  input: Matrix;
  /** [1, rows] */
  magnitude: Matrix;
  /** Elements from `first` on: receive `magnitude / ‖row‖`, 1 for a row of zeros. */
  factors: Vector;
  /** Elements from `first` on: receive `1 / ‖row‖`, 0 for a row of zeros. */
  inverse: Vector;
  /** Default 0. */
  first?: number;
}

/** Records the factors of every row. */
export function rowNormFactors(program: Program, options: RowNormFactorsOptions): void {
  const { input, magnitude, factors, inverse, first = 0 } = options;
  const { rows, cols, pitch } = input;
  expectMatrix("rowNormFactors", "input", input, { rows, cols });
  expectMatrix("rowNormFactors", "magnitude", magnitude, { rows: 1, cols: rows });
  for (const [name, vector] of Object.entries({ factors, inverse })) {
    expectType("rowNormFactors", name, vector.type, ["f32"]);
    if (first + rows > vector.length) {
      throw new RangeError(
        `rowNormFactors: ${name} has ${vector.length} elements, not ${first + rows}`,
      );
    }
  }
  if (rows === 0) return;
  program.dispatch(
    program.device.kernel("row_norm_factors", { THREADS: threadsForRow(pitch) }),
    { input, magnitude, factors, inverse },
    { rows, vectors: pitch / 4, first },
    linearGrid(rows, 1),
    { bytes: 4 * rows * cols, label: `${rows}×${cols}` },
  );
}
