/**
 * A device that makes no GPU work: it only adds up what is allocated.
 *
 * Building a network on it and recording its programs gives the memory of a run, to the byte, from the code of the
 * run itself, on a machine that need not be able to hold it or have a GPU at all.
 *
 * @module
 */

import { Device } from "./device.ts";

/** A buffer that a run would make. */
export interface DryBuffer {
  /** What it is for. */
  label: string;
  /** Bytes. */
  size: number;
}

/** Limits under which nothing is refused. */
const LIMITS = {
  maxBufferSize: Infinity,
  maxStorageBufferBindingSize: Infinity,
  maxComputeWorkgroupsPerDimension: Infinity,
};

/**
 * Opens a dry device.
 *
 * @returns The device, whose `read` must not be called, and every buffer made on it, freed ones included.
 */
export function openDryDevice(): { device: Device; buffers: DryBuffer[] } {
  const buffers: DryBuffer[] = [];
  const object = () => ({});
  const gpu = {
    features: new Set(["shader-f16"]),
    limits: LIMITS,
    lost: new Promise(() => {}),
    queue: { writeBuffer: object, submit: object, onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener: object,
    pushErrorScope: object,
    popErrorScope: () => Promise.resolve(null),
    createBuffer({ size, label }: DryBuffer) {
      buffers.push({ label, size });
      return { size, label, destroy: object };
    },
    createBindGroupLayout: object,
    createPipelineLayout: object,
    createShaderModule: object,
    createBindGroup: object,
    createComputePipelineAsync: () => Promise.resolve({}),
    destroy: object,
  };
  const device = new Device(gpu as unknown as GPUDevice, {} as GPUAdapterInfo);
  return { device, buffers };
}
