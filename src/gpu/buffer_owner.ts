/**
 * The buffers of a device: each is freed once, or all with the device.
 *
 * @module
 */

import type { BufferView } from "./buffers.ts";

/** Makes buffers, counts their bytes and frees them. */
export class BufferOwner {
  /** The WebGPU device. */
  readonly gpu: GPUDevice;
  /** Bytes allocated in buffers now. */
  allocatedBytes = 0;
  /** The most bytes that were allocated in buffers at any one time. */
  peakBytes = 0;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #freed = new WeakSet<GPUBuffer>();

  constructor(gpu: GPUDevice) {
    this.gpu = gpu;
  }

  /** Creates a buffer of any usage that this device owns. */
  createBuffer(size: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer {
    const buffer = this.gpu.createBuffer({ size, usage, label });
    this.#buffers.add(buffer);
    this.allocatedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.allocatedBytes);
    return buffer;
  }

  /**
   * Runs what makes buffers, at once and not asynchronously. If it throws, those are freed that it had
   * made: a constructor cannot, whose caller never gets the object.
   */
  allOrNothing<T>(make: () => T): T {
    const before = new Set(this.#buffers);
    try {
      return make();
    } catch (error) {
      this.free(...this.#buffers.difference(before));
      throw error;
    }
  }

  /** Frees the buffers behind views; views of one buffer may be given together. */
  free(...views: (BufferView | GPUBuffer | null | undefined)[]): void {
    for (const view of views) {
      const buffer = view && "buffer" in view ? view.buffer : view;
      if (!buffer || !this.#buffers.delete(buffer)) continue;
      this.allocatedBytes -= buffer.size;
      this.#freed.add(buffer);
      buffer.destroy();
    }
  }

  /** Whether a buffer is gone. */
  isFreed(buffer: GPUBuffer): boolean {
    return this.#freed.has(buffer);
  }

  /** Frees every buffer. */
  protected freeAll(): void {
    this.free(...this.#buffers);
  }
}
