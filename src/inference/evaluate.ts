/**
 * The loss of a model on held-out rows.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { openLoader } from "../data/open_loader.ts";
import type { Batch } from "../data/types.ts";
import type { Model } from "./model.ts";

/** What {@linkcode evaluate} finds. */
export interface Evaluation {
  /** Mean over the targets, in nats. */
  loss: number;
  /** e to the loss. */
  perplexity: number;
  /** Targets that the loss is a mean of. */
  tokens: number;
}

/** How rows become batches in {@linkcode evaluate}. */
export interface EvaluateOptions {
  /** Rows a batch. Default 16. */
  batchSize?: number;
  /** Tokens a row. Default 512, or as many as the model was made for. */
  sequenceLength?: number;
  /** Default true. */
  packing?: boolean;
  /** Count the tokens of prompts too. Default false. */
  trainOnPrompt?: boolean;
  /** Default false. */
  skipBadRows?: boolean;
}

/**
 * Computes the mean loss of the model, as it is on the GPU now, over all rows of a dataset, read once and in order.
 *
 * @throws {DataError} for malformed rows, or if no row has a target.
 */
export async function evaluate(
  model: Model,
  data: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { maxPositionEmbeddings, vocabSize } = model.config;
  const loader = await openLoader({
    ...options,
    batchSize: options.batchSize ?? 16,
    sequenceLength: options.sequenceLength ?? Math.min(512, maxPositionEmbeddings),
    dataset: data,
    tokenizerFolder: model.folder,
    vocabSize,
    shuffle: false,
    epochs: 1,
  });
  try {
    return await meanLoss(model, loader.batches());
  } finally {
    loader.close();
  }
}

async function meanLoss(model: Model, batches: AsyncIterable<Batch>): Promise<Evaluation> {
  let sum = 0;
  let tokens = 0;
  for await (const batch of batches) {
    const losses = await model.tokenLosses(batch);
    sum += losses.reduce((a, b) => a + b, 0);
    tokens += batch.targetCount;
  }
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens };
}
