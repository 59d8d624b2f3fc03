/**
 * When steps end, on the GPU's own clock.
 *
 * @module
 */

import type { Device } from "../../src/gpu/device.ts";

/**
 * A timestamp at the end of each step. Steps are submitted without a wait in between, so the time
 * from one end to the next is what a step costs in a run: the GPU's work and, where the host is
 * slower, the host's.
 */
export class StepClock implements Disposable {
  #device: Device;
  #queries: GPUQuerySet;
  #resolved: GPUBuffer;
  #count = 0;

  /** A clock for up to `stamps` timestamps, one more than steps. Needs a device with timestamps. */
  constructor(device: Device, stamps: number) {
    this.#device = device;
    this.#queries = device.gpu.createQuerySet({ type: "timestamp", count: stamps });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    this.#resolved = device.createBuffer(8 * stamps, usage, "ends of steps");
  }

  /** Submits a timestamp behind all work submitted so far. */
  stamp(): void {
    const encoder = this.#device.gpu.createCommandEncoder();
    encoder.beginComputePass({
      timestampWrites: { querySet: this.#queries, endOfPassWriteIndex: this.#count++ },
    }).end();
    this.#device.gpu.queue.submit([encoder.finish()]);
  }

  /** Waits, and gives the milliseconds between each stamp and the next. */
  async intervals(): Promise<number[]> {
    const count = this.#count;
    const encoder = this.#device.gpu.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, count, this.#resolved, 0);
    this.#device.gpu.queue.submit([encoder.finish()]);
    const view = { buffer: this.#resolved, offset: 0, size: 8 * count };
    const stamps = new BigUint64Array(await this.#device.read(view));
    return Array.from(stamps.subarray(1), (stamp, i) => Number(stamp - stamps[i]) / 1e6);
  }

  [Symbol.dispose](): void {
    this.#queries.destroy();
    this.#device.free(this.#resolved);
  }
}
