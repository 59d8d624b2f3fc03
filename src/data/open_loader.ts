import { Tokenizer } from "../io/tokenizer.ts";
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
  /** Folder with `tokenizer.json`; what a worker needs to make its own tokenizer. */
  tokenizerFolder?: string;
  /** A tokenizer that is already loaded; used instead when there is no worker. */
  encoder?: TokenEncoder;
  /** Read and tokenise in a worker where possible (default). */
  worker?: boolean;
  /** Batches that the worker makes ahead; default 4. */
  prefetch?: number;
}

/**
 * Opens a stream of batches. A worker makes them ahead when the dataset is a
 * file and the tokenizer can be loaded from a folder, or is not needed;
 * otherwise the calling thread does, with the same batches as the result.
 *
 * @throws {OptionError} when an option is out of range.
 * @throws {FileError} when the tokenizer cannot be read.
 */
export async function openLoader(options: OpenLoaderOptions): Promise<Loader> {
  const { dataset, tokenizerFolder, encoder, worker = true, prefetch = 4, ...rest } = options;
  checkInteger("prefetch", prefetch, 1);
  const { descriptor } = dataset;
  if (worker && descriptor !== null && (tokenizerFolder !== undefined || encoder === undefined)) {
    return new PrefetchLoader(descriptor, tokenizerFolder ?? null, rest, prefetch);
  }
  const loaded = encoder ??
    (tokenizerFolder === undefined ? null : await Tokenizer.load(tokenizerFolder));
  return new DirectLoader(dataset, loaded, rest);
}
