/**
 * Packs operands of a matrix product with the contraction outermost, the form the half-precision
 * kernels read.
 *
 * @module
 */

import { type ColumnBlock, type ElementType, type Matrix, roundUp } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { PACKED_STEP } from "./variants.ts";

/** Which operand of a product: both are packed at the same time. */
export type OperandSide = "left" | "right";

/** The operand that {@linkcode pack} reads, and the form it writes. */
export interface PackOptions {
  /** e4m3, e5m2 or f16; `byK`: [k, x], else [x, k]. */
  block: ColumnBlock;
  side: OperandSide;
  byK: boolean;
  /** Length of the contraction. */
  k: number;
  /** Rows or columns that are packed together: 64 or 128. */
  panel: number;
  /**
   * - `pairs`: f16, neighbours along k side by side, for packed arithmetic;
   * - `fragments`: for tensor cores, FP8 as codes and f16 as it is.
   */
  form: "pairs" | "fragments";
  /** Type of the left operand. */
  leftType: ElementType;
  /** Names the memory that it is packed into. Default: what all operands of its side share. */
  label?: string;
}

/** A packed operand. */
export interface PackedOperand {
  /** f16 or FP8, in panels. */
  matrix: Matrix;
  /** The contraction, filled up with zeros. */
  k: number;
  /** What one of its values is worth. */
  factor: number;
}

/**
 * Rows or columns that a workgroup of the kernel packs, where it does not transpose; a multiple of
 * every panel.
 */
const WORKGROUP_X = 128;

/** Records the packing of one operand into scratch. */
export function pack(program: Program, options: PackOptions): PackedOperand {
  const { block: { matrix, column, cols }, side, byK, panel, form, leftType } = options;
  const { label = `packed ${side} operand` } = options;
  if (column % 16 !== 0) {
    throw new RangeError(`Cannot pack columns from ${column} on: expected a multiple of 16`);
  }
  const { type } = matrix;
  const x = roundUp(byK ? cols : matrix.rows, WORKGROUP_X);
  const k = roundUp(options.k, PACKED_STEP);
  const codes = form === "fragments" && type !== "f16";
  const { kernelFactor, factor } = codes
    ? { kernelFactor: 1, factor: type === "e4m3" ? 256 : 1 }
    : factors(type, side, leftType === "e4m3");
  const packed = program.scratch(k, x, label, codes ? type : "f16");
  const constants = { TYPE: type, BY_K: byK, PANEL: panel };
  const kernel = codes
    ? program.device.kernel("pack_codes", constants)
    : program.device.kernel("pack", { ...constants, ...layout(type, byK, form, kernelFactor) });
  const [stepX, stepK] = byK
    ? [WORKGROUP_X, 64]
    : codes
    ? [WORKGROUP_X, 128]
    : [64, 8 * perVector(type)];
  program.dispatch(
    kernel,
    { codes: matrix, packed },
    {
      x: byK ? cols : matrix.rows,
      k: byK ? options.k : roundUp(options.k, 16),
      in_pitch: matrix.pitch,
      in_column: column,
      out_k: k,
    },
    [x / stepX, Math.ceil(k / stepK)],
    { label: `${type} ${byK ? "k" : "x"}-rows ${x}×${k}` },
  );
  return { matrix: packed, k, factor };
}

/** Elements in 16 bytes. */
function perVector(type: ElementType): number {
  return type === "f16" ? 8 : 16;
}

/** Constants of the kernel that writes f16: the layouts of its input and output. */
function layout(type: ElementType, byK: boolean, form: PackOptions["form"], factor: number) {
  const pairs = form === "pairs";
  return {
    PER_VECTOR: perVector(type),
    PAIRS: pairs,
    FACTOR: factor,
    ...(byK
      ? { WIDTH: pairs ? 4 : 8, PAIRS_AT_ONCE: pairs ? 8 : 16 }
      : { TILE_K: 8 * perVector(type) }),
  };
}

/**
 * What values are multiplied by when packed as f16, and what the packed value then lacks. e4m3
 * comes as value · 2⁻⁸. Packed arithmetic adds up 64 products in f16: with both at 2⁻⁸ small ones
 * would vanish, so one side of e4m3 · e4m3 keeps its value (at most 1.75 · 448 a product), and e5m2
 * is brought from 57344 down to 224 to meet at most 1.75.
 */
function factors(type: ElementType, side: OperandSide, whole: boolean) {
  if (type === "e5m2") return { kernelFactor: 2 ** -8, factor: 2 ** 8 };
  if (type === "f16") return { kernelFactor: 1, factor: 1 };
  return side === "right" && whole
    ? { kernelFactor: 256, factor: 1 }
    : { kernelFactor: 1, factor: 256 };
}
