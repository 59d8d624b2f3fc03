/**
 * The norms of a network, forward and backward.
 *
 * @module
 */

import { firstOf, type Matrix, type Vector } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import type { Quantized } from "../kernels/rows/quantize.ts";
import {
  rmsNorm,
  rmsNormBackward,
  type RmsNormBackwardOptions,
  rmsNormWeightGradient,
} from "../kernels/rows/rms_norm.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import type { DenseWeight } from "../layers/method.ts";

/** An RMSNorm: its weight, and what its forward leaves for its backward. */
export interface Norm {
  weight: DenseWeight;
  /** Added to the mean square. */
  eps: number;
  /** f32 [tokens]: 1 / root mean square of each row. */
  rstd: () => Vector;
}

/** What a producer writes and a linear layer reads: f32, low precision, or both. */
export interface LinearInput {
  /** f32 [rows, inFeatures] */
  input: Matrix | null;
  /** The same quantised. */
  codes: Quantized | null;
}

/**
 * Records the norm of `input`, which is the input of what follows, keeping the row statistics for
 * the backward.
 */
export function normForward(
  program: Program,
  norm: Norm,
  input: Matrix,
  next: Partial<LinearInput>,
): void {
  rmsNorm(program, {
    input,
    weight: rowAsVector(norm.weight.value()),
    eps: norm.eps,
    output: next.input ?? null,
    quantized: next.codes,
    rstd: firstOf(norm.rstd(), input.rows),
  });
}

/**
 * Records the gradients of a norm: of its weight, where that is trained, and of its input. A rotated
 * `dOutput` is rotated back in place for the former.
 */
export function normGradients(
  program: Program,
  norm: Norm,
  io: Omit<RmsNormBackwardOptions, "weight" | "rstd" | "variant">,
): void {
  const { input, dOutput } = io;
  let { rotation = 1 } = io;
  const rstd = firstOf(norm.rstd(), input.rows);
  if (norm.weight.gradient) {
    // Both gradients read it.
    rotate(program, { input: dOutput, block: rotation });
    rotation = 1;
    const dWeight = rowAsVector(norm.weight.gradient());
    rmsNormWeightGradient(program, { dOutput, input, rstd, dWeight });
  }
  rmsNormBackward(program, { ...io, rotation, weight: rowAsVector(norm.weight.value()), rstd });
}

/** The single row of a matrix, up to its pitch, as a vector. */
function rowAsVector({ buffer, offset, size, cols }: Matrix): Vector {
  return { buffer, offset, size, length: cols, type: "f32" };
}
