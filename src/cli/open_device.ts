/**
 * Opens the GPU that the flags of a command name.
 *
 * @module
 */

import { type Device, requestDevice } from "../gpu/device.ts";
import type { GpuValues } from "./shared_flags.ts";
import type { Terminal } from "./terminal.ts";

/** Opens the GPU that a command was given. */
export async function openDevice({ provider }: GpuValues, terminal: Terminal): Promise<Device> {
  return await requestDevice({
    provider,
    onFallback: (reason) => terminal.stderr(`on native WebGPU, without tensor cores: ${reason}\n`),
  });
}
