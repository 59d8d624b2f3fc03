/**
 * The precision of a linear layer's matrix products: which formats their operands are rounded to,
 * and how.
 *
 * @module
 */

import type { Matrix, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { FORMATS, type NumberFormat } from "../numerics/formats.ts";
import { quantize, type QuantizedGradient } from "../kernels/rows/quantize.ts";
import { findGradientScale, type GradientScale } from "../kernels/gemm/low_rank_gradient_tensor.ts";
import { QuantizedRowBuffer } from "./quantized_row_buffer.ts";

/** What the left operands of a layer's products are rounded to. */
export interface PrecisionFormats {
  /** Inputs on the way forward, and weights that are rounded like them. */
  readonly input: NumberFormat;
  /** Gradients, which reach over more powers of two. */
  readonly gradient: NumberFormat;
}

/**
 * What both operands of a product are rounded to; sums are f32.
 *
 * - `f32`: nothing is rounded;
 * - `f16`: a token's row is scaled by a power of two;
 * - `fp8`: a token's row is scaled to the maximum of e4m3, or of e5m2 for gradients.
 */
export type Precision = "f32" | "f16" | "fp8";

/** The formats of each {@linkcode Precision}. */
export const PRECISIONS: Readonly<Record<Precision, PrecisionFormats>> = {
  f32: { input: FORMATS.f32, gradient: FORMATS.f32 },
  f16: { input: FORMATS.f16, gradient: FORMATS.f16 },
  fp8: { input: FORMATS.e4m3, gradient: FORMATS.e5m2 },
};

/** What is rounded: values on the way forward, or gradients. */
export type OperandRole = keyof PrecisionFormats;

/** The left operand of a product. */
export interface GemmOperand {
  matrix: Matrix;
  /** f32 [rows]: what the rows were multiplied by, where they were. */
  scales?: Vector;
  /** f32 [cols]: what the columns of a gradient were divided by before, where they were. */
  columnScales?: Vector;
}

/** Memory for operands with one row per token; null where they are not rounded. */
export function operandRows(
  device: Device,
  precision: Precision,
  role: OperandRole,
  label: string,
): QuantizedRowBuffer | null {
  const format = PRECISIONS[precision][role];
  return format.scale && new QuantizedRowBuffer(device, label, format);
}

/**
 * A matrix as an operand: itself, or its codes in the given buffer.
 *
 * @param matrix f32; null only where the buffer is filled.
 * @param filled Whether the producer of the matrix wrote the codes. If not, that is recorded here.
 */
export function asOperand(
  program: Program,
  matrix: Matrix | null,
  buffer: QuantizedGradient | null | undefined,
  filled = false,
): GemmOperand {
  if (!buffer) return { matrix: matrix! };
  if (!filled) quantize(program, { input: matrix!, ...buffer, granularity: "row" });
  return { matrix: buffer.codes, scales: buffer.scales, columnScales: buffer.columnScales };
}

/**
 * Records finding the scale of a gradient that is an operand: see {@linkcode findGradientScale}.
 * Undefined in f32.
 */
export function operandGradientScale(
  program: Program,
  { matrix: codes, scales, columnScales }: GemmOperand,
): GradientScale | undefined {
  return findGradientScale(program, scales ? { codes, scales, columnScales } : null);
}
