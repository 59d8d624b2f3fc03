/**
 * In which numbers a linear layer multiplies, and the operands of its products in these.
 *
 * @module
 */

import type { ElementType, Matrix, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { quantize, type QuantizedGradient } from "../kernels/rows/quantize.ts";
import { findGradientScale, type GradientScale } from "../kernels/gemm/low_rank_gradient_tensor.ts";
import { QuantizedRowBuffer } from "./quantized_row_buffer.ts";

/**
 * What both operands of a product are rounded to; sums are f32.
 *
 * - `f32`: nothing is rounded;
 * - `f16`: a token's row is scaled by a power of two;
 * - `fp8`: a token's row is scaled to the largest value of e4m3, or e5m2 for gradients.
 */
export type Precision = "f32" | "f16" | "fp8";

/** What is rounded: values on the way forward, or gradients. */
export type OperandRole = "input" | "gradient";

/** The left operand of a product. */
export interface GemmOperand {
  matrix: Matrix;
  /** f32 [rows]: what the rows were multiplied by, where they were. */
  scales?: Vector;
  /** f32 [cols]: what the columns of a gradient were divided by before, where they were. */
  columnScales?: Vector;
}

/** The type of operands under an arithmetic. */
export function operandType(arithmetic: Precision, role: OperandRole): ElementType {
  return arithmetic !== "fp8" ? arithmetic : role === "input" ? "e4m3" : "e5m2";
}

/** Room for operands with a row a token; null where they are not rounded. */
export function operandRows(
  device: Device,
  arithmetic: Precision,
  role: OperandRole,
  label: string,
): QuantizedRowBuffer | null {
  if (arithmetic === "f32") return null;
  return new QuantizedRowBuffer(device, label, operandType(arithmetic, role));
}

/**
 * A matrix as an operand: itself, or its codes in the given room.
 *
 * @param matrix f32; null only where the room is filled.
 * @param filled Whether the producer of the matrix wrote the codes. If not, that is recorded here.
 */
export function asOperand(
  program: Program,
  matrix: Matrix | null,
  room: QuantizedGradient | null | undefined,
  filled = false,
): GemmOperand {
  if (!room) return { matrix: matrix! };
  if (!filled) quantize(program, { input: matrix!, ...room, granularity: "row" });
  return { matrix: room.codes, scales: room.scales, columnScales: room.columnScales };
}

/** Records finding the range of a gradient that is an operand: see {@linkcode findGradientScale}. Undefined in f32. */
export function operandGradientScale(
  program: Program,
  { matrix: codes, scales, columnScales }: GemmOperand,
): GradientScale | undefined {
  return findGradientScale(program, scales ? { codes, scales, columnScales } : null);
}
