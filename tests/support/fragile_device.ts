/**
 * A device that is lost when a test says so: the WebGPU device behind it is destroyed, as a driver does that resets a GPU.
 *
 * @module
 */

import { Device } from "../../src/gpu/device.ts";
import type { BufferView } from "../../src/gpu/buffers.ts";
import { openNative } from "../../src/gpu/open.ts";

/** Opens one. */
export async function openFragile(): Promise<FragileDevice> {
  const { gpu, info, hasPackedDot, subgroupDirective } = await openNative({});
  return new FragileDevice(gpu, info, "native", hasPackedDot, subgroupDirective);
}

/** A device that breaks. */
export class FragileDevice extends Device {
  /** Asked before each wait for results: whether the device breaks there. */
  breaksAt: () => boolean = () => false;

  override readAll(views: BufferView[]): Promise<ArrayBuffer[]> {
    if (this.breaksAt()) this.break();
    return super.readAll(views);
  }

  override finish(): Promise<void> {
    if (this.breaksAt()) this.break();
    return super.finish();
  }

  /** Loses the device. */
  break(): void {
    this.gpu.destroy();
  }
}

/** Breaks the device that is opened next when it is given work for the n-th time, until it is disposed of. */
export function breakAtSubmit(n: number): Disposable & { count: number } {
  const { submit } = GPUQueue.prototype;
  const { requestDevice } = GPUAdapter.prototype;
  const devices = new Map<GPUQueue, GPUDevice>();
  const broken = {
    count: 0,
    [Symbol.dispose]() {
      GPUQueue.prototype.submit = submit;
      GPUAdapter.prototype.requestDevice = requestDevice;
    },
  };
  GPUAdapter.prototype.requestDevice = async function (this: GPUAdapter, descriptor) {
    const device = await requestDevice.call(this, descriptor);
    devices.set(device.queue, device);
    return device;
  };
  GPUQueue.prototype.submit = function (this: GPUQueue, buffers) {
    const list = [...buffers];
    if (list.length > 0 && ++broken.count === n) devices.get(this)?.destroy();
    return submit.call(this, list);
  };
  return broken;
}
