import type { Matrix, Vector } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import type { StepState } from "../optim/state.ts";
import { expectMatrix, expectVector, threadsForRow } from "./shapes.ts";

/** What {@linkcode crossEntropyLoss} reads and writes. */
export interface CrossEntropyLossOptions {
  /** f32 [rows, vocab]: the logits of a chunk of the batch. */
  logits: Matrix;
  /** i32 [tokens] of the whole batch: a class below vocab, or negative (−100) to ignore the row. */
  targets: Vector;
  /** f32 [tokens] of the whole batch: receives −log p(target), 0 where ignored. */
  rowLoss: Vector;
  /** The token that row 0 of the logits belongs to. Default 0. */
  firstRow?: number;
}

/** What {@linkcode crossEntropy} reads and writes. */
export interface CrossEntropyOptions extends CrossEntropyLossOptions {
  /** Gives the factor of the gradient: 1 / targets of the step. */
  state: StepState;
}

/** Records the losses of a chunk of rows and leaves its logits as they are: evaluation. */
export function crossEntropyLoss(program: Program, options: CrossEntropyLossOptions): void {
  record(program, options, null);
}

/**
 * Records the losses of a chunk of rows and replaces its logits by the gradient of the step's mean loss,
 * `(softmax − one-hot) / targets`, zero where ignored.
 */
export function crossEntropy(program: Program, options: CrossEntropyOptions): void {
  record(program, options, options.state);
}

function record(
  program: Program,
  { logits, targets, rowLoss, firstRow = 0 }: CrossEntropyLossOptions,
  state: StepState | null,
): void {
  const { rows, cols: vocab, pitch } = logits;
  const tokens = targets.length;
  expectMatrix("crossEntropy", "logits", logits, { rows, cols: vocab });
  expectVector("crossEntropy", "targets", targets, tokens, "i32");
  expectVector("crossEntropy", "rowLoss", rowLoss, tokens);
  if (firstRow + rows > tokens) {
    throw new RangeError(
      `crossEntropy: logits of rows ${firstRow} to ${firstRow + rows} are given ${tokens} targets`,
    );
  }
  program.dispatch(
    program.device.kernel("cross_entropy", { THREADS: threadsForRow(pitch), GRADIENT: !!state }),
    { logits, targets, row_loss: rowLoss, ...(state && { inputs: state.inputs }) },
    { rows, vocab, vectors: pitch / 4, first_row: firstRow },
    linearGrid(rows, 1),
  );
}
