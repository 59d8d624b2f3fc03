import { OptionError } from "../errors.ts";

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
  checkInteger("batchSize", resolved.batchSize, 1, "the number of rows in a batch");
  checkInteger(
    "sequenceLength",
    resolved.sequenceLength,
    2,
    "one token to predict from and one to predict",
  );
  checkInteger("shuffleBuffer", resolved.shuffleBuffer, 1, "rows to choose from");
  checkInteger("seed", resolved.seed, 0, "any one");
  checkInteger("vocabSize", resolved.vocabSize, 1, "the rows of the model's embedding");
  if (resolved.epochs !== Infinity) {
    checkInteger("epochs", resolved.epochs, 1, "or leave it out to read without end");
  }
  return resolved;
}

/**
 * Checks an option that counts something.
 *
 * @param hint What the number means, to end the error's sentence.
 * @throws {OptionError} unless `value` is a safe integer of at least `least`.
 */
export function checkInteger(name: string, value: number, least: number, hint: string): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new OptionError(`${name} is ${value}: give an integer of at least ${least}, ${hint}.`);
  }
}
