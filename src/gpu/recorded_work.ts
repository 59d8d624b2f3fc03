/**
 * The items of a recorded program, and how they are encoded.
 *
 * @module
 */

import type { BufferView } from "./buffers.ts";
import type { Kernel } from "./kernel.ts";

/** Buffers by the names they have in the kernel. */
export type Bindings = Readonly<Record<string, BufferView>>;

/**
 * The work of a dispatch, for benches that compare its time with the GPU's limits. It has no
 * influence on results.
 */
export interface DispatchCost {
  /** Floating-point operations; a fused multiply-add is two. Default 0: not bound by arithmetic. */
  flops?: number;
  /**
   * Bytes that must move between memory and the chip. By default every bound storage view counts
   * once, those that are read and written too; give a number where a kernel reads only part of a
   * view, or rewrites what it read.
   */
  bytes?: number;
  /** The shape or the variant, such as `nt 8192×4096×4096`, for lists of times. */
  label?: string;
}

/** A kernel with what it binds. */
export interface Dispatch extends Required<DispatchCost> {
  kind: "dispatch";
  kernel: Kernel;
  bindings: Bindings;
  /** Byte offset of the parameters in the program's uniform buffer. */
  paramsOffset: number;
  group: GPUBindGroup | null;
  grid: [number, number, number];
  phase: string;
}

/** A copy of `from.size` bytes. */
export interface Copy {
  kind: "copy";
  from: BufferView;
  to: BufferView;
}

/** Setting a view to zero bytes. */
export interface Clear {
  kind: "clear";
  view: BufferView;
}

/** The time of one dispatch of a program, and its work. */
export interface KernelTime extends Required<DispatchCost> {
  phase: string;
  kernel: string;
  /** Milliseconds on the GPU. */
  ms: number;
}

/** What a program is a list of. */
export type RecordedItem = Dispatch | Copy | Clear;

/** Encodes all items, dispatches that follow each other in one pass. */
export function encodeItems(encoder: GPUCommandEncoder, items: Iterable<RecordedItem>): void {
  let pass: GPUComputePassEncoder | null = null;
  for (const item of items) {
    if (item.kind === "dispatch") {
      pass ??= encoder.beginComputePass();
      encodeDispatch(pass, item);
    } else {
      pass?.end();
      pass = null;
      encodeTransfer(encoder, item);
    }
  }
  pass?.end();
}

/** What submitting needs of a device. */
export interface SubmittingDevice {
  readonly gpu: GPUDevice;
  createCommandEncoder(): GPUCommandEncoder;
}

/** Submits all items once. */
export function submitItems(device: SubmittingDevice, items: Iterable<RecordedItem>): void {
  const encoder = device.createCommandEncoder();
  encodeItems(encoder, items);
  device.gpu.queue.submit([encoder.finish()]);
}

/**
 * Submits the items before each kernel that is not compiled, then compiles it: the GPU computes
 * meanwhile.
 */
export async function submitWhileCompiling(
  device: SubmittingDevice,
  items: Iterable<RecordedItem>,
): Promise<void> {
  let ready: RecordedItem[] = [];
  for (const item of items) {
    if (item.kind === "dispatch" && !item.kernel.isCompiled) {
      if (ready.length > 0) submitItems(device, ready);
      ready = [];
      await item.kernel.compile();
    }
    ready.push(item);
  }
  submitItems(device, ready);
}

/** Encodes a dispatch into a pass. */
export function encodeDispatch(
  pass: GPUComputePassEncoder,
  { kernel, group, grid }: Dispatch,
): void {
  pass.setPipeline(kernel.pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...grid);
}

/** Encodes a copy or a clear, between passes. */
export function encodeTransfer(encoder: GPUCommandEncoder, item: Copy | Clear): void {
  if (item.kind === "clear") {
    const { buffer, offset, size } = item.view;
    encoder.clearBuffer(buffer, offset, size);
  } else {
    const { from, to } = item;
    encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, from.size);
  }
}
