/**
 * A device that chooses kernels as one with tensor cores does, and runs them with fragments emulated: whole
 * steps on those kernels, anywhere.
 *
 * @module
 */

import { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import type { KernelName } from "../../src/gpu/kernels.generated.ts";
import { openNative } from "../../src/gpu/open.ts";
import { F16_MATRIX, I8_MATRIX } from "../../src/gpu/subgroup_matrix.ts";
import type { KernelConstants } from "../../src/gpu/template.ts";

/** It, and the names of the kernels that it was asked for. */
export class EmulatedTensorCores extends Device {
  readonly asked: Set<string> = new Set();

  /** Opens one on the machine's GPU. */
  static async open(): Promise<EmulatedTensorCores> {
    const { gpu, info, hasPackedDot, subgroupDirective } = await openNative({});
    const device = new EmulatedTensorCores(gpu, info, "native", hasPackedDot, subgroupDirective);
    // A GPU on the CPU would choose other kernels.
    Object.assign(device, { isFallback: false, matrixConfigs: [F16_MATRIX, I8_MATRIX] });
    device.tuning = { ...device.tuning, f16Storage: { activations: true, gradients: true } };
    return device;
  }

  override kernel(name: KernelName, constants: KernelConstants = {}): Kernel {
    this.asked.add(name);
    return super.kernel(name, "EMULATE" in constants ? { ...constants, EMULATE: true } : constants);
  }
}
