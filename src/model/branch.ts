/**
 * How a branch of a block, attention or MLP, leaves the residual stream and joins it again, forward
 * beside backward.
 *
 * ```
 * stream ─ (norm) ─ first linear … last linear ─ (norm) ─(+ stream)─ next stream
 * ```
 *
 * Either norm may be missing. Without the one before, the first linear reads the stream itself.
 * Without the one behind, the last linear adds the stream in its own product; with it, the norm adds
 * it in the pass that it is. The output between linear and norm is kept for the backward in f32: it
 * has values beyond f16 in models that are normed there.
 *
 * In the backward, `dResidual` is the gradient of the stream. `dNormed` is that within a branch:
 * behind its last linear, and later before its first.
 *
 * @module
 */

import type { Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import type { Quantized, QuantizedGradient } from "../kernels/rows/quantize.ts";
import { rotate } from "../kernels/rows/rotation.ts";
import type { Linear, LinearBackward } from "../layers/method.ts";
import type { Activations } from "./activations.ts";
import { inputAgain } from "./input_again.ts";
import { type LinearInput, type Norm, normForward, normGradients } from "./norm.ts";

/** The beginning of a branch. */
export interface BranchStart {
  /** f32 [rows, hiddenSize] */
  stream: Matrix;
  norm: Norm | null;
  linear: Linear;
}

/** The end of a branch. */
export interface BranchEnd {
  linear: Linear;
  norm: Norm | null;
  /** f32 [rows, hiddenSize]: the output of the linear layer, which exists where a norm follows. */
  output: () => Matrix;
}

/** Rows of a pass, and its memory. */
export interface BranchPass {
  program: Program;
  activations: Activations;
  rows: number;
}

/**
 * Records what the first linear of a branch reads.
 *
 * @param wanted The forms in which it wants the output of a norm.
 * @param codes The stream in codes, where what made it wrote them.
 */
export function branchInput(
  program: Program,
  { stream, norm }: BranchStart,
  wanted: () => LinearInput,
  codes: Quantized | null,
): LinearInput {
  if (!norm) return { input: stream, codes };
  const input = wanted();
  normForward(program, norm, stream, input);
  return input;
}

/**
 * Records the last linear of a branch and adds its output to the stream.
 *
 * @param next The linear layer that reads the sum as it is, if there is one.
 * @returns The sum in codes, as `next` wants it, if they were made.
 */
export function joinStream(
  program: Program,
  { linear, norm, output }: BranchEnd,
  input: LinearInput,
  { training, stream, sum, next }: {
    training?: boolean;
    stream: Matrix;
    sum: Matrix;
    next: Linear | null;
  },
): Quantized | null {
  if (!norm) {
    linear.forward(program, { ...input, output: sum, addend: stream, training });
    return null;
  }
  const branch = output();
  linear.forward(program, { ...input, output: branch, training });
  const codes = next?.inputCodes(sum.rows) ?? null;
  normForward(program, norm, branch, { input: sum, codes }, stream);
  return codes;
}

/**
 * Records the gradient of the output of a branch's last linear from that of the stream.
 *
 * @param codes The gradient of the stream as the linear wants it quantised, if it takes that.
 */
export function branchGradient(
  { program, activations, rows }: BranchPass,
  { linear, norm, output }: BranchEnd,
  codes: QuantizedGradient | null,
): Pick<LinearBackward, "dOutput" | "codes"> {
  const dOutput = activations.get("dResidual", rows);
  if (!norm) return { dOutput, codes };
  const dInput = activations.get("dNormed", rows);
  const quantized = linear.gradientCodes(rows);
  normGradients(program, norm, { input: output(), dOutput, dInput, quantized });
  return { dOutput: dInput, codes: quantized };
}

/** The input of a branch's first linear for its backward; what is not kept is recorded again. */
export function branchInputAgain(
  { program, activations, rows }: BranchPass,
  { stream, norm, linear }: BranchStart,
): Pick<LinearBackward, "input" | "inputCodes"> {
  if (!norm) return { input: stream, inputCodes: null };
  return inputAgain(linear, rows, () => activations.get("normed", rows), (again) => {
    normForward(program, norm, stream, again);
  });
}

/**
 * Records adding the gradient that a branch's first linear left in `dNormed` to that of the stream.
 *
 * @param taker The linear layer whose output the stream is as it is, if there is one.
 * @returns The sum in codes, as `taker` wants it, if they were made.
 */
export function joinGradients(
  { program, activations, rows }: BranchPass,
  { stream, norm, linear: { rotation } }: BranchStart,
  taker: Linear | null,
): QuantizedGradient | null {
  const dOutput = activations.get("dNormed", rows);
  const dInput = activations.get("dResidual", rows);
  if (!norm) {
    rotate(program, { input: dOutput, output: dInput, accumulate: true, block: rotation });
    return null;
  }
  const quantized = taker?.gradientCodes(rows) ?? null;
  const io = { input: stream, dOutput, rotation, dInput, accumulate: true, quantized };
  normGradients(program, norm, io);
  return quantized;
}
