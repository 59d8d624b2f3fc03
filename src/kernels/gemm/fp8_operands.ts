/**
 * The operands of a product of FP8 codes on tensor cores, in panels as the kernels that make them
 * can leave them.
 *
 * @module
 */

import { type ColumnBlock, PANEL, roundUp } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import { formatOf } from "../../numerics/formats.ts";
import type { GemmOperands, OperandShape } from "./operands.ts";

/**
 * The operands in panels, both matrices with their rows rounded up to a multiple of 128 in memory.
 *
 * Steps of 64 go beyond a contraction of another length: there, the columns of `a` must be zero, as
 * they are behind the last of a matrix.
 *
 * @throws {RangeError} for what the kernel does not take: the layout `tn`, columns that begin
 * inside a panel, or columns of `a` that end inside one.
 */
export function fp8Operands(
  { device }: Program,
  a: ColumnBlock,
  b: ColumnBlock,
  { k, aType, bType, aByK, bByK, splitK, variant }: OperandShape,
): GemmOperands {
  const endsInside = a.cols % PANEL.cols !== 0 && a.column + a.cols < a.matrix.cols;
  const problem = aByK
    ? "the contraction runs over the rows of a (layout tn)"
    : [a, b].some(({ column }) => column % PANEL.cols !== 0)
    ? `columns from ${a.column} and ${b.column} on begin inside a panel: give multiples of ${PANEL.cols}`
    : endsInside
    ? `columns of a end inside a panel: give a multiple of ${PANEL.cols}`
    : bByK && bType !== "e4m3"
    ? `rows behind the contraction may hold what is not finite in ${bType}: give b in e4m3`
    : null;
  if (problem) throw new RangeError(`Cannot multiply FP8 codes as ${problem}`);
  const factor = (type: string) => formatOf(type).f16!.decodeFactor;
  return {
    bindings: { a: a.matrix, b: b.matrix },
    constants: {
      PACKED: false,
      FIXED_K: true,
      A_TYPE: aType,
      B_TYPE: bType,
      B_BY_K: bByK,
      // Columns of b are then decoded in the order 0, 2, 1, 3, as its rows along k are.
      COLUMNS_SWAPPED: bByK && variant.constants?.ORDER === "bytes",
      K: roundUp(k, PANEL.cols),
      SPLIT_K: splitK,
      IS_SPLIT: splitK < k,
      EMULATE: !supportsMatrix(device, F16_MATRIX),
    },
    params: {
      a_pitch: a.matrix.pitch,
      a_column: a.column,
      b_pitch: b.matrix.pitch,
      b_column: b.column,
    },
    factor: factor(aType) * factor(bType),
  };
}
