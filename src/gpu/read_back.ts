/**
 * Reading results: one staging buffer and one round trip for any number of views.
 *
 * @module
 */

import { DeviceError } from "../errors.ts";
import { type BufferView, roundUp } from "./buffers.ts";

/** What reading needs of a device. */
export interface ReadableDevice {
  readonly gpu: GPUDevice;
  createBuffer(size: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer;
  free(buffer: GPUBuffer): void;
  createCommandEncoder(): GPUCommandEncoder;
  /** Called after a round trip: has the garbage of earlier work collected, if there is much. */
  collectGarbage(): void;
  /** Throws if GPU work failed. */
  check(): void;
  wait<T>(begin: () => Promise<T>): Promise<T>;
  explain(sentence: string, cause: unknown): Promise<DeviceError>;
}

/**
 * Reads several views back in one round trip.
 *
 * @throws {DeviceError} if any earlier GPU work failed.
 */
export async function readBack(
  device: ReadableDevice,
  views: readonly BufferView[],
): Promise<ArrayBuffer[]> {
  const starts: number[] = [];
  let total = 0;
  for (const view of views) {
    starts.push(total);
    total += roundUp(view.size, 16);
  }
  device.check();
  if (total === 0) return views.map(() => new ArrayBuffer(0));
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer(total, usage, "read-back staging");
  try {
    const encoder = device.createCommandEncoder();
    views.forEach((view, i) => {
      if (view.size) {
        encoder.copyBufferToBuffer(view.buffer, view.offset, staging, starts[i], view.size);
      }
    });
    device.gpu.queue.submit([encoder.finish()]);
    await device.wait(() => staging.mapAsync(GPUMapMode.READ));
    device.check();
    const mapped = staging.getMappedRange();
    return views.map((view, i) => mapped.slice(starts[i], starts[i] + view.size));
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    const { name, message } = error as Error;
    throw await device.explain(
      `Cannot read results as the GPU does not give them (${message || name}): open it again`,
      error,
    );
  } finally {
    device.free(staging);
    device.collectGarbage();
  }
}
