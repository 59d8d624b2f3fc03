/**
 * The loader that runs in a worker. The host thread, which may block in a wait for the GPU, only
 * receives finished batches.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DataError } from "../errors.ts";
import type { FileDatasetDescriptor } from "./dataset.ts";
import { checkInteger } from "../checks.ts";
import { type LoaderOptions, resolveLoaderOptions } from "./options.ts";
import { emptyStatistics } from "./statistics.ts";
import type { Batch, Loader, LoaderPosition, LoaderStatistics } from "./types.ts";
import {
  type TokenizerPlace,
  unpackError,
  type WorkerReply,
  type WorkerRequest,
} from "./worker_protocol.ts";

/** Yields the batches of a worker, which makes several ahead of time. */
export class PrefetchLoader implements Loader {
  readonly #dataset: FileDatasetDescriptor;
  readonly #tokenizer: TokenizerPlace | null;
  readonly #options: LoaderOptions;
  readonly #ahead: number;
  readonly #stops = new Set<() => void>();
  #statistics = emptyStatistics();
  #closed = false;

  /**
   * A loader that has started no worker yet.
   *
   * @param dataset The `descriptor` of a dataset over a file.
   * @param tokenizer May be null when all rows are `input_ids`.
   * @param ahead Batches made ahead of time.
   * @throws {OptionError} when an option is out of range.
   */
  constructor(
    dataset: FileDatasetDescriptor,
    tokenizer: TokenizerPlace | null,
    options: LoaderOptions,
    ahead: number,
  ) {
    checkInteger("prefetch", ahead, 1);
    this.#dataset = dataset;
    this.#tokenizer = tokenizer;
    this.#options = resolveLoaderOptions(options);
    this.#ahead = ahead;
  }

  /** Counters of the latest call of `batches`, as of its latest batch. */
  get statistics(): LoaderStatistics {
    return { ...this.#statistics };
  }

  /** Ends every stream of batches, now and later, and its worker. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
  }

  /** The batches after `from`, from a worker that lives as long as the stream. */
  async *batches(from?: LoaderPosition): AsyncGenerator<Batch, void, void> {
    if (this.#closed) return;
    this.#statistics = { ...emptyStatistics(), ...from?.statistics };
    expectReadableModules();
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const send = (request: WorkerRequest) => worker.postMessage(request);
    let stop = () => {};
    const replies = new ReadableStream<WorkerReply>({
      start: (controller) => {
        let failed = false;
        worker.onmessage = ({ data }) => controller.enqueue(data);
        worker.onerror = (event) => {
          event.preventDefault();
          failed = true;
          controller.error(new Error(`The data worker failed: ${event.message}`));
        };
        stop = () => {
          worker.terminate();
          if (!failed) controller.close(); // nor can a failed stream be closed
          this.#stops.delete(stop);
        };
      },
      // At once, since a reply to a cancelled stream would be an error.
      cancel: () => worker.terminate(),
    });
    this.#stops.add(stop);
    try {
      send({
        kind: "begin",
        dataset: this.#dataset,
        tokenizer: this.#tokenizer,
        options: this.#options,
        from,
        credits: this.#ahead,
      });
      let waitedFrom = performance.now();
      for await (const reply of replies) {
        if (reply.kind === "error") throw unpackError(reply);
        this.#statistics = reply.statistics;
        if (reply.kind === "end") return;
        send({ kind: "credit" });
        reply.batch.waitMs = performance.now() - waitedFrom;
        yield reply.batch;
        if (this.#closed) return;
        waitedFrom = performance.now();
      }
    } finally {
      worker.terminate();
      this.#stops.delete(stop);
    }
  }
}

/**
 * Expects that a worker may read its modules: where these are files, Deno lets it only if the process may
 * read files there, although it has read the process's own.
 *
 * @throws {DataError} that names the flag.
 */
function expectReadableModules(): void {
  const source = new URL("../", import.meta.url);
  if (source.protocol !== "file:") return;
  const path = fileURLToPath(source);
  const { state } = Deno.permissions.requestSync({ name: "read", path });
  if (state === "granted") return;
  throw new DataError(
    `Cannot start the worker that reads rows as Deno does not allow it to read its own code: start it with ` +
      `--allow-read="${path}" as well`,
  );
}
