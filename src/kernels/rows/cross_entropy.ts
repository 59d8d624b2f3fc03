/**
 * Cross-entropy of logits and its gradient, chunk by chunk: the logits of all tokens of a batch are
 * never there at once.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { expectQuantizedGradient, type Quantized } from "./quantize.ts";
import { codeConstants } from "../codes.ts";
import { expectMatrix, expectVector, threadsForRow } from "../shapes.ts";

/**
 * vec4s of a row from which on a workgroup of a GPU has as many threads as it may: few rows at a
 * time stay in the cache until they are read again.
 */
const WIDE_ROW = 4096;
/** Threads of such a workgroup at most. */
const MOST_THREADS = 1024;

/** Operands and options of {@linkcode crossEntropyLoss}. */
export interface CrossEntropyLossOptions {
  /** f32 [rows, vocab]: the logits of a chunk of the batch. */
  logits: Matrix;
  /**
   * i32 [tokens] of the whole batch: a class below vocab (others count as the last), or negative
   * (−100) to ignore the row.
   */
  targets: Vector;
  /** f32 [tokens] of the whole batch: receives −log p(target), 0 where ignored. */
  rowLoss: Vector;
  /** The token that row 0 of the logits belongs to. Default 0. */
  firstRow?: number;
  /** c where the logits are c · tanh(x / c) of what is given; gradients are those of what is given. */
  softCap?: number | null;
}

/** Operands and options of {@linkcode crossEntropy}. */
export interface CrossEntropyOptions extends CrossEntropyLossOptions {
  /** Gives the factor of the gradient: 1 / targets of the step. */
  state: StepState;
  /**
   * e4m3, e5m2 or f16 [rows, vocab]: receives the gradient, and the logits stay. Default: the
   * gradient replaces the logits.
   */
  quantized?: Quantized;
}

/** Records the losses of a chunk of rows and leaves its logits as they are: evaluation. */
export function crossEntropyLoss(program: Program, options: CrossEntropyLossOptions): void {
  record(program, options, null);
}

/**
 * Records the losses of a chunk of rows and the gradient of the step's mean loss with respect to
 * its logits,
 * `(softmax − one-hot) / targets`, zero where ignored.
 */
export function crossEntropy(program: Program, options: CrossEntropyOptions): void {
  record(program, options, options);
}

function record(
  program: Program,
  { logits, targets, rowLoss, firstRow = 0, softCap = null }: CrossEntropyLossOptions,
  gradient: CrossEntropyOptions | null,
): void {
  const { rows, cols: vocab, pitch } = logits;
  const tokens = targets.length;
  const { state, quantized } = gradient ?? {};
  expectMatrix("crossEntropy", "logits", logits, { rows, cols: vocab });
  expectVector("crossEntropy", "targets", targets, tokens, "i32");
  expectVector("crossEntropy", "rowLoss", rowLoss, tokens);
  if (quantized) {
    expectQuantizedGradient("crossEntropy", quantized, { rows, cols: vocab });
  }
  if (firstRow + rows > tokens) {
    throw new RangeError(
      `crossEntropy: logits of rows ${firstRow} to ${firstRow + rows} are given ${tokens} targets`,
    );
  }
  const { device } = program;
  const threads = pitch / 4 < WIDE_ROW || device.isFallback
    ? threadsForRow(pitch)
    : Math.min(MOST_THREADS, device.limits.maxComputeInvocationsPerWorkgroup);
  program.dispatch(
    device.kernel("cross_entropy", {
      THREADS: threads,
      GRADIENT: !gradient ? "none" : quantized ? "codes" : "logits",
      SOFT_CAP: softCap !== null,
      ...(quantized && codeConstants(quantized.codes.type)),
    }),
    {
      logits,
      targets,
      row_loss: rowLoss,
      ...(state && { inputs: state.inputs }),
      ...(quantized && { codes: quantized.codes, scales: quantized.scales }),
    },
    {
      rows,
      vocab,
      vectors: pitch / 4,
      first_row: firstRow,
      ...(softCap !== null && { soft_cap: softCap }),
    },
    linearGrid(rows, 1),
    {
      bytes: logits.size + (quantized ? quantized.codes.size : gradient ? logits.size : 0),
      label: `${rows}×${vocab}`,
    },
  );
}
