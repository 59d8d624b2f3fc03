/**
 * Runs a loader in a worker: reads, tokenises and packs while the main thread
 * is busy, or blocked, with the GPU.
 *
 * @module
 */

import { GarbageCount } from "../garbage.ts";
import { Tokenizer } from "../io/tokenizer.ts";
import { Dataset } from "./dataset.ts";
import { DirectLoader } from "./direct_loader.ts";
import { packError, type WorkerReply, type WorkerRequest } from "./worker_protocol.ts";

/** The part of a worker's global scope that is used; the project's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: (event: MessageEvent<WorkerRequest>) => void;
  postMessage(reply: WorkerReply, transfer?: Transferable[]): void;
}

/** Batches after which the rows behind them are collected: V8 itself waits until they are several times what lives. */
const MOST_BATCHES = 1024;

const scope = globalThis as unknown as WorkerScope;
let credits = 0;
let creditArrived = () => {};

async function run(request: WorkerRequest & { kind: "begin" }): Promise<void> {
  try {
    credits = request.credits;
    const place = request.tokenizer;
    const tokenizer = place === null ? null : await Tokenizer.load(place.folder, place.options);
    const dataset = Dataset.fromDescriptor(request.dataset);
    const loader = new DirectLoader(dataset, tokenizer, request.options);
    const garbage = new GarbageCount(MOST_BATCHES);
    for await (const batch of loader.batches(request.from)) {
      while (credits === 0) await new Promise<void>((resolve) => creditArrived = resolve);
      credits--;
      scope.postMessage({ kind: "batch", batch, statistics: loader.statistics }, [
        batch.inputIds.buffer,
        batch.targets.buffer,
        batch.positions.buffer,
        batch.documentStart.buffer,
        batch.documentEnd.buffer,
      ]);
      garbage.add();
      garbage.collectIfDue();
    }
    scope.postMessage({ kind: "end", statistics: loader.statistics });
  } catch (error) {
    scope.postMessage({ kind: "error", ...packError(error) });
  }
}

scope.onmessage = ({ data }) => {
  if (data.kind === "begin") {
    run(data);
  } else {
    credits++;
    creditArrived();
  }
};
