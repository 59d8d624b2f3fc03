/**
 * Options of a loader, with their defaults and limits.
 *
 * @module
 */

import { checkBatch, checkInteger } from "../checks.ts";

/** Options of a loader. */
export interface LoaderOptions {
  /** Rows per batch. */
  batchSize: number;
  /** Tokens per row, at least 2. */
  sequenceLength: number;
  /** Several documents per row (default), or one document per row, padded. */
  packing?: boolean;
  /** Shuffle the rows (default), differently in each epoch. */
  shuffle?: boolean;
  /** Rows in the shuffle buffer; default 10,000. */
  shuffleBuffer?: number;
  /** Decides the order under `shuffle`; default 0. */
  seed?: number;
  /** Times to read the data; default Infinity. */
  epochs?: number;
  /** Make the tokens of prompts targets too; default false. */
  trainOnPrompt?: boolean;
  /** Skip and count malformed rows instead of ending; default false. */
  skipBadRows?: boolean;
  /** Rows of the model's embedding: ids from there on are an error. */
  vocabSize?: number;
}

/** {@linkcode LoaderOptions} with every default filled in. */
export type ResolvedLoaderOptions = Required<LoaderOptions>;

/**
 * Fills in defaults and checks values.
 *
 * @throws {OptionError} when a number is out of its range.
 */
export function resolveLoaderOptions(options: LoaderOptions): ResolvedLoaderOptions {
  const resolved: ResolvedLoaderOptions = {
    batchSize: options.batchSize,
    sequenceLength: options.sequenceLength,
    packing: options.packing ?? true,
    shuffle: options.shuffle ?? true,
    shuffleBuffer: options.shuffleBuffer ?? 10_000,
    seed: options.seed ?? 0,
    epochs: options.epochs ?? Infinity,
    trainOnPrompt: options.trainOnPrompt ?? false,
    skipBadRows: options.skipBadRows ?? false,
    vocabSize: options.vocabSize ?? 2 ** 31,
  };
  checkBatch(resolved.batchSize, resolved.sequenceLength);
  checkInteger("shuffleBuffer", resolved.shuffleBuffer, 1);
  checkInteger("seed", resolved.seed, 0);
  checkInteger("vocabSize", resolved.vocabSize, 1);
  if (resolved.epochs !== Infinity) checkInteger("epochs", resolved.epochs, 1);
  return resolved;
}
