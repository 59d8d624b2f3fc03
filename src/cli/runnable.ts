/**
 * From `--model` to a model that runs: a folder as it is or with an adapter, or a checkpoint.
 *
 * @module
 */

import { dirname, resolve } from "node:path";
import { OptionError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Model, type ModelOptions } from "../inference/model.ts";
import type { BaseType } from "../layers/storage/base_weight.ts";
import { isCheckpoint } from "../train/checkpoint.ts";
import { useCheckpoint } from "../train/use_checkpoint.ts";
import { needed } from "./command.ts";
import { UsageError } from "./errors.ts";
import { locate } from "./located.ts";
import { frozenMethod, trainingMethod } from "./method.ts";
import { OPTIONS_FILE, optionsOfRun } from "./run_folder.ts";
import { noticesOn, tell, type Terminal } from "./terminal.ts";

/** The flags that say what runs. */
interface RunnableValues {
  model?: string;
  adapter?: string;
  base?: BaseType;
}

/**
 * Loads what the flags name onto the GPU.
 *
 * @param values With folders for names, see {@linkcode locate}.
 * @param options Of the model.
 * @throws {OptionError} for a checkpoint beside `--adapter` or `--base`, or without the options of
 * its run.
 */
export async function loadRunnable(
  values: RunnableValues,
  device: Device,
  terminal: Terminal,
  options: Omit<ModelOptions, "device" | "onNotice"> = {},
): Promise<Model> {
  const { model: folder } = values;
  if (folder === undefined) throw new UsageError("--model is missing: give it");
  const onNotice = noticesOn(terminal);
  const load = (folder: string, chatTemplate = options.chatTemplate) =>
    Model.load(folder, { ...options, chatTemplate, device, onNotice });
  using opened = new DisposableStack();
  if (!await isCheckpoint(folder)) {
    const model = opened.use(await load(folder));
    await model.use(await frozenMethod(values, model.config, device, terminal));
    opened.move();
    return model;
  }
  if (values.adapter !== undefined || values.base !== undefined) {
    const flag = values.adapter !== undefined ? "--adapter" : "--base";
    throw new OptionError(
      `Cannot use ${flag} with "${folder}" as a checkpoint has its method with it: leave ${flag} out`,
    );
  }
  const run = await optionsOfRun(dirname(resolve(folder)));
  if (run?.model === undefined) {
    throw new OptionError(
      `Cannot run "${folder}" as ${OPTIONS_FILE} is missing beside it, which names the model and the ` +
        "method: leave the checkpoint in the folder of its run",
    );
  }
  const named = await locate(run, terminal);
  const model = opened.use(
    await load(needed(named, "model"), options.chatTemplate ?? named.chatTemplate),
  );
  const step = await useCheckpoint(model, await trainingMethod(named, device, terminal), folder);
  tell(terminal, "note", `"${folder}" is ${run.model} after step ${step} of its run`);
  opened.move();
  return model;
}
