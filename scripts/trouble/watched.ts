/**
 * The command line of the package in a process that tells where its memory is: a line of JSON with
 * {@linkcode Pots} on stdout every so many milliseconds, among what the command itself says.
 *
 *     deno run -A scripts/trouble/watched.ts MILLISECONDS train --model …
 *
 * @module
 */

import { main } from "../../src/cli/main.ts";
import { processTerminal } from "../../src/cli/terminal.ts";
import { CAN_COUNT_NATIVE_BYTES, nativeBytes } from "../../tests/support/memory.ts";

/** Bytes of a process, in the places that hold them; null where nobody tells. */
export interface Pots {
  /** All of it that is in memory. */
  resident: number;
  /** V8's heap of the main thread: objects that are in use, or not yet collected. */
  heap: number;
  /** Of buffers that are behind those objects. */
  external: number;
  /** V8's heap and buffers of the worker that reads rows. */
  worker: number | null;
  /** What native code has from the C library: WebGPU, the driver, the tokenizer, and buffers again. */
  native: number | null;
}

/** The channel on which the worker is asked for its bytes, and tells them. */
export const CHANNEL = "bytes of the worker";

const LOADER = /\/src\/data\/worker\.ts$/;

/** Starts workers, that of the loader with one that tells its bytes around it. */
class WatchedWorker extends Worker {
  constructor(specifier: string | URL, options?: WorkerOptions) {
    const watched = new URL("./watched_worker.ts", import.meta.url);
    super(LOADER.test(`${specifier}`) ? watched : specifier, options);
  }
}

function watch(milliseconds: number): void {
  globalThis.Worker = WatchedWorker;
  const channel = new BroadcastChannel(CHANNEL);
  let worker: number | null = null;
  channel.onmessage = ({ data }) => worker = data;
  const tell = () => {
    const { rss: resident, heapUsed: heap, external } = Deno.memoryUsage();
    const native = CAN_COUNT_NATIVE_BYTES ? nativeBytes() : null;
    console.log(JSON.stringify({ resident, heap, external, worker, native } satisfies Pots));
    channel.postMessage(null); // the answer is told the next time
  };
  setInterval(tell, milliseconds);
}

if (import.meta.main) {
  const [milliseconds, ...words] = Deno.args;
  watch(Number(milliseconds));
  Deno.exit(await main(words, processTerminal()));
}
