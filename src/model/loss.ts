/**
 * What a training step minimises, as a value that is given to it: the block, the optimizer and the
 * trainer do not know which loss it is.
 *
 * A loss stands between the final norm and the head: it records how losses and the gradient of the
 * final rows come about, by walking over the logits, which exist for some rows at a time only
 * ({@linkcode LmHead.recordTraining}). Cross-entropy is one such walk. What others need has its
 * place:
 *
 * - **Distillation** walks once as well. The teacher's logits of a chunk are known by `firstRow`:
 *   they are in a buffer that {@linkcode Loss.write} filled for the batch (the few largest per
 *   row), or recorded in the same walk, by the head of a teacher that is on the GPU too.
 * - **Preference losses** (DPO) walk twice. The first walk, {@linkcode LmHead.recordLosses},
 *   gives −log p of each token; a kernel sums these over `documents` to the log-probability of each
 *   sequence, compares the two halves of the batch, chosen and rejected, with the reference's
 *   log-probabilities, which `write` got with the batch, and leaves a factor per row. The second
 *   walk is cross-entropy whose gradient has that factor.
 *
 * @module
 */

import type { BufferView, Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import type { StepState } from "../gpu/step_state.ts";
import { crossEntropy } from "../kernels/rows/cross_entropy.ts";
import type { HeadLosses, LmHead } from "./lm_head.ts";
import type { TokenArrays } from "./token_buffers.ts";

/** What a loss reads and writes. */
export interface LossPass extends HeadLosses {
  /**
   * Makes logits of the final rows, and gradients of these and of its own weight of the gradient of
   * logits.
   */
  head: LmHead;
  /** u32 [tokens, 2]: of each token, the first of its document and the one behind the last. */
  documents: BufferView;
  /** Its `inputs` hold 1 / targets of the step, by which gradients are multiplied. */
  state: StepState;
  /** f32 [tokens, hiddenSize]: receives the gradient of `final`. */
  dFinal: Matrix;
}

/** A loss of training. */
export interface Loss {
  /**
   * Records the losses of a micro-batch and their gradient. Every row of `rowLoss` must be written,
   * 0 where there is no loss: their sum over the step, divided by the step's targets, is what
   * metrics show.
   */
  record(program: Program, pass: LossPass): void;
  /** Uploads what it needs of a batch besides the tokens, before each run of what it recorded. */
  write?(batch: TokenArrays): void;
}

/** −log p of each target, the mean over the targets of the step. */
export const CROSS_ENTROPY: Loss = {
  record(program, { head, final, targets, rowLoss, state, dFinal }) {
    head.recordTraining(program, { final, dFinal }, (chunk) => {
      crossEntropy(program, { ...chunk, targets, rowLoss, state });
    });
  },
};
