/**
 * Writes every kernel variant that a test run asks of a device to the file named by `KERNEL_LOG`, one JSON
 * line each. For `deno test --preload`; scripts/check_wgsl.ts reads the file.
 *
 * @module
 */

import { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import type { KernelName } from "../../src/gpu/kernels.generated.ts";
import type { KernelConstants } from "../../src/gpu/template.ts";

/** One line of the log. */
export interface RecordedKernel {
  name: string;
  constants: KernelConstants;
  /** The expanded WGSL. */
  code: string;
}

const log = Deno.env.get("KERNEL_LOG");

if (log !== undefined) {
  const kernelOf = Device.prototype.kernel;
  const seen = new Set<string>();
  Device.prototype.kernel = function (name: KernelName, constants: KernelConstants = {}): Kernel {
    const kernel = kernelOf.call(this, name, constants);
    if (!seen.has(kernel.code)) {
      seen.add(kernel.code);
      const line: RecordedKernel = { name, constants, code: kernel.code };
      Deno.writeTextFileSync(log, JSON.stringify(line) + "\n", { append: true });
    }
    return kernel;
  };
}
