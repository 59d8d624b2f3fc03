/**
 * Packs operands of a matrix product with the contraction outermost, the form the half-precision
 * kernels read.
 *
 * @module
 */

import { type ColumnBlock, type Matrix, roundUp } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { GrowsWith } from "../../gpu/too_large.ts";
import { type F16Operand, formatOf, FORMATS, type NumberFormat } from "../../numerics/formats.ts";
import { PACKED_STEP } from "./variants.ts";

/** Which operand of a product: both are packed at the same time. */
export type OperandSide = "left" | "right";

/** The operand that {@linkcode pack} reads, and the form it writes. */
export interface PackOptions {
  /** Of a format that becomes f16 exactly; `byK`: [k, x], else [x, k]. */
  block: ColumnBlock;
  side: OperandSide;
  byK: boolean;
  /** Length of the contraction. */
  k: number;
  /** Rows or columns that are packed together: 64 or 128. */
  panel: number;
  /**
   * - `pairs`: f16, neighbours along k side by side, for packed arithmetic;
   * - `fragments`: for tensor cores, codes as codes and f16 as it is.
   */
  form: "pairs" | "fragments";
  /** Format of the left operand. */
  left: NumberFormat;
  /** Names the memory that it is packed into. Default: what all operands of its side share. */
  label?: string;
  /** What makes it large. */
  growsWith: GrowsWith;
}

/** A packed operand. */
export interface PackedOperand {
  /** f16 or codes, in panels. */
  matrix: Matrix;
  /** The contraction, filled up with zeros. */
  k: number;
  /** What one of its values is worth. */
  factor: number;
}

/**
 * A right operand that products of a program have in common, in the same layout and unchanged
 * between them: the first packs it for all.
 */
export class PackedOperandCache {
  /** @param label Names its memory, which is the program's. */
  constructor(readonly label: string) {}

  /** What the first product left, where that packed it. */
  packed: PackedOperand | null = null;
}

/**
 * Rows or columns that a workgroup of the kernel packs, where it does not transpose; a multiple of
 * every panel.
 */
const WORKGROUP_X = 128;

/** The multiple that rows and columns of a packed operand are filled up to at most. */
export const PACKED_MULTIPLE = WORKGROUP_X;

/** Records the packing of one operand into scratch. */
export function pack(program: Program, options: PackOptions): PackedOperand {
  const { block: { matrix, column, cols }, side, byK, panel, form, left } = options;
  const { label = `packed ${side} operand`, growsWith } = options;
  if (column % 16 !== 0) {
    throw new RangeError(`Cannot pack columns from ${column} on: expected a multiple of 16`);
  }
  const format = formatOf(matrix.type);
  if (!format.f16) throw new RangeError(`Cannot pack ${format.name}: it does not become f16`);
  const x = roundUp(byK ? cols : matrix.rows, WORKGROUP_X);
  const k = roundUp(options.k, PACKED_STEP);
  const codes = form === "fragments" && format.codec !== null;
  const kernelFactor = codes ? 1 : packFactor(format.f16, side === "right" && format === left);
  const type = codes ? format.name : FORMATS.f16.name;
  const packed = program.scratch(k, x, label, type, growsWith);
  const constants = { TYPE: format.name, BY_K: byK, PANEL: panel };
  const kernel = codes
    ? program.device.kernel("pack_codes", constants)
    : program.device.kernel("pack", { ...constants, ...layout(format, byK, form, kernelFactor) });
  const [stepX, stepK] = byK
    ? [WORKGROUP_X, 64]
    : codes
    ? [WORKGROUP_X, 128]
    : [64, 8 * perVector(format)];
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
    { label: `${format.name} ${byK ? "k" : "x"}-rows ${x}×${k}` },
  );
  return { matrix: packed, k, factor: format.f16.decodeFactor / kernelFactor };
}

/** Elements in 16 bytes. */
function perVector({ bytes }: NumberFormat): number {
  return 16 / bytes;
}

/** Constants of the kernel that writes f16: the layouts of its input and output. */
function layout(format: NumberFormat, byK: boolean, form: PackOptions["form"], factor: number) {
  const pairs = form === "pairs";
  return {
    PER_VECTOR: perVector(format),
    PAIRS: pairs,
    FACTOR: factor,
    ...(byK
      ? { WIDTH: pairs ? 4 : 8, PAIRS_AT_ONCE: pairs ? 8 : 16 }
      : { TILE_K: 8 * perVector(format) }),
  };
}

/**
 * What shifted codes are multiplied by when they are packed as f16; `besideSame`: against a left
 * operand like them.
 */
function packFactor({ packFactor, packFactorBesideSame }: F16Operand, besideSame: boolean): number {
  return besideSame ? packFactorBesideSame : packFactor;
}
