/**
 * Columns of one matrix as columns of another.
 *
 * @module
 */

import { type ColumnBlock, ELEMENT_BYTES } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** Operands of {@linkcode copyColumns}: two matrices, in memory of their own. */
export interface CopyColumnsOptions {
  /** [rows, cols], f32 or f16. */
  from: ColumnBlock;
  /** Of the same size and type, in another matrix; the columns beside are not touched. */
  to: ColumnBlock;
  /** Factor of f32. Default 1: the bits are copied. */
  factor?: number;
  /** Whether f32 is added to what is there. Default false. */
  accumulate?: boolean;
}

/**
 * Records `to = factor · from`, or `to += from`.
 *
 * @throws {RangeError} for blocks that differ in size or do not fit their matrices.
 * @throws {TypeError} for blocks of other types, or for arithmetic in f16.
 */
export function copyColumns(
  program: Program,
  { from, to, factor = 1, accumulate = false }: CopyColumnsOptions,
): void {
  const { rows, type } = from.matrix;
  const bytes = ELEMENT_BYTES[type];
  const mode = accumulate ? "added" : factor === 1 ? "copied" : "scaled";
  if (to.matrix.type !== type || !["f32", "f16"].includes(type)) {
    throw new TypeError(`copyColumns: cannot copy ${type} to ${to.matrix.type}`);
  }
  if (mode !== "copied" && (type !== "f32" || (accumulate && factor !== 1))) {
    throw new TypeError(`copyColumns: columns of ${type} cannot be ${mode} by ${factor}`);
  }
  if (to.matrix.rows !== rows || to.cols !== from.cols) {
    throw new RangeError(
      `copyColumns: cannot copy ${rows}×${from.cols} to ${to.matrix.rows}×${to.cols}`,
    );
  }
  for (const { matrix, column, cols } of [from, to]) {
    const even = [column, cols].every((count) => count * bytes % 4 === 0);
    if (column + cols > matrix.cols || !even) {
      throw new RangeError(
        `copyColumns: ${cols} columns from ${column} on do not fit ${matrix.cols} of ${type}`,
      );
    }
  }
  if (rows * from.cols === 0) return;
  const words = (count: number) => count * bytes / 4;
  const cols = words(from.cols);
  program.dispatch(
    program.device.kernel("columns", { THREADS, MODE: mode }),
    { source: from.matrix, target_columns: to.matrix },
    {
      rows,
      cols,
      column: words(from.column),
      pitch: words(from.matrix.pitch),
      to_column: words(to.column),
      to_pitch: words(to.matrix.pitch),
      factor,
    },
    linearGrid(rows * cols, THREADS),
    { bytes: 2 * bytes * rows * from.cols, label: `${rows}×${from.cols}` },
  );
}
