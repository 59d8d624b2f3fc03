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
  /** 1 where rows are multiplied by 1 + weight. */
  weightOffset: 0 | 1;
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
 *
 * @param addend f32 [rows, cols], added to it: the residual stream.
 */
export function normForward(
  program: Program,
  norm: Norm,
  input: Matrix,
  next: Partial<LinearInput>,
  addend?: Matrix,
): void {
  rmsNorm(program, {
    input,
    weight: rowAsVector(norm.weight.value()),
    weightOffset: norm.weightOffset,
    eps: norm.eps,
    addend,
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
  io: Omit<RmsNormBackwardOptions, "weight" | "weightOffset" | "rstd" | "variant">,
): void {
  const { input, dOutput } = io;
  const { weight, weightOffset } = norm;
  let { rotation = 1 } = io;
  const rstd = firstOf(norm.rstd(), input.rows);
  if (weight.gradient) {
    // Both gradients read it.
    rotate(program, { input: dOutput, block: rotation });
    rotation = 1;
    const dWeight = rowAsVector(weight.gradient());
    rmsNormWeightGradient(program, { dOutput, input, rstd, dWeight });
  }
  const factors = { weight: rowAsVector(weight.value()), weightOffset };
  rmsNormBackward(program, { ...io, rotation, ...factors, rstd });
}

/** The single row of a matrix, up to its pitch, as a vector. */
function rowAsVector({ buffer, offset, size, cols }: Matrix): Vector {
  return { buffer, offset, size, length: cols, type: "f32" };
}
