/**
 * What rounding the weights to save them cost: the held-out loss of what was written.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import type { Device } from "../gpu/device.ts";
import { evaluate, type EvaluateOptions } from "../inference/evaluate.ts";
import { Model } from "../inference/model.ts";
import { FolderLock } from "../io/folder_lock.ts";
import { TrainingLog } from "../train/log.ts";
import { frozenMethod } from "./method.ts";
import { noticesOn, type Terminal } from "./terminal.ts";

/** Said where nothing tells what the rounding cost. */
export const ROUNDED_UNKNOWN =
  "the weights were rounded to be saved; what that cost is not known, as no rows are held out: " +
  "give --eval-data or --eval-fraction\n";

/** What was trained, to compare with. */
export interface Trained {
  /** The last step. */
  step: number;
  /** Its held-out loss. */
  loss: number;
  /** How that was computed. */
  shape: EvaluateOptions;
}

/**
 * Loads what was saved, evaluates it as `eval` does, and says and logs both losses.
 *
 * @param folder Of the run, with the log and what was saved.
 */
export async function compareSaved(
  folder: string,
  { device, data, trained }: { device: Device; data: Dataset; trained: Trained },
  terminal: Terminal,
): Promise<void> {
  using model = await Model.load(folder, { device, onNotice: noticesOn(terminal) });
  await model.use(await frozenMethod({}, model.config, device, terminal));
  const { step, loss, shape } = trained;
  const saved = await evaluate(model, data, shape);
  const savedAs = model.config.quantization?.format ?? "bf16";
  terminal.stdout(
    `saved in ${savedAs}: held-out loss ${loss.toFixed(4)} before, ${
      saved.loss.toFixed(4)
    } after\n`,
  );
  // The trainer has given the folder back. All lines stay, as the best step may have been saved.
  using _ = await FolderLock.take(folder);
  using log = await TrainingLog.open(folder, Infinity);
  await log.append([{ step, savedAs, evalLoss: loss, savedEvalLoss: saved.loss }]);
}
