/**
 * Adds the partial products of a GEMM that was split along K, in a fixed order, so that results
 * repeat.
 *
 * @module
 */

import { type ColumnBlock, type Matrix, roundUp } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";

/** Operands and options of {@linkcode sumPartials}. */
export interface SumPartialsOptions {
  /** f32 [splits * rows, cols] */
  partials: Matrix;
  splits: number;
  /** f32 [rows, cols] */
  out: ColumnBlock;
  rows: number;
  cols: number;
  /** Add to what `out` holds. */
  accumulate: boolean;
}

/** Records `out (+)= Σ_s partials[s]`, in the order of s. */
export function sumPartials(program: Program, options: SumPartialsOptions): void {
  const { partials, splits, out, rows, cols, accumulate } = options;
  const width = roundUp(cols, 16);
  const vectors = width / 4;
  if (
    partials.rows < splits * rows || partials.pitch < width || out.matrix.rows < rows ||
    out.column + width > out.matrix.pitch
  ) {
    throw new RangeError(
      `Cannot add ${splits} partial products of ${rows}×${cols} in ` +
        `${partials.rows}×${partials.cols} into ${out.matrix.rows}×${out.cols}`,
    );
  }
  program.dispatch(
    program.device.kernel("sum_partials", { ACCUMULATE: accumulate }),
    { partials, out: out.matrix },
    {
      rows,
      vectors,
      pitch: partials.pitch,
      out_pitch: out.matrix.pitch,
      out_column: out.column,
      splits,
    },
    linearGrid(rows * vectors, 64),
  );
}
