/**
 * The device that all tests of a file share, so that each kernel is compiled once in a file. What a test leaves on it is
 * freed after the test, and GPU work that failed fails the test that asked for it. Tests of what a device itself does
 * (opening, failing, its sums of bytes) open their own.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { Device } from "../../src/gpu/device.ts";
import { openDawn, openNative } from "../../src/gpu/open.ts";

/** Set by the preload `on_dawn.ts`. */
export const ON_DAWN = "falqonTestsRunOnDawn";

/** A device that can be brought back to how it was before a test. */
class SharedDevice extends Device {
  #made: GPUBuffer[] = [];
  readonly #tuning = this.tuning;

  override createBuffer(size: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer {
    const buffer = super.createBuffer(size, usage, label);
    this.#made.push(buffer);
    return buffer;
  }

  /** Keeps for good what was made outside of a test. */
  beginTest(): void {
    this.#made = [];
    this.peakBytes = this.allocatedBytes;
  }

  /** Frees what the test made, and undoes what it set. */
  endTest(): void {
    this.free(...this.#made);
    this.tuning = this.#tuning;
    this.bindingLimit = Infinity;
  }
}

const onDawn = ON_DAWN in globalThis;
const { gpu, info, hasPackedDot, subgroupDirective } = await (onDawn ? openDawn : openNative)({});
const provider = onDawn ? "dawn" : "native";
const shared = new SharedDevice(gpu, info, provider, hasPackedDot, subgroupDirective);

/** The file's device. */
export const device: Device = shared;

Deno.test.beforeEach(() => shared.beginTest());
Deno.test.afterEach(async () => {
  try {
    await shared.finish();
  } finally {
    shared.endTest();
  }
});
// Dawn crashes where its last callbacks come after the file has ended: wait for the work first.
Deno.test.afterAll(() => shared[Symbol.asyncDispose]());

/**
 * For tests about freeing: `await using _ = expectAllFreed()` fails where more bytes are in buffers when the scope ends.
 * Programs are freed once they are prepared, so it waits.
 */
export function expectAllFreed(): AsyncDisposable {
  const before = device.allocatedBytes;
  return {
    async [Symbol.asyncDispose]() {
      await device.finish();
      assertEquals(device.allocatedBytes, before, "bytes in buffers that were not freed");
    },
  };
}
