/**
 * Chooses the loader: in a worker, so that reading and tokenising overlap with training, or on the
 * calling thread where a worker cannot read the same rows.
 *
 * @module
 */

import { Tokenizer, type TokenizerOptions } from "../io/tokenizer.ts";
import type { Dataset } from "./dataset.ts";
import { DirectLoader } from "./direct_loader.ts";
import { checkInteger } from "../checks.ts";
import type { LoaderOptions } from "./options.ts";
import { PrefetchLoader } from "./prefetch_loader.ts";
import type { Loader, TokenEncoder } from "./types.ts";

/** Options of {@linkcode openLoader}. */
export interface OpenLoaderOptions extends LoaderOptions {
  /** The rows. */
  dataset: Dataset;
  /** Folder with `tokenizer.json`, from which a worker loads its own tokenizer. */
  tokenizerFolder?: string;
  /** How it loads it. */
  tokenizerOptions?: TokenizerOptions;
  /** A loaded tokenizer, used where there is no worker. */
  encoder?: TokenEncoder;
  /** Read and tokenise in a worker where possible (default). */
  worker?: boolean;
  /**
   * Batches that the worker makes ahead of time; default 16. A trainer submits as many steps as lie
   * between two read-backs of metrics, ten by default, much faster than the GPU runs them: fewer
   * batches would make it wait for data in the middle.
   */
  prefetch?: number;
}

/**
 * Opens a stream of batches. A worker makes them ahead of time when the dataset
 * is a file and the tokenizer can be loaded from a folder or is not needed.
 * Otherwise the calling thread makes the same batches.
 *
 * @throws {OptionError} when an option is out of range.
 * @throws {FileError} when the tokenizer cannot be read.
 */
export async function openLoader(options: OpenLoaderOptions): Promise<Loader> {
  const { dataset, tokenizerFolder, tokenizerOptions, encoder, worker = true, ...others } = options;
  const { prefetch = 16, ...rest } = others;
  const tokenizer = tokenizerFolder === undefined
    ? null
    : { folder: tokenizerFolder, options: tokenizerOptions };
  checkInteger("prefetch", prefetch, 1);
  const { descriptor } = dataset;
  if (worker && descriptor !== null && (tokenizer !== null || encoder === undefined)) {
    return new PrefetchLoader(descriptor, tokenizer, rest, prefetch);
  }
  const loaded = encoder ??
    (tokenizer === null ? null : await Tokenizer.load(tokenizer.folder, tokenizer.options));
  return new DirectLoader(dataset, loaded, rest);
}
