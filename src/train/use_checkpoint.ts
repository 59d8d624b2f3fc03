/**
 * A checkpoint as a model that runs.
 *
 * @module
 */

import { checkText } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { expectModel } from "../inference/loaded_model.ts";
import type { Model } from "../inference/model.ts";
import { expectMethod } from "../methods/registry.ts";
import type { Method } from "../layers/method.ts";
import { findCheckpoint, restoreCheckpoint, runFolderOf } from "./checkpoint.ts";
import { bringBack } from "./folder_order.ts";
import { expectSettings } from "./method_settings.ts";

/**
 * Loads a checkpoint onto the GPU, to evaluate, generate and save what was trained until then; to go
 * on with training, `Trainer.create` has `resumeFrom`.
 *
 * @param model The model that the run was started with.
 * @param method The method of the run, with the same rank and targets.
 * @param folder A checkpoint, or the folder of a run, of which the newest is taken.
 * @returns The step of the checkpoint.
 * @throws {FileError} if there is no checkpoint, or it is damaged.
 * @throws {OptionError} if it is of another method, rank or model.
 * @example
 * ```ts
 * import { falqon, type Model, useCheckpoint } from "@falqon/webgpu";
 *
 * async function tell(model: Model, checkpoint: string) {
 *   await useCheckpoint(model, falqon({ rank: 16 }), checkpoint); // such as "./out/checkpoint-200"
 *   for await (const text of model.generate("Once upon a time")) console.log(text);
 * }
 *
 * console.log(typeof tell);
 * ```
 */
export async function useCheckpoint(
  model: Model,
  method: Method,
  folder: string,
): Promise<number> {
  expectModel(model);
  expectMethod(method);
  checkText("folder", folder);
  await bringBack(await runFolderOf(folder));
  const checkpoint = await findCheckpoint(folder);
  const { path, state } = checkpoint;
  if (state.method !== method.name) {
    throw new OptionError(
      `Cannot use "${path}" under ${method.name} as it was trained by ${state.method}: use that method`,
    );
  }
  expectSettings(path, state.settings, method, false);
  const network = await model.adapt(method, { random: () => 0, restoring: true });
  try {
    await restoreCheckpoint(checkpoint, network);
  } catch (error) {
    model.release(network);
    throw error;
  }
  return state.step;
}
