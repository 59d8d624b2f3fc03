/**
 * RMSNorm and its gradients. Results that a linear layer quantises next are written as codes at
 * once.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import {
  codesOf,
  expectQuantized,
  expectQuantizedGradient,
  type Quantized,
  type QuantizedGradient,
} from "./quantize.ts";
import { expectRotation, rotationConstants } from "./rotation.ts";
import { codeConstants } from "../codes.ts";
import { expectMatrix, expectVector, rowConstants, type RowVariant } from "../shapes.ts";

/** Operands of {@linkcode rmsNorm}; f32 except for the codes. */
export interface RmsNormOptions {
  /** [rows, cols] */
  input: Matrix;
  /** [cols] */
  weight: Vector;
  /** 1 where rows are multiplied by 1 + weight. Default 0. */
  weightOffset?: 0 | 1;
  /** Added to the mean square. */
  eps: number;
  /** [rows, cols], added to the result: the residual stream. */
  addend?: Matrix;
  /** [rows, cols], apart from the operands; null where only the codes are wanted. */
  output: Matrix | null;
  /**
   * Receives the output as codes with one scale per row, as `quantize` would make it: rotated, if it
   * says so.
   */
  quantized?: Quantized | null;
  /** [rows]: receives 1 / sqrt(mean square + eps), for the backward pass. */
  rstd: Vector;
  /** How a row is shared, for measurements. */
  variant?: RowVariant;
}

/** Records `output = input · rstd · (weightOffset + weight) (+ addend)`, row by row. */
export function rmsNorm(program: Program, options: RmsNormOptions): void {
  const { input, weight, weightOffset, eps, addend, output, quantized, rstd, variant } = options;
  const { rows, cols, pitch } = input;
  expectMatrix("rmsNorm", "input", input, { rows, cols });
  if (addend) expectMatrix("rmsNorm", "addend", addend, { rows, cols });
  if (output) expectMatrix("rmsNorm", "output", output, { rows, cols });
  if (quantized) expectQuantized("rmsNorm", quantized, { rows, cols });
  expectVector("rmsNorm", "weight", weight, cols);
  expectVector("rmsNorm", "rstd", rstd, rows);
  if (rows === 0 || cols === 0) return;
  const rotation = quantized?.rotation ?? 1;
  program.dispatch(
    program.device.kernel("rms_norm", {
      ...rowConstants(program.device, pitch / 4, addend ? 2 : 1, variant, rotation > 1),
      ...rotationConstants("values", rotation),
      ONE_MORE: weightOffset === 1,
      ADDEND: !!addend,
      OUTPUT: !!output,
      QUANTIZED: !!quantized,
      ...(quantized && codeConstants(quantized.codes.type)),
    }),
    {
      input,
      weight,
      rstd,
      ...(addend && { addend }),
      ...(output && { output }),
      ...codesOf(quantized),
    },
    { rows, cols, vectors: pitch / 4, eps },
    linearGrid(rows, 1),
    { label: `${rows}×${cols}${quantized ? ` ${quantized.codes.type}` : ""}` },
  );
}

/** Operands of {@linkcode rmsNormBackward}; f32 except for the codes. */
export interface RmsNormBackwardOptions {
  /** Gradient of the output [rows, cols]. */
  dOutput: Matrix;
  /**
   * The block by which the rows of `dOutput` come rotated, as from a layer that rotates its input;
   * they are rotated back. Default 1: none.
   */
  rotation?: number;
  /** The forward's input [rows, cols]. */
  input: Matrix;
  /** [cols] */
  weight: Vector;
  /** As in the forward. */
  weightOffset?: 0 | 1;
  /** What the forward kept [rows]. */
  rstd: Vector;
  /** Gradient of the input [rows, cols]. */
  dInput: Matrix;
  /** Add to what `dInput` holds: the gradient of the residual stream. Default false: overwrite. */
  accumulate?: boolean;
  /**
   * Receives what `dInput` holds then as codes with one scale per row, as `quantize` would make it.
   */
  quantized?: QuantizedGradient | null;
  /** How a row is shared, for measurements. */
  variant?: RowVariant;
}

