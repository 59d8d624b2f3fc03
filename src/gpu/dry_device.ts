/**
 * A fake device that runs nothing and only counts allocations.
 *
 * Building a network on it and recording its programs gives the memory of a run, to the byte, from
 * the code of the run itself, on a machine that need not be able to hold it or have a GPU at all.
 *
 * @module
 */

import { Device } from "./device.ts";
import type { SizedBuffer } from "./too_large.ts";

/** A buffer that a run would make. */
export interface DryBuffer {
  /** What it is for. */
  label: string;
  /** Bytes. */
  size: number;
}

/** A device that refuses nothing, and notes what is beyond its limit. */
class DryDevice extends Device {
  readonly tooLarge: SizedBuffer[] = [];

  override get onlyCounts(): boolean {
    return true;
  }

  protected override expectBindable(buffer: SizedBuffer): void {
    if (buffer.size > this.bindingLimit) this.tooLarge.push(buffer);
  }
}

/**
 * Limits under which nothing is refused. Workgroup memory is that of the device to be like, as it
 * decides between kernels.
 */
const LIMITS = {
  maxBufferSize: Infinity,
  maxStorageBufferBindingSize: Infinity,
  maxComputeWorkgroupsPerDimension: Infinity,
  maxComputeInvocationsPerWorkgroup: Infinity,
  maxComputeWorkgroupStorageSize: Infinity,
};

/**
 * Opens a dry device.
 *
 * @param like The device whose kernels are to be recorded; without it, those of a GPU with f16.
 * @param bindingLimit The most bytes that it binds of one buffer. Default: as `like`, else no limit.
 * @returns The device, which reads zeros, the buffers that are on it at the time, and all that were made
 * beyond its limit.
 */
export function openDryDevice(
  like?: Device,
  bindingLimit: number = like?.bindingLimit ?? Infinity,
): { device: Device; buffers: Set<DryBuffer>; tooLarge: SizedBuffer[] } {
  const buffers = new Set<DryBuffer>();
  const object = () => ({});
  const done = () => Promise.resolve();
  const pass = {
    setPipeline: object,
    setBindGroup: object,
    dispatchWorkgroups: object,
    end: object,
  };
  const encoder = {
    beginComputePass: () => pass,
    clearBuffer: object,
    copyBufferToBuffer: object,
    finish: object,
  };
  const workgroupBytes = like?.gpu.limits?.maxComputeWorkgroupStorageSize;
  const gpu = {
    features: like?.gpu.features ?? new Set(["shader-f16"]),
    limits: {
      ...LIMITS,
      ...(workgroupBytes && { maxComputeWorkgroupStorageSize: workgroupBytes }),
    },
    lost: new Promise(() => {}),
    queue: { writeBuffer: object, submit: object, onSubmittedWorkDone: done },
    addEventListener: object,
    pushErrorScope: object,
    popErrorScope: () => Promise.resolve(null),
    createBuffer({ size, label }: DryBuffer) {
      const buffer = { label, size };
      buffers.add(buffer);
      const destroy = () => buffers.delete(buffer);
      const getMappedRange = () => new ArrayBuffer(size);
      return { size, label, destroy, mapAsync: done, getMappedRange };
    },
    createBindGroupLayout: object,
    createPipelineLayout: object,
    createShaderModule: object,
    createBindGroup: object,
    createComputePipelineAsync: () => Promise.resolve({}),
    createCommandEncoder: () => encoder,
    destroy: object,
  };
  const info = like?.info ?? ({} as GPUAdapterInfo);
  const { provider, hasPackedDot = true, subgroupDirective } = like ?? {};
  const device = new DryDevice(
    gpu as unknown as GPUDevice,
    info,
    provider,
    hasPackedDot,
    subgroupDirective,
  );
  device.tuning = like?.tuning ?? device.tuning;
  device.bindingLimit = bindingLimit;
  return { device, buffers, tooLarge: device.tooLarge };
}
