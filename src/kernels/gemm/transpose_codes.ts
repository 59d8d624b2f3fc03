/**
 * Transposes int8 codes, from panels to panels, for a product whose contraction runs over their
 * rows: tensor cores and packed dot products take bytes with the contraction contiguous.
 *
 * @module
 */

import { type ColumnBlock, type Matrix, PANEL } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { FORMATS } from "../../numerics/formats.ts";

/**
 * Records `out[x, k] = block[k, x]` of the first `k` rows into scratch, zero from column k to the
 * pitch.
 *
 * @param block int8 [k or more, x], from a column that is a multiple of 64.
 * @returns int8 [x, k], valid until the next product of the program that transposes.
 */
export function transposeCodes(
  program: Program,
  { matrix, column, cols }: ColumnBlock,
  k: number,
): Matrix {
  const transposed = program.scratch(cols, k, "transposed codes", FORMATS.int8.name, "model");
  program.dispatch(
    program.device.kernel("transpose_int8"),
    { codes: matrix, transposed },
    { k, in_pitch: matrix.pitch, in_column: column, out_pitch: transposed.pitch },
    [Math.ceil(cols / PANEL.cols), Math.ceil(k / PANEL.rows)],
    { label: `${k}×${cols}` },
  );
  return transposed;
}
