/**
 * Kernels for a FALQON that trains A as well as B: the change of their product as a factor that
 * `updateRows` takes, and B in codes for the gradient of A.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { codeConstants } from "../codes.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import { UPDATE_TYPES } from "./update_format.ts";

/** Threads of a workgroup, and the rows of B that one takes. */
const THREADS = 256;
const BLOCK = 64;

/** Elements of `largest` for a B of so many rows. */
export function largestLength(rows: number): number {
  return Math.ceil(rows / BLOCK);
}

/** The B of a part, and where the rows of the part are in the merged weight. */
export interface PartOfB {
  /** f32 [rows, rank] */
  b: Matrix;
  /** f32: of all rows of the merged weight. */
  scales: Vector;
  /** First row of W. */
  wRow: number;
  /** f32 [{@linkcode largestLength}]: the largest |B| · s_W of some rows each. */
  largest: Vector;
}

/** Operands of {@linkcode productChange}. */
export interface ProductChangeOptions extends PartOfB {
  /** f32 [rows, rank]: what B has changed by. */
  change: Matrix;
  /** First rows of A and of ΔA in the merged weight: multiples of 16. */
  aRow: number;
  secondRow: number;
  /** c */
  loraScale: number;
  /**
   * f32 [rows, 2 · the rank in whole sixteens]: receives `[ΔB | B − ΔB]`, times c and divided by the
   * scales of the rows of A and ΔA.
   */
  factor: Matrix;
}

/**
 * Records the left factor of `c·Δ(B·A) = [ΔB | B_old]·[A; ΔA]` after a step of the optimizer, and
 * `largest`.
 */
export function productChange(program: Program, options: ProductChangeOptions): void {
  const { b, change, scales, wRow, aRow, secondRow, largest, factor } = options;
  const { rows, cols, pitch } = b;
  checkPart("productChange", options);
  expectMatrix("productChange", "change", change, { rows, cols });
  expectMatrix("productChange", "factor", factor, { rows, cols: 2 * pitch });
  const end = Math.max(wRow + rows, aRow + pitch, secondRow + pitch);
  if (aRow % 16 || secondRow % 16 || end > scales.length) {
    throw new RangeError(
      `productChange: rows of A from ${aRow} and ${secondRow} on are no multiples of 16, ` +
        `or not all among ${scales.length}`,
    );
  }
  program.dispatch(
    program.device.kernel("falqon_product", { THREADS }),
    { b, change, scales, factor, largest },
    {
      rows,
      vectors: pitch / 4,
      w_row: wRow,
      a_row: aRow,
      second_row: secondRow,
      lora_scale: options.loraScale,
    },
    [Math.ceil(rows / BLOCK)],
    { bytes: 2 * b.size + factor.size },
  );
}

/** Operands of {@linkcode codesOfB}. */
export interface CodesOfBOptions extends PartOfB {
  /** Codes [rows of all A, width of the merged layer], of which this part's rows are written. */
  codes: Matrix;
  /** The first of these: a multiple of 16. */
  first: number;
  /** f32 [rows of all A]: receives the scale of this part's rows of codes. */
  columnScales: Vector;
  /** Whether it receives 1 / scale instead. */
  inverse: boolean;
}

/**
 * Records `codes[first + j][wRow + i] = encode(scale · s_W[wRow + i] · B[i][j])`, zero outside the
 * part: the right operand of G·B for a G in codes whose columns are divided by the scales of W.
 */
export function codesOfB(program: Program, options: CodesOfBOptions): void {
  const { b, scales, wRow, largest, codes, first, columnScales } = options;
  const { rows, pitch } = b;
  checkPart("codesOfB", options);
  expectMatrix("codesOfB", "codes", codes, { ...codes, types: UPDATE_TYPES });
  expectVector("codesOfB", "columnScales", columnScales, codes.rows);
  if (first + pitch > codes.rows || wRow + rows > Math.min(codes.cols, scales.length)) {
    throw new RangeError(
      `codesOfB: ${pitch} rows from ${first} on and ${rows} columns from ${wRow} on ` +
        `are not all inside ${codes.rows}×${codes.cols}`,
    );
  }
  const words = codes.pitch / 4;
  program.dispatch(
    program.device.kernel("falqon_codes_of_b", {
      ...codeConstants(codes.type),
      THREADS,
      INVERSE: options.inverse,
    }),
    { b, scales, largest, codes, column_scales: columnScales },
    { rows, b_pitch: pitch, w_row: wRow, first, words, blocks: largestLength(rows) },
    [Math.ceil(words / 16), Math.ceil(pitch / 64)],
    { bytes: b.size + pitch * codes.pitch },
  );
}

function checkPart(kernel: string, { b, largest }: PartOfB): void {
  const { rows, cols } = b;
  expectMatrix(kernel, "b", b, { rows, cols });
  expectVector(kernel, "largest", largest, largestLength(rows));
}
