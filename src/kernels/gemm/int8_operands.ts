/**
 * The operands of a product of int8 codes: panels as they are stored, the right one transposed where
 * the contraction runs over its rows.
 *
 * @module
 */

import { type ColumnBlock, columnsOf, PANEL, roundUp } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { I8_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import type { GemmOperands, OperandShape } from "./operands.ts";
import { transposeCodes } from "./transpose_codes.ts";
import { type GemmTile, type GemmVariant, WORDS } from "./variants.ts";

/** The longest contraction whose sums are sure to fit an i32: k · 127² < 2³¹. */
export const LONGEST_SUM = 133_000;

/**
 * The operands in panels.
 *
 * Steps of 64 go beyond a contraction of another length: there, one operand must be zero. A matrix
 * is, as is a block of columns that reaches its end; transposed codes always are.
 *
 * @throws {RangeError} for what the kernels do not take: the layout `tn`, columns that begin inside
 * a panel, or both operands ending inside one; a contraction that is empty or too long.
 */
export function int8Operands(
  program: Program,
  a: ColumnBlock,
  b: ColumnBlock,
  { k, aByK, bByK, variant }: OperandShape,
): GemmOperands {
  const problem = aByK
    ? "the contraction runs over the rows of a (layout tn)"
    : k === 0 || k > LONGEST_SUM
    ? `the contraction has the length ${k}, not 1 to ${LONGEST_SUM}`
    : [a, b].some(({ column }) => column % PANEL.cols !== 0)
    ? `columns from ${a.column} and ${b.column} on begin inside a panel: give multiples of ${PANEL.cols}`
    : !bByK && [a, b].every(endsInside)
    ? `columns of both operands end inside a panel: give multiples of ${PANEL.cols}`
    : null;
  if (problem) throw new RangeError(`Cannot multiply int8 codes as ${problem}`);
  const right = bByK ? columnsOf(transposeCodes(program, b, k)) : b;
  return {
    bindings: { a: a.matrix, b: right.matrix },
    constants: {
      PACKED: false,
      PACKED_DOT: program.device.hasPackedDot,
      ...kernelConstants(program, variant, roundUp(k, PANEL.cols)),
    },
    params: {
      ...(variant.kernel !== "gemm_int8_tensor" && { k: roundUp(k, PANEL.cols), split_k: 0 }),
      a_pitch: a.matrix.pitch,
      a_column: a.column,
      b_pitch: right.matrix.pitch,
      b_column: right.column,
    },
    factor: 1,
  };
}

/** Whether columns of other values follow the last one in its panel. */
function endsInside({ matrix, column, cols }: ColumnBlock): boolean {
  return cols % PANEL.cols !== 0 && column + cols < matrix.cols;
}

function kernelConstants(
  { device }: Program,
  { kernel, tile }: GemmVariant,
  k: number,
): KernelConstants {
  if (kernel === "gemm_int8_tensor") {
    return { FIXED_K: true, K: k, EMULATE: !supportsMatrix(device, I8_MATRIX) };
  }
  if (kernel === "gemm_int8_rows") return { FIXED_K: false };
  return {
    FIXED_K: false,
    A_GUARDED: isGuarded(tile, tile.BM),
    B_GUARDED: isGuarded(tile, tile.BN),
    ROLLED: tile.AT_ONCE !== WORDS,
  };
}

/** Whether some threads have nothing to fetch of so many rows. */
function isGuarded({ BM, BN, TM, TN }: GemmTile, rows: number): boolean {
  return rows % ((BM / TM) * (BN / TN)) !== 0;
}
