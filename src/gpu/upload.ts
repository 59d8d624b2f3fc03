/**
 * Bytes to the GPU.
 *
 * @module
 */

/** Bytes moved by one `writeBuffer`, so that staging memory stays small. */
const CHUNK = 1 << 26;

/** Writes bytes into a buffer, from `start` on; both are multiples of 4. */
export function upload(
  queue: GPUQueue,
  buffer: GPUBuffer,
  start: number,
  data: ArrayBufferView<ArrayBuffer>,
): void {
  // Never a zero-length write, which panics.
  for (let at = 0; at < data.byteLength; at += CHUNK) {
    const length = Math.min(CHUNK, data.byteLength - at);
    const chunk = new Uint8Array(data.buffer, data.byteOffset + at, length);
    queue.writeBuffer(buffer, start + at, chunk);
  }
}
