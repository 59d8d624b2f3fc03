/**
 * The GPU as users see it: what it is, what it can do, how much memory it holds. What kernels need
 * of it is in {@linkcode GpuDevice}, which every floor of this package uses and nobody outside.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { Device as GpuDevice, requestDevice as openDevice } from "./device.ts";
import type { DeviceOptions, Provider } from "./open.ts";
import type { SubgroupMatrixConfig } from "./subgroup_matrix.ts";

export type { DeviceOptions, Provider, SubgroupMatrixConfig };

/** A GPU, from {@linkcode requestDevice}. Models and trainers keep their buffers on it. */
export interface Device extends Disposable, AsyncDisposable {
  /** The name of the GPU. */
  readonly name: string;
  /** The WebGPU implementation behind it. */
  readonly provider: Provider;
  /** The adapter's description of itself. */
  readonly info: GPUAdapterInfo;
  /** The device's limits. */
  readonly limits: GPUSupportedLimits;
  /** True for a GPU that the CPU emulates. */
  readonly isFallback: boolean;
  /** True if kernels may use `f16`. */
  readonly hasF16: boolean;
  /** True if GPU timestamps can be taken. */
  readonly hasTimestamps: boolean;
  /** True if kernels may use subgroup operations. */
  readonly hasSubgroups: boolean;
  /** True if kernels may multiply four signed bytes at a time: int8 natively. */
  readonly hasPackedDot: boolean;
  /** The subgroup matrices that kernels may multiply on tensor cores; none natively. */
  readonly matrixConfigs: readonly SubgroupMatrixConfig[];
  /** Bytes in buffers now. */
  readonly allocatedBytes: number;
  /** The most bytes in buffers at any one time. */
  readonly peakBytes: number;
  /**
   * Waits until all submitted work has run.
   *
   * @throws {DeviceError} if any of it failed.
   */
  finish(): Promise<void>;
  /**
   * Frees every buffer and the device. Where submitted work may still run, prefer `await using`,
   * which waits for it: Deno's WebGPU ends the process if work of a device that it lets go of takes
   * over six seconds more.
   */
  destroy(): void;
}

/**
 * Opens the machine's GPU.
 *
 * @throws {DeviceError} where no adapter is found, or it refuses a device; for the provider "dawn"
 * also where the package cannot be loaded, or reaches no tensor cores.
 * @throws {OptionError} for another provider.
 * @example
 * ```ts
 * import { requestDevice } from "@falqon/webgpu";
 *
 * await using device = await requestDevice();
 * console.log(device.name, device.limits.maxBufferSize);
 * ```
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  return await openDevice(options);
}

/**
 * What kernels need of a device that a user gave.
 *
 * @throws {OptionError} for an object that {@linkcode requestDevice} did not make.
 */
export function internalDevice(device: Device): GpuDevice {
  if (device instanceof GpuDevice) return device;
  throw new OptionError(
    "Cannot use the given device as this package did not open it: give one from requestDevice()",
  );
}
