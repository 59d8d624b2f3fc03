/**
 * GPU work outside of the training step: recorded, submitted and freed.
 *
 * @module
 */

import type { Device } from "./device.ts";
import { Program } from "./program.ts";

/**
 * Records GPU work that is needed once, submits it, and frees the program. Does not wait for the
 * GPU.
 */
export async function submitOnce(
  device: Device,
  record: (program: Program) => void,
): Promise<void> {
  using program = new Program(device);
  record(program);
  await program.prepareAndRun();
}
