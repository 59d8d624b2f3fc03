/**
 * Compiles many kernels at once where the runtime compiles one after another.
 *
 * Native WebGPU compiles on the thread that asks, and nearly all of that time is the driver's. But NVIDIA's driver keeps what
 * it compiled, by content: workers with devices of their own compile the kernels side by side, and the device that needs
 * them finds them there.
 *
 * @module
 */

import type { CompileRequest } from "./compile_worker.ts";
import type { Kernel } from "./kernel.ts";

/** Bytes of WGSL from which workers pay: the driver takes about a second for 50,000, a worker as long to open a GPU. */
const WORTH_WORKERS = 150_000;

/** NVIDIA's number as a PCI vendor, as native WebGPU gives it. */
const NVIDIA = "4318";

/** Workers at the most. */
const MOST_WORKERS = 6;

/** Processors that each worker should have, as drivers use more than one. */
const PROCESSORS = 2;

/** How many workers should compile kernels that have so much code. */
export function workersFor(bytes: number, vendor: string, processors: number): number {
  if (vendor !== NVIDIA || bytes < WORTH_WORKERS) return 0;
  return Math.min(MOST_WORKERS, Math.floor(processors / PROCESSORS), Math.floor(bytes / 50_000));
}

/** Deals items out so that the sums of their sizes are about the same. */
export function shareOut<T>(
  items: readonly T[],
  shares: number,
  size: (item: T) => number,
): T[][] {
  const dealt = Array.from({ length: shares }, () => ({ items: [] as T[], size: 0 }));
  for (const item of items.toSorted((a, b) => size(b) - size(a))) {
    const least = dealt.reduce((one, other) => other.size < one.size ? other : one);
    least.items.push(item);
    least.size += size(item);
  }
  return dealt.map(({ items }) => items);
}

/**
 * Has kernels compiled by workers, where that is worth it. A worker that fails leaves its kernels to the caller.
 *
 * @param options As the device was opened with that is to find them.
 * @param vendor Of its adapter.
 */
export async function fillDriverCache(
  kernels: readonly Kernel[],
  options: CompileRequest["options"],
  vendor: string,
  processors: number = navigator.hardwareConcurrency,
): Promise<void> {
  const bytes = kernels.reduce((sum, { code }) => sum + code.length, 0);
  const workers = workersFor(bytes, vendor, processors);
  if (workers < 2) return; // one alone is no faster than the caller
  await Promise.all(
    shareOut(kernels, workers, ({ code }) => code.length).map((share) =>
      compileInWorker({ options, kernels: share.map(({ name, code }) => ({ name, code })) })
    ),
  );
}

function compileInWorker(request: CompileRequest): Promise<void> {
  const worker = new Worker(new URL("./compile_worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    const end = () => {
      worker.terminate();
      resolve();
    };
    worker.onmessage = end;
    worker.onerror = (event) => {
      event.preventDefault();
      end();
    };
    worker.postMessage(request);
  });
}
