/**
 * The loss of a model on held-out rows.
 *
 * @module
 */

import { checkBoolean, checkOptions, checkText, type Names } from "../checks.ts";
import { Dataset } from "../data/dataset.ts";
import { openLoader } from "../data/open_loader.ts";
import { dataWarnings } from "../data/statistics.ts";
import type { Batch } from "../data/types.ts";
import { OptionError } from "../errors.ts";
import { expectModel } from "./loaded_model.ts";
import type { Model } from "./model.ts";
import { noLoss } from "./sequence_loss.ts";

/** Result of {@linkcode evaluate}. */
export interface Evaluation {
  /** Mean over the targets, in nats. */
  loss: number;
  /** e to the loss. */
  perplexity: number;
  /** Number of targets that the loss is the mean of. */
  tokens: number;
  /** What was cut, dropped or not used of the rows, one sentence each: it is not in the loss. */
  warnings: string[];
}

/** How far {@linkcode evaluate} is. */
export interface EvaluationProgress {
  /** Rows of the data that were read. */
  rows: number;
  /** Targets so far. */
  tokens: number;
  /** Their mean loss. */
  loss: number;
}

/** Options of {@linkcode evaluate}. */
export interface EvaluateOptions {
  /** Rows per batch. Default 16. */
  batchSize?: number;
  /** Tokens per row. Default 512, or the model's context length if that is shorter. */
  sequenceLength?: number;
  /** Several documents per row of a batch, else one, padded. Default true. */
  packing?: boolean;
  /** Count the tokens of prompts too. Default false. */
  trainOnPrompt?: boolean;
  /** Skip malformed rows instead of ending. Default false. */
  skipBadRows?: boolean;
  /** The day that a chat template which names the date is told, such as `2026-11-28`. Default today. */
  date?: string;
  /** Is told after each batch how far it is. */
  onProgress?: (progress: EvaluationProgress) => void;
  /** Ends the evaluation between batches: its reason is thrown. */
  signal?: AbortSignal;
}

/** The names of {@linkcode EvaluateOptions}. */
const EVALUATE_NAMES: Names<EvaluateOptions> = {
  batchSize: true,
  sequenceLength: true,
  packing: true,
  trainOnPrompt: true,
  skipBadRows: true,
  date: true,
  onProgress: true,
  signal: true,
};

/** The options that say what rows become, out of an object that may have others as well. */
export function evaluationOf(
  { batchSize, sequenceLength, packing, trainOnPrompt, skipBadRows }: EvaluateOptions,
): EvaluateOptions {
  return { batchSize, sequenceLength, packing, trainOnPrompt, skipBadRows };
}

/**
 * Computes the mean loss of the model, as it is on the GPU now, over all rows of a dataset, read
 * once and in order.
 *
 * @throws {OptionError} for an unknown option, or rows of more tokens than the model was made for.
 * @throws {DataError} for malformed rows, or if no row has a target.
 * @throws {ModelError} if the loss is no finite number.
 */
export async function evaluate(
  model: Model,
  data: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  expectModel(model);
  Dataset.expect(data);
  checkOptions("evaluate", options, EVALUATE_NAMES);
  const { maxPositionEmbeddings, vocabSize } = model.config;
  const { batchSize = 16, packing, trainOnPrompt, skipBadRows, date, signal } = options;
  const { sequenceLength = Math.min(512, maxPositionEmbeddings) } = options;
  for (const [name, value] of Object.entries({ packing, trainOnPrompt, skipBadRows })) {
    if (value !== undefined) checkBoolean(name, value);
  }
  if (date !== undefined) checkText("date", date);
  if (sequenceLength > maxPositionEmbeddings) {
    throw new OptionError(
      `Cannot evaluate rows of ${sequenceLength} tokens as the model was made for ` +
        `${maxPositionEmbeddings}: use a sequenceLength of at most ${maxPositionEmbeddings}`,
    );
  }
  signal?.throwIfAborted();
  const loader = await openLoader({
    batchSize,
    sequenceLength,
    packing,
    trainOnPrompt,
    skipBadRows,
    dataset: data,
    tokenizerFolder: model.folder,
    tokenizerOptions: { ...model.tokenizer.options, ...date && { date } },
    vocabSize,
    shuffle: false,
    epochs: 1,
  });
  try {
    const onBatch = (loss: number, tokens: number) =>
      options.onProgress?.({ rows: loader.statistics.rows, tokens, loss });
    const mean = await meanLoss(model, loader.batches(), onBatch, signal);
    return { ...mean, warnings: dataWarnings(loader.statistics, { purpose: "evaluate" }) };
  } finally {
    loader.close();
  }
}

async function meanLoss(
  model: Model,
  batches: AsyncIterable<Batch>,
  onBatch: (loss: number, tokens: number) => void,
  signal?: AbortSignal,
): Promise<Omit<Evaluation, "warnings">> {
  let sum = 0;
  let tokens = 0;
  for await (const batch of batches) {
    signal?.throwIfAborted();
    const losses = await model.tokenLosses(batch);
    sum += losses.reduce((a, b) => a + b, 0);
    if (!Number.isFinite(sum)) throw noLoss(losses.find((loss) => !Number.isFinite(loss))!);
    tokens += batch.targetCount;
    if (tokens > 0) onBatch(sum / tokens, tokens);
  }
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens };
}
