/**
 * What went wrong on a device. WebGPU tells it late and by events, so it is kept until somebody reads
 * results; the first failure counts, as the others follow from it.
 *
 * @module
 */

import { DeviceError, DeviceLostError } from "../errors.ts";

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
    gpu.lost.then(({ message }) => this.#lose(message));
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
    await this.#hear();
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
    await this.#hear();
    if (!this.#isLost) await this.whileAlive(begin()).catch(() => {});
  }

  /**
   * The error of work that failed by itself: that of the device, if it is what failed.
   *
   * @param sentence Says what was tried, for a device that works.
   */
  async explain(sentence: string, cause: unknown): Promise<DeviceError> {
    await this.#hear();
    // The event of a device that is destroyed with work under way comes only when that has ended.
    const { message = "" } = (cause ?? {}) as Partial<Error>;
    if (/\bdevice is lost\b/i.test(message)) this.#lose(message);
    if (this.#failure !== null) return this.#failure();
    return new DeviceError(sentence, { cause });
  }

  /** Lets the provider find out, and its events arrive: natively, a loss is told by the next submit. */
  async #hear(): Promise<void> {
    if (!this.#isLost) this.#gpu.queue.submit([]);
    await new Promise<void>((resolve) => setImmediate(() => resolve()));
  }

  #lose(message: string): void {
    this.#isLost = true;
    this.#failure ??= () => lostError(message);
    for (const end of this.#waiting) end();
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
      reasonOf(message) || "without a reason"
    }): start again, ` +
      "and if that repeats, look into the driver's log and update it",
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
    `Cannot continue as the GPU reported: ${reasonOf(message) || "an internal error"}; this is a ` +
      "mistake of this package or of the driver: update the driver, or report it",
  );
}

/**
 * What a provider says, in one line: Dawn adds what it was doing, and where in its own source it found it.
 */
export function reasonOf(message: string): string {
  const lines = message.split("\n").filter((line) => !/^\s*(at|- While) /.test(line));
  return lines.join(" ").trim().replace(/\s+/g, " ");
}
