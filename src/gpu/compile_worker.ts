/**
 * A worker that compiles kernels for the driver's cache: see {@linkcode fillDriverCache}.
 *
 * @module
 */

import { Kernel } from "./kernel.ts";
import { type DeviceOptions, openNative } from "./open.ts";

/** What the worker is asked for. */
export interface CompileRequest {
  /** As given when the device was opened: the driver caches by what a device has. */
  options: Omit<DeviceOptions, "onFallback">;
  kernels: Pick<Kernel, "name" | "code">[];
}

/** The part of a worker's global scope used here; the project's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: (event: MessageEvent<CompileRequest>) => void;
  postMessage(reply: null): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = async ({ data }) => {
  try {
    const { gpu } = await openNative(data.options);
    for (const { name, code } of data.kernels) await new Kernel(gpu, name, code).compile();
    gpu.destroy();
  } catch {
    // Whoever asked compiles again, and meets the error.
  }
  scope.postMessage(null);
  scope.close();
};
