/**
 * The passes over a whole decoder: forward from ids to the rows before the head, the losses, and
 * the backward of a training step.
 *
 * @module
 */

import { type Matrix, rowsOf } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { LOSS_SUM_INDEX, type StepState } from "../gpu/step_state.ts";
import { addSum } from "../kernels/rows/sum.ts";
import { isTrained } from "../layers/dense_table.ts";
import type { DenseTable } from "../layers/method.ts";
import { clearSharedGradients } from "./attention_inputs.ts";
import { type Block, blockBackward, blockForward, gradientTaker } from "./block.ts";
import type { ModelConfig } from "./config.ts";
import type { HeadLosses, LmHead } from "./lm_head.ts";
import type { Loss } from "./loss.ts";
import type { Attend, Pass } from "./mixer.ts";
import { type Norm, normForward, normGradients } from "./norm.ts";
import { lookUp, lookUpBackward } from "./table_rows.ts";
import { recordTokenInputGradients, recordTokenInputs, type TokenInputs } from "./token_inputs.ts";

/** The layers of a decoder. */
export interface Decoder {
  config: Pick<ModelConfig, "plan">;
  embedding: DenseTable;
  /** What makes the inputs of blocks from the tokens, where blocks read such. */
  tokenInputs: TokenInputs | null;
  blocks: readonly Block[];
  finalNorm: Norm;
  head: LmHead;
}

/** Records embedding and blocks: the output is activation `input` of the layer behind the last. */
export function recordBlocks(pass: Pass, decoder: Decoder, attend: Attend): void {
  const { program, activations, tokens: { ids }, rows } = pass;
  const { scale } = decoder.config.plan.embedding;
  const output = activations.get("input", rows);
  lookUp(program, { ids, table: decoder.embedding, output, scale });
  if (decoder.tokenInputs) recordTokenInputs(pass, decoder.tokenInputs);
  decoder.blocks.forEach((block, layer) => blockForward(pass, block, layer, attend));
}

/** Records the final norm of the rows of a pass from `first` on, a multiple of 4; returns them. */
export function recordFinalNorm(
  { program, activations, rows }: Pass,
  { blocks, finalNorm }: Decoder,
  first = 0,
): Matrix {
  const final = rowsOf(activations.get("final", rows), first, rows - first);
  const input = rowsOf(activations.get("input", rows, blocks.length), first, rows - first);
  normForward(program, finalNorm, input, { input: final });
  return final;
}

/** Records the loss of every token. */
export function recordLosses(program: Program, { head }: Decoder, losses: HeadLosses): void {
  program.phase("loss");
  head.recordLosses(program, losses);
}

/** What a training step is computed from behind its forward pass. */
export interface TrainingLosses extends HeadLosses {
  /** Counts the targets, and receives the sum of the losses. */
  state: StepState;
}

/**
 * Records losses, and the gradients of their mean over the targets that the state counts, added to
 * those of the parameters.
 */
export function recordTraining(
  pass: Pass,
  decoder: Decoder,
  loss: Loss,
  losses: TrainingLosses,
): void {
  const { program, activations, tokens, rows } = pass;
  const { config, embedding, tokenInputs, blocks, finalNorm, head } = decoder;
  const { state, rowLoss } = losses;
  const dOutput = activations.get("dFinal", rows);
  program.phase("loss");
  loss.record(program, { ...losses, head, documents: tokens.documents, dFinal: dOutput });
  addSum(program, { values: rowLoss, out: state.results, index: LOSS_SUM_INDEX });

  program.phase("backward");
  const input = activations.get("input", rows, blocks.length);
  const dInput = activations.get("dResidual", rows);
  let codes = gradientTaker(blocks.at(-1))?.gradientCodes(rows) ?? null;
  const io = { input, dOutput, dInput, accumulate: false, quantized: codes };
  normGradients(program, finalNorm, io);
  clearSharedGradients(pass, blocks.length);
  for (let layer = blocks.length - 1; layer >= 0; layer--) {
    codes = blockBackward(pass, blocks[layer], layer, {
      codes,
      needsInputGradient: layer > 0 || isTrained(embedding),
      below: gradientTaker(blocks[layer - 1]),
    });
  }
  if (tokenInputs) recordTokenInputGradients(pass, tokenInputs, isTrained(embedding));
  const { scale } = config.plan.embedding;
  lookUpBackward(program, { ids: tokens.ids, table: embedding, dOutput: dInput, scale });
}
