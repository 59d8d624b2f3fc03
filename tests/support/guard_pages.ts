/**
 * Buffers between guard pages. Importing this, or running tests with it as a preload, puts each view that a device
 * allocates into the middle of a larger buffer whose ends hold a pattern: a kernel that writes beyond its operand changes
 * the pattern, which fails the test that waits for the device next; one that reads there gets NaN and ids that nothing has.
 *
 *     deno test -A --no-lock --preload=tests/support/on_dawn.ts --preload=tests/support/guard_pages.ts tests/kernels/
 *
 * That is for Dawn on a GPU, where nothing checks indices; natively WebGPU keeps them inside of the view.
 *
 * @module
 */

import type { BufferView } from "../../src/gpu/buffers.ts";
import { Device } from "../../src/gpu/device.ts";

/** Bytes of a page. */
const PAGE = 1 << 12;
/** NaN as f32 and as two f16s; far from any index. */
const PATTERN = 0x7fc17fc1;

/** The pages of a device, and copies of those that are gone. */
interface Guards {
  buffers: Map<GPUBuffer, { label: string; size: number }>;
  copies: { label: string; buffer: GPUBuffer }[];
}

const guards = new WeakMap<Device, Guards>();
const { allocate, free, finish } = Device.prototype;

function guardsOf(device: Device): Guards {
  let made = guards.get(device);
  if (!made) guards.set(device, made = { buffers: new Map(), copies: [] });
  return made;
}

Device.prototype.allocate = function (this: Device, bytes, label, growsWith): BufferView {
  const { buffer: plain, size } = allocate.call(this, bytes, label, growsWith);
  free.call(this, plain);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = this.createBuffer(size + 2 * PAGE, usage, label);
  const page = new Uint32Array(PAGE / 4).fill(PATTERN);
  this.gpu.queue.writeBuffer(buffer, 0, page);
  this.gpu.queue.writeBuffer(buffer, PAGE + size, page);
  guardsOf(this).buffers.set(buffer, { label, size });
  return { buffer, offset: PAGE, size };
};

/** Copies the pages around a view. */
function copyPages({ gpu }: Device, from: GPUBuffer, size: number): GPUBuffer {
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const copy = gpu.createBuffer({ size: 2 * PAGE, usage });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, copy, 0, PAGE);
  encoder.copyBufferToBuffer(from, PAGE + size, copy, PAGE, PAGE);
  gpu.queue.submit([encoder.finish()]);
  return copy;
}

Device.prototype.free = function (this: Device, ...views): void {
  const { buffers, copies } = guardsOf(this);
  for (const view of views) {
    const buffer = view && "buffer" in view ? view.buffer : view;
    const guard = buffer && buffers.get(buffer);
    if (!guard) continue;
    buffers.delete(buffer);
    copies.push({ label: guard.label, buffer: copyPages(this, buffer, guard.size) });
  }
  free.call(this, ...views);
};

/** @throws {RangeError} if a page was written to, naming its buffer and the distance to it. */
async function expectWhole(device: Device): Promise<void> {
  const { gpu } = device;
  const { buffers, copies } = guardsOf(device);
  const pages = copies.splice(0);
  for (const [buffer, { label, size }] of buffers) {
    pages.push({ label, buffer: copyPages(device, buffer, size) });
  }
  if (pages.length === 0) return;
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = gpu.createBuffer({ size: 2 * PAGE * pages.length, usage });
  const encoder = gpu.createCommandEncoder();
  for (const [i, { buffer }] of pages.entries()) {
    encoder.copyBufferToBuffer(buffer, 0, staging, 2 * PAGE * i, 2 * PAGE);
  }
  gpu.queue.submit([encoder.finish()]);
  await device.wait(() => staging.mapAsync(GPUMapMode.READ));
  const words = new Uint32Array(staging.getMappedRange().slice(0));
  for (const { buffer } of [...pages, { buffer: staging }]) buffer.destroy();
  const at = words.findIndex((word) => word !== PATTERN);
  if (at === -1) return;
  const { label } = pages[Math.floor(4 * at / (2 * PAGE))];
  const behind = 4 * at % (2 * PAGE) - PAGE;
  const where = behind < 0 ? `${-behind} bytes before` : `${behind} bytes behind`;
  throw new RangeError(`Something was written ${where} "${label}": ${words[at].toString(16)}`);
}

Device.prototype.finish = async function (this: Device) {
  await finish.call(this);
  await expectWhole(this);
};
