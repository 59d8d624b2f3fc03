/**
 * The weight that an update of FALQON changes, and its factors, as kernels for any kind of core
 * take them.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";

/** The part of a merged FP8 weight that one adapter changes. */
export interface AdaptedPart {
  /** e4m3 codes of the merged weight and all its A rows. */
  weight: Matrix;
  /** First row of W and of A in it. */
  wRow: number;
  aRow: number;
  /** Rows of W. */
  rows: number;
  rank: number;
  /** f32 [rows]: s_W[i] / s_W[0] */
  rowFactors: Vector;
  /** f32 [rank]: c · s_W[0] / s_A[j] */
  columnFactors: Vector;
  /** f32 [rows, rank] */
  b: Matrix;
}
