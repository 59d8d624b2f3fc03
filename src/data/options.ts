/**
 * How a loader turns rows into batches: options, their defaults and their limits.
 *
 * @module
 */

import { checkInteger } from "../checks.ts";

/** How a loader turns rows into batches. */
export interface LoaderOptions {
  /** Rows a batch. */
  batchSize: number;
  /** Tokens a row, at least 2. */
  sequenceLength: number;
  /** Several documents a row (default), or one document a row, padded. */
  packing?: boolean;
  /** Shuffle the rows (default), anew in each epoch. */
  shuffle?: boolean;
  /** Rows in the shuffle buffer; default 10,000. */
  shuffleBuffer?: number;
  /** Decides the order under `shuffle`; default 0. */
  seed?: number;
  /** Times to read the data; default without end. */
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
  checkInteger("batchSize", resolved.batchSize, 1);
  checkInteger("sequenceLength", resolved.sequenceLength, 2);
  checkInteger("shuffleBuffer", resolved.shuffleBuffer, 1);
  checkInteger("seed", resolved.seed, 0);
  checkInteger("vocabSize", resolved.vocabSize, 1);
  if (resolved.epochs !== Infinity) checkInteger("epochs", resolved.epochs, 1);
  return resolved;
}
