/**
 * The precision of a linear layer's GEMMs: which formats their operands are rounded to, and how.
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

/** Formats of the left operands of a layer's GEMMs. */
export interface PrecisionFormats {
  /** Of the forward pass's inputs, and of weights that are rounded like them. */
  readonly input: NumberFormat;
  /** Of gradients, which span more powers of two. */
  readonly gradient: NumberFormat;
}

/**
 * What both operands of a GEMM are rounded to; docs/METHODS.md explains how products accumulate.
 *
 * - `f32`: nothing is rounded;
 * - `f16`: each row is scaled by a power of two;
 * - `fp8`: each row is scaled to the maximum of e4m3, or of e5m2 for gradients;
 * - `int8`: each row is scaled to ±127.
 */
export type Precision = "f32" | "f16" | "fp8" | "int8";

/** The formats of each {@linkcode Precision}. */
export const PRECISIONS: Readonly<Record<Precision, PrecisionFormats>> = {
  f32: { input: FORMATS.f32, gradient: FORMATS.f32 },
  f16: { input: FORMATS.f16, gradient: FORMATS.f16 },
  fp8: { input: FORMATS.e4m3, gradient: FORMATS.e5m2 },
  int8: { input: FORMATS.int8, gradient: FORMATS.int8 },
};

/** What is rounded: inputs of the forward pass, or gradients. */
export type OperandRole = keyof PrecisionFormats;

/** The left operand of a GEMM. */
export interface GemmOperand {
  matrix: Matrix;
  /** f32 [rows]: the rows were multiplied by these, if given. */
  scales?: Vector;
  /** f32 [cols]: before that, the columns of a gradient were divided by these, if given. */
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
 * @param filled Whether the kernel that wrote the matrix also wrote the codes. If not, that is
 * recorded here.
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
