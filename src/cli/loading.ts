/**
 * Shows how much of a run is on the GPU while its model is loaded, and of how much.
 *
 * @module
 */

import { FalqonError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Model } from "../inference/model.ts";
import type { Method } from "../layers/method.ts";
import { planMemory } from "../train/memory.ts";
import { resolveOptions } from "../train/options.ts";
import { formatBytes } from "./format.ts";
import { trainerOptions } from "./run_folder.ts";
import type { StatusLine } from "./status_line.ts";
import type { TrainValues } from "./train_flags.ts";

/** Says so until the line shows something else; without a total, as long as nothing is planned. */
export async function showLoading(
  line: StatusLine,
  device: Device,
  run?: { values: TrainValues; model: Model; method: Method },
): Promise<void> {
  const total = run && line.terminal.columns !== null ? await planned(device, run) : null;
  const of = total === null ? "" : ` of ${formatBytes(total)}`;
  line.phase(
    "loading the model",
    () => `, ${formatBytes(device.allocatedBytes)}${of} on the GPU`,
  );
}

/** What the run will take; null where it cannot be planned, which the run itself says better. */
async function planned(
  device: Device,
  { values, model: { config }, method }: { values: TrainValues; model: Model; method: Method },
): Promise<number | null> {
  try {
    const { evalEvery: _, earlyStoppingPatience: __, saveEvery: ___, ...plain } = values;
    const options = resolveOptions({ ...trainerOptions(plain), model: { config } });
    return (await planMemory({ config, method, ...options, device })).total;
  } catch (error) {
    if (error instanceof FalqonError) return null;
    throw error;
  }
}
