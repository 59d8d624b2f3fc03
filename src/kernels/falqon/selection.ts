/**
 * Which rows an update of FALQON writes, and the bookkeeping of what is written. The rules and
 * their arithmetic: tests/oracle/falqon_update.ts.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import { type AdaptedPart, checkSelection, type Selection } from "./adapted_part.ts";

/** Operands and options of {@linkcode scoreRows}. */
export interface ScoreRowsOptions {
  /** f32 [rows, rank] */
  b: Matrix;
  /** f32 [rows]: receives Σ_j |pending|. */
  scores: Vector;
  /** What the codes already hold of b, and room for the rest; without them all of b is pending. */
  pending?: { flushed: Matrix; delta: Matrix };
}

/** Records how much is pending in each row of B. */
export function scoreRows(program: Program, { b, scores, pending }: ScoreRowsOptions): void {
  const { rows, cols } = b;
  expectVector("scoreRows", "scores", scores, rows);
  for (const [name, matrix] of Object.entries({ b, ...pending })) {
    expectMatrix("scoreRows", name, matrix, { rows, cols });
  }
  program.dispatch(
    program.device.kernel("falqon_scores", { FLUSHED: !!pending }),
    { b, scores, ...pending },
    { rows, rank: cols, pitch: b.pitch },
    [Math.ceil(rows / 64)],
  );
}

/** Records the choice of the rows with the largest scores, the lower index first among equals. */
export function selectRows(program: Program, scores: Vector, selection: Selection): void {
  const rows = scores.length;
  checkSelection("selectRows", selection, rows);
  program.dispatch(
    program.device.kernel("falqon_select"),
    { scores, selected: selection.rows },
    { rows, count: selection.count },
    [Math.ceil(rows / 128)],
  );
}

/** Operands and options of {@linkcode markFlushed}. */
export interface MarkFlushedOptions {
  b: Matrix;
  selection: Selection;
  flushed: Matrix;
  delta: Matrix;
}

/** Records that nothing of the written rows is pending any more. */
export function markFlushed(program: Program, options: MarkFlushedOptions): void {
  const { b, selection, flushed, delta } = options;
  const { count } = selection;
  for (const [name, matrix] of Object.entries({ b, flushed, delta })) {
    expectMatrix("markFlushed", name, matrix, { rows: b.rows, cols: b.cols });
  }
  checkSelection("markFlushed", selection, b.rows);
  program.dispatch(
    program.device.kernel("falqon_flush", { RESIDUE: false }),
    { selected: selection.rows, b, flushed, delta },
    { count, rank: b.cols, pitch: b.pitch },
    linearGrid(count * b.cols, 64),
  );
}

/** Operands and options of {@linkcode subtractRealized}. */
export interface SubtractRealizedOptions {
  part: AdaptedPart;
  selection: Selection;
  /** f32 [count, rank]: the realized change as coefficients of A~. */
  realized: Matrix;
}

/** Records that the written rows of B keep only what rounding did not realize. */
export function subtractRealized(program: Program, options: SubtractRealizedOptions): void {
  const { part: { b, rowFactors, columnFactors }, selection, realized } = options;
  const { rows, cols } = b;
  expectMatrix("subtractRealized", "b", b, { rows, cols });
  expectMatrix("subtractRealized", "realized", realized, { rows: selection.count, cols });
  expectVector("subtractRealized", "rowFactors", rowFactors, rows);
  expectVector("subtractRealized", "columnFactors", columnFactors, cols);
  checkSelection("subtractRealized", selection, rows);
  program.dispatch(
    program.device.kernel("falqon_flush", { RESIDUE: true }),
    {
      selected: selection.rows,
      b,
      residue: realized,
      row_factors: rowFactors,
      column_factors: columnFactors,
    },
    { count: selection.count, rank: cols, pitch: b.pitch },
    linearGrid(selection.count * cols, 64),
  );
}
