/**
 * How long each dispatch of a program takes on the GPU.
 *
 * @module
 */

import type { Device } from "./device.ts";
import {
  encodeDispatch,
  encodeTransfer,
  type KernelTime,
  type RecordedItem,
} from "./recorded_work.ts";

/**
 * Runs recorded items `repeats` times with a timestamp around every dispatch, without a wait in
 * between.
 *
 * @returns every dispatch in order, with its median time.
 */
export async function profileItems(
  device: Device,
  items: readonly RecordedItem[],
  repeats: number,
): Promise<KernelTime[]> {
  const { gpu } = device;
  const CHUNK = 2048; // dispatches of a query set: WebGPU allows 4096 queries
  const samples: number[][] = [];
  const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * CHUNK });
  const resolved = device.createBuffer(
    16 * CHUNK,
    GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    "timestamps",
  );
  let encoder = device.createCommandEncoder();
  let pending: number[] = []; // indices of the dispatches that the query set holds
  const flush = async () => {
    if (pending.length > 0) encoder.resolveQuerySet(querySet, 0, 2 * pending.length, resolved, 0);
    gpu.queue.submit([encoder.finish()]);
    encoder = device.createCommandEncoder();
    const view = { buffer: resolved, offset: 0, size: 16 * pending.length };
    const stamps = new BigUint64Array(await device.read(view));
    pending.forEach((index, i) =>
      (samples[index] ??= []).push(Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6)
    );
    pending = [];
  };
  for (let run = 0; run < repeats; run++) {
    let index = 0;
    for (const item of items) {
      if (item.kind !== "dispatch") {
        encodeTransfer(encoder, item);
        continue;
      }
      const at = 2 * pending.length;
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: at,
          endOfPassWriteIndex: at + 1,
        },
      });
      encodeDispatch(pass, item);
      pass.end();
      pending.push(index++);
      if (pending.length === CHUNK) await flush();
    }
  }
  await flush();
  querySet.destroy();
  device.free(resolved);
  const dispatches = items.filter((item) => item.kind === "dispatch");
  return dispatches.map(({ phase, kernel, flops, bytes, label }, i) => {
    const ms = samples[i].sort((a, b) => a - b)[repeats >> 1];
    return { phase, kernel: kernel.name, ms, flops, bytes, label };
  });
}
