/**
 * What a run of the command line keeps in its folder besides the trainer's log and checkpoints: its options, so that
 * `--resume` needs nothing else and `--config` can repeat it.
 *
 * @module
 */

import { dirname, join, resolve } from "node:path";
import { OptionError } from "../errors.ts";
import { writeFileAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { findCheckpoint } from "../train/checkpoint.ts";
import { holdsRun } from "../train/log.ts";
import type { ResolvedOptions, TrainerOptions } from "../train/options.ts";
import { readConfigFile } from "./config_file.ts";
import { UsageError } from "./errors.ts";
import { readOptions } from "./flags.ts";
import { TRAIN_FLAGS, type TrainValues } from "./train_flags.ts";

/** Name of the file of options in a run's folder. */
export const OPTIONS_FILE = "training_options.json";

/** Flags that have another name than the option of the trainer that they set. */
const RENAMED = { gradAccum: "gradAccumSteps", checkpointing: "gradientCheckpointing" } as const;

/** Options of the trainer that are plain values. */
export type PlainOptions = Omit<Partial<TrainerOptions>, "model" | "data" | "method" | "evalData">;

/** The options of the trainer among flags: most have the same name. */
export function trainerOptions(
  { model: _model, data: _data, method: _method, evalData: _evalData, ...values }: TrainValues,
): PlainOptions {
  const options: Record<string, unknown> = { ...values };
  for (const [flag, option] of Object.entries(RENAMED)) options[option] = options[flag];
  return options;
}

/** The inverse of {@linkcode trainerOptions}: what flags would have to be given for these options. */
function flagsOf(options: Readonly<Record<string, unknown>>): TrainValues {
  const named: Record<string, unknown> = { ...options };
  for (const [flag, option] of Object.entries(RENAMED)) named[flag] = options[option];
  const flags = Object.entries(named).filter(([name, value]) =>
    Object.hasOwn(TRAIN_FLAGS, name) && value !== null && value !== undefined
  );
  return readOptions(Object.fromEntries(flags), TRAIN_FLAGS, "the checkpoint");
}

/**
 * The options of a run that goes on: those it was started with, under those given now.
 *
 * @throws {FileError} if there is no checkpoint.
 * @throws {UsageError} if another output folder is given.
 */
export async function resumedOptions(resume: string, given: TrainValues): Promise<TrainValues> {
  const { path, state } = await findCheckpoint(resume);
  const folder = dirname(resolve(path));
  if (given.output !== undefined && resolve(given.output) !== folder) {
    throw new UsageError(
      `Cannot write to "${given.output}" as the run that goes on is in "${folder}": ` +
        "leave --output out",
    );
  }
  const file = join(folder, OPTIONS_FILE);
  const stored = await exists(file)
    ? await readConfigFile(file, TRAIN_FLAGS)
    : { ...flagsOf(state.options), method: state.method as TrainValues["method"] };
  return { ...stored, ...given, output: folder };
}

/** Writes the options of a run, with paths and defaults that hold wherever and whenever it goes on. */
export async function writeOptions(
  folder: string,
  values: TrainValues,
  resolved: ResolvedOptions,
): Promise<void> {
  const options = { ...values, ...flagsOf({ ...resolved }) };
  for (const name of ["model", "data", "evalData", "adapter"] as const) {
    const path = options[name];
    if (path !== undefined) options[name] = resolve(path);
  }
  // These belong to one call of the command, or follow from where the file is.
  for (const name of ["output", "overwrite", "resume"] as const) delete options[name];
  await writeFileAtomically(join(folder, OPTIONS_FILE), JSON.stringify(options, null, 2) + "\n");
}

/**
 * Makes sure that a new run does not fall over an earlier one, nor over the model that it trains.
 *
 * @throws {OptionError} if it would.
 */
export async function expectFree(folder: string, model: string, overwrite: boolean): Promise<void> {
  if (await sameFolder(folder, model)) {
    throw new OptionError(
      `Cannot write to "${folder}" as it is the folder of the model to train: choose another --output`,
    );
  }
  if (overwrite) return;
  const found = await holdsRun(folder)
    ? "another run"
    : await exists(join(folder, "config.json"))
    ? "a model"
    : await exists(join(folder, "adapter_config.json"))
    ? "an adapter"
    : null;
  if (found === null) return;
  throw new OptionError(
    `Cannot write to "${folder}" as it holds ${found}: choose another --output, replace it ` +
      "with --overwrite, or go on with it by --resume",
  );
}

async function sameFolder(a: string, b: string): Promise<boolean> {
  if (!await exists(a) || !await exists(b)) return false;
  return await Deno.realPath(a) === await Deno.realPath(b);
}
