/**
 * The messages between {@linkcode PrefetchLoader} and its worker. Each credit
 * allows the worker one batch, so memory is bounded however slow the consumer.
 *
 * @module
 */

import * as errors from "../errors.ts";
import type { FileDatasetDescriptor } from "./dataset.ts";
import type { TokenizerOptions } from "../io/tokenizer.ts";
import type { LoaderOptions } from "./options.ts";
import type { Batch, LoaderPosition, LoaderStatistics } from "./types.ts";

/** All that a worker needs to load the same tokenizer. */
export interface TokenizerPlace {
  /** Folder with `tokenizer.json`. */
  folder: string;
  /** As the tokenizer was loaded. */
  options?: TokenizerOptions;
}

/** Messages to the worker. */
export type WorkerRequest =
  | {
    kind: "begin";
    dataset: FileDatasetDescriptor;
    /** Where the tokenizer is, or null when all rows are `input_ids`. */
    tokenizer: TokenizerPlace | null;
    options: LoaderOptions;
    from: LoaderPosition | undefined;
    credits: number;
  }
  | { kind: "credit" };

/** Messages from the worker. */
export type WorkerReply =
  | { kind: "batch"; batch: Batch; statistics: LoaderStatistics }
  | { kind: "end"; statistics: LoaderStatistics }
  | ({ kind: "error" } & PostedError);

/** An error in a form that keeps its class across threads. */
export interface PostedError {
  /** Name of the class. */
  name: string;
  /** The message. */
  message: string;
  /** Where it was thrown. */
  stack: string | undefined;
}

/** Prepares an error for posting: structured cloning would make it a plain `Error`. */
export function packError(error: unknown): PostedError {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), stack: undefined };
  }
  return { name: error.name, message: error.message, stack: error.stack };
}

/** The error that {@linkcode packError} prepared, of the same class if it is this package's. */
export function unpackError({ name, message, stack }: PostedError): Error {
  const classes: Partial<Record<string, new (message: string) => Error>> = errors;
  const error = new (classes[name] ?? Error)(message);
  error.name = name;
  error.stack = stack;
  return error;
}
