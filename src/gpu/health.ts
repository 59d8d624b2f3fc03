/**
 * What went wrong on a device. WebGPU tells it late and by events, so it is kept until somebody reads
 * results; the first failure counts, as the others follow from it.
 *
 * @module
 */

import { DeviceError, DeviceLostError } from "../errors.ts";

/** Lets events of the provider arrive. */
const moment = () => new Promise<void>((resolve) => setImmediate(() => resolve()));

/** Whether a device works, and for which reason not. */
export class DeviceHealth {
  readonly #gpu: GPUDevice;
  /** Bytes in buffers now. */
  readonly #allocated: () => number;
  #failure: (() => DeviceError) | null = null;
  #isLost = false;
  /** Ends the waits under way when the device is lost. */
  #waiting = new Set<() => void>();

  /** @param allocated Tells how many bytes are in buffers. */
  constructor(gpu: GPUDevice, allocated: () => number) {
    this.#gpu = gpu;
    this.#allocated = allocated;
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#report((event as GPUUncapturedErrorEvent).error);
    });
    gpu.lost.then(({ message }) => {
      this.#isLost = true;
      this.#failure ??= () => lostError(message);
      for (const end of this.#waiting) end();
    });
  }

  /** Notes that the device is closed by its owner. */
  close(): void {
    this.#isLost = true;
    this.#failure ??= () =>
      new DeviceError("Cannot use this GPU as its device was destroyed: open it again");
  }

  /** @throws {DeviceError} if anything failed since the device was opened. */
  check(): void {
    if (this.#failure !== null) throw this.#failure();
  }

  /**
   * Makes sure that the device is there before its work is waited for. Deno's own WebGPU ends the whole
   * process when it waits for a device that is lost, so what an earlier submit has found must arrive first.
   *
   * @throws {DeviceError} if anything failed since the device was opened.
   */
  async expectAlive(): Promise<void> {
    await moment();
    this.check();
  }

  /** Waits for a promise, or until the device is lost: some promises then never end. */
  async whileAlive<T>(promise: Promise<T>): Promise<T> {
    let end!: () => void;
    const lost = new Promise<never>((_, reject) => {
      end = () => reject(this.#failure!());
    });
    if (this.#isLost) end();
    this.#waiting.add(end);
    try {
      return await Promise.race([promise, lost]);
    } finally {
      this.#waiting.delete(end);
    }
  }

  /** Waits for work if the device is still there; whether it failed does not matter any more. */
  async settled(begin: () => Promise<unknown>): Promise<void> {
    await moment();
    if (!this.#isLost) await this.whileAlive(begin()).catch(() => {});
  }

  /**
   * The error of work that failed by itself: that of the device, if it is what failed.
   *
   * @param sentence Says what was tried, for a device that works.
   */
  async explain(sentence: string, cause: unknown): Promise<DeviceError> {
    await moment();
    if (this.#failure !== null) return this.#failure();
    return new DeviceError(sentence, { cause });
  }

  #report(error: GPUError): void {
    // Both providers have a class of this name, and each its own.
    const isMemory = error.constructor.name === "GPUOutOfMemoryError";
    const { message } = error;
    this.#failure ??= isMemory ? () => memoryError(this.#allocated()) : () => refusedError(message);
  }
}

function lostError(message: string): DeviceLostError {
  return new DeviceLostError(
    `Cannot continue as the GPU was lost (${
      oneLine(message) || "without a reason"
    }): open it again, ` +
      "and look into the driver's log if it happens again",
  );
}

function memoryError(allocated: number): DeviceError {
  return new DeviceError(
    `Cannot continue as the GPU has no memory left, with ${allocated} bytes in buffers of this ` +
      "device: reduce batchSize or sequenceLength, set gradientCheckpointing, or close other programs " +
      "that use the GPU",
  );
}

function refusedError(message: string): DeviceError {
  return new DeviceError(
    `Cannot continue as the GPU reported: ${oneLine(message) || "an internal error"}; this is a ` +
      "mistake of this package or of the driver: update the driver, or report it",
  );
}

function oneLine(message: string): string {
  return message.trim().replace(/\s+/g, " ");
}