/** Records the gradient of {@linkcode rmsNorm} with respect to its input. */
export function rmsNormBackward(program: Program, options: RmsNormBackwardOptions): void {
  const { dOutput, input, weight, rstd, dInput, accumulate = false, quantized, variant } = options;
  const { rotation = 1 } = options;
  const { rows, cols, pitch } = input;
  expectMatrix("rmsNormBackward", "input", input, { rows, cols });
  expectMatrix("rmsNormBackward", "dOutput", dOutput, { rows, cols });
  expectMatrix("rmsNormBackward", "dInput", dInput, { rows, cols });
  if (quantized) expectQuantizedGradient("rmsNormBackward", quantized, { rows, cols });
  expectRotation("rmsNormBackward", rotation, cols);
  expectVector("rmsNormBackward", "weight", weight, cols);
  expectVector("rmsNormBackward", "rstd", rstd, rows);
  if (rows === 0 || cols === 0) return;
  program.dispatch(
    program.device.kernel("rms_norm_backward", {
      ...rowConstants(program.device, pitch / 4, accumulate ? 3 : 2, variant, rotation > 1),
      ...rotationConstants("source", rotation),
      ONE_MORE: options.weightOffset === 1,
      ACCUMULATE: accumulate,
      QUANTIZED: !!quantized,
      COLUMN_SCALES: !!quantized?.columnScales,
      ...(quantized && codeConstants(quantized.codes.type)),
    }),
    {
      d_output: dOutput,
      input,
      weight,
      rstd,
      d_input: dInput,
      ...codesOf(quantized),
      ...(quantized?.columnScales && { column_scales: quantized.columnScales }),
    },
    { rows, cols, vectors: pitch / 4 },
    linearGrid(rows, 1),
    {
      bytes: 4 * rows * pitch * (accumulate ? 4 : 3) + (quantized?.codes.size ?? 0),
      label: `${rows}×${cols}${quantized ? ` ${quantized.codes.type}` : ""}`,
    },
  );
}

/** Operands of {@linkcode rmsNormWeightGradient}; all f32. */
export interface RmsNormWeightGradientOptions {
  /** Gradient of the output [rows, cols]. */
  dOutput: Matrix;
  /** The forward's input [rows, cols]. */
  input: Matrix;
  /** What the forward kept [rows]. */
  rstd: Vector;
  /** Gradient of the weight [cols]; added to. */
  dWeight: Vector;
}

/** The most shares that the rows are summed in, and the rows that a share has at least. */
const MOST_CHUNKS = 64;
const SHORTEST_CHUNK = 32;

/** Records the gradient of {@linkcode rmsNorm} with respect to its weight, added to `dWeight`. */
export function rmsNormWeightGradient(
  program: Program,
  { dOutput, input, rstd, dWeight }: RmsNormWeightGradientOptions,
): void {
  const { rows, cols, pitch } = input;
  expectMatrix("rmsNormWeightGradient", "input", input, { rows, cols });
  expectMatrix("rmsNormWeightGradient", "dOutput", dOutput, { rows, cols });
  expectVector("rmsNormWeightGradient", "rstd", rstd, rows);
  expectVector("rmsNormWeightGradient", "dWeight", dWeight, cols);
  if (rows === 0) return;
  const chunkRows = Math.max(SHORTEST_CHUNK, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunkRows);
  const partials = program.scratch(chunks, cols, "partial weight gradients");
  program.dispatch(
    program.device.kernel("rms_norm_weight_gradient"),
    { d_output: dOutput, input, rstd, partials },
    { rows, vectors: pitch / 4, chunk_rows: chunkRows },
    [Math.ceil(pitch / 4 / 64), chunks],
  );
  const vectors = Math.ceil(cols / 4);
  program.dispatch(
    program.device.kernel("sum_partials", { ACCUMULATE: true }),
    { partials, out: dWeight },
    { rows: 1, vectors, pitch, out_pitch: 0, out_column: 0, splits: chunks },
    linearGrid(vectors, 64),
  );
}
