/**
 * GPUs that are not there: recording on them gives the kernels that such GPUs are asked to run.
 *
 * @module
 */

import { Device } from "../../src/gpu/device.ts";
import { openDryDevice } from "../../src/gpu/dry_device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import type { KernelName } from "../../src/gpu/kernels.generated.ts";
import { F16_MATRIX, I8_MATRIX, SUBGROUP_MATRIX } from "../../src/gpu/subgroup_matrix.ts";
import type { KernelConstants } from "../../src/gpu/template.ts";

/** A GPU with f16, as native WebGPU shows it. */
export function openDryGpu(): Device {
  return openDryDevice().device;
}

/** A GPU with tensor cores, as Dawn shows it, with the workgroup memory of NVIDIA's. */
export function openDryTensorGpu(): Device {
  const like = {
    provider: "dawn",
    info: {
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
      subgroupMatrixConfigs: [F16_MATRIX, I8_MATRIX],
    },
    gpu: {
      features: new Set(["shader-f16", "subgroups", SUBGROUP_MATRIX]),
      limits: { maxComputeWorkgroupStorageSize: 48 * 1024 },
    },
  };
  return openDryDevice(like as unknown as Device).device;
}

/** The kernels that `action` asks devices for, by name. */
export async function kernelsOf(action: () => Promise<unknown>): Promise<Map<string, Kernel[]>> {
  const asked = new Map<string, Kernel[]>();
  const { kernel } = Device.prototype;
  Device.prototype.kernel = function (name: KernelName, constants?: KernelConstants): Kernel {
    const made = kernel.call(this, name, constants);
    asked.set(name, [...new Set([...asked.get(name) ?? [], made])]);
    return made;
  };
  try {
    await action();
  } finally {
    Device.prototype.kernel = kernel;
  }
  return asked;
}
