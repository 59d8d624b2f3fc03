/**
 * The weight that an update of FALQON changes, its factors, and what its rows start from, as
 * kernels for any kind of core take them.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import { UPDATE_TYPES } from "./update_format.ts";

/** The part of a merged weight that one adapter changes. */
export interface AdaptedPart {
  /** Codes of the merged weight and all its A rows. */
  weight: Matrix;
  /** First row of W and of A in it. */
  wRow: number;
  aRow: number;
  /**
   * First row of the second half of A's rows, where they do not follow the first half: a product of
   * which both factors have changed is one of twice the rank.
   */
  secondRow?: number;
  /** Rows of W. */
  rows: number;
  rank: number;
  /** f32 [rows]: s_W[i] / s_W[0] */
  rowFactors: Vector;
  /** f32 [rank]: c · s_W[0] / s_A[j] */
  columnFactors: Vector;
  /** f32 [rows, rank]: B, or what the optimizer changed it by. */
  b: Matrix;
}

/** Which rows are written. */
export interface Selection {
  /** u32 [count] */
  rows: Vector;
  count: number;
}

/**
 * Where written rows start from: frozen codes, their first row given; the weight's own codes; or what
 * these were before training, which they tell together with B before its last change, f32 [rows,
 * rank], and the thresholds that they were rounded by.
 */
export type UpdateBase = { codes: Matrix; row: number } | "in place" | { change: Matrix };

/** Whether rows start from the weight's own codes, as they are or as they were. */
export function isInPlace(base: UpdateBase): base is Exclude<UpdateBase, { codes: Matrix }> {
  return base === "in place" || "change" in base;
}

/** B's last change, where the codes before training are to be recovered; else undefined. */
export function changeOf(base: UpdateBase): Matrix | undefined {
  return base !== "in place" && "change" in base ? base.change : undefined;
}

/** Sets of sums that an update makes: with B as it is, and where codes are recovered also with B before. */
export function setsOf(base: UpdateBase): 1 | 2 {
  return changeOf(base) ? 2 : 1;
}

/** Checks that a part and what its rows start from lie inside their codes. */
export function checkPart(
  kernel: string,
  { weight, wRow, aRow, secondRow, rows, rank, rowFactors, columnFactors, b }: AdaptedPart,
  base: UpdateBase,
  selection: Selection | null,
): void {
  expectMatrix(kernel, "weight", weight, { ...weight, types: UPDATE_TYPES });
  expectMatrix(kernel, "b", b, { rows, cols: rank });
  expectVector(kernel, "rowFactors", rowFactors, rows);
  expectVector(kernel, "columnFactors", columnFactors, rank);
  const halves = secondRow !== undefined;
  if (halves && rank % 2 > 0) throw new RangeError(`${kernel}: a rank of ${rank} has no halves`);
  const aEnd = halves ? Math.max(aRow, secondRow) + rank / 2 : aRow + rank;
  if (Math.max(wRow + rows, aEnd) > weight.rows) {
    throw new RangeError(
      `${kernel}: ${rows} rows from ${wRow} on and ${rank} from ${aRow} on are not all ` +
        `among the ${weight.rows} of the weight`,
    );
  }
  const change = changeOf(base);
  if (change) expectMatrix(kernel, "change", change, { rows, cols: rank });
  if (!isInPlace(base)) {
    const { rows: height } = base.codes;
    const { cols, type } = weight;
    expectMatrix(kernel, "base", base.codes, { rows: height, cols, types: [type] });
    if (base.row + rows > height) {
      throw new RangeError(
        `${kernel}: ${rows} rows from ${base.row} on are not all among the ${height} of the base`,
      );
    }
  }
  if (selection) checkSelection(kernel, selection, rows);
}

/** Checks that a selection fits its buffer and the rows it is taken from. */
export function checkSelection(kernel: string, { rows, count }: Selection, among: number): void {
  if (count > among || count > rows.length) {
    throw new RangeError(
      `${kernel}: a selection of ${count} rows does not fit ${rows.length} places ` +
        `and ${among} rows`,
    );
  }
}
