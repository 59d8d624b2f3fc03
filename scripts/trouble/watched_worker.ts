/**
 * The loader's worker, which tells its bytes when it is asked.
 *
 * @module
 */

import "../../src/data/worker.ts";

const channel = new BroadcastChannel("bytes of the worker");
channel.onmessage = () => {
  const { heapUsed, external } = Deno.memoryUsage();
  channel.postMessage(heapUsed + external);
};
