/**
 * Packed documents for tests of kernels.
 *
 * @module
 */

import type { BufferView } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";

/** Documents of these lengths, one after another: their starts by token, and the buffer that kernels read. */
export function packLengths(
  device: Device,
  lengths: readonly number[],
): { starts: Uint32Array; documents: BufferView } {
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const bounds = new Uint32Array(2 * tokens);
  let start = 0;
  for (const length of lengths) {
    for (let t = start; t < start + length; t++) bounds.set([start, start + length], 2 * t);
    start += length;
  }
  const documents = device.allocate(Math.max(16, 8 * tokens), "documents");
  device.write(documents, bounds);
  return { starts: bounds.filter((_, i) => i % 2 === 0), documents };
}
