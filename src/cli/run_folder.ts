/**
 * What a run of the command line keeps in its folder besides the trainer's log and checkpoints: its
 * options, so that `--resume-from` needs nothing else and `--config` can repeat it.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { OptionError } from "../errors.ts";
import { writeFileAtomically } from "../io/atomic.ts";
import { CHAT_TEMPLATE_NAMES } from "../io/chat_templates.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { referenceTo } from "../io/hub/names.ts";
import { FolderLock } from "../io/folder_lock.ts";
import { expectWritable } from "../io/writable.ts";
import { findCheckpoint, holdsRun, runFolderOf } from "../train/checkpoint.ts";
import { tidyFolder } from "../train/folder_order.ts";
import { flattenOptions, groupedNames, groupOptions } from "../train/option_groups.ts";
import { PLAIN_NAMES, type PlainOptions, type ResolvedOptions } from "../train/options.ts";
import { readConfigFile } from "./config_file.ts";
import { UsageError } from "./errors.ts";
import { lastingName } from "./located.ts";
import { kebabCase, readOptions } from "./flags.ts";
import { TRAIN_FLAGS, type TrainValues } from "./train_flags.ts";

/** Name of the file of options in a run's folder. */
export const OPTIONS_FILE = "training_options.json";

/** Flags that belong to one call of the command, or follow from where the file is. */
const OF_ONE_CALL = [
  ...["outputDir", "overwrite", "resumeFrom", "resumeAnyway", "resumeFallback"] as const,
  ...["showRows", "findLearningRate"] as const,
] as const;

/** The flags that are options of the trainer. */
const TRAINER_FLAGS = [
  ...PLAIN_NAMES,
  ...groupedNames("optimizer"),
  ...groupedNames("rows"),
].filter((name) => Object.hasOwn(TRAIN_FLAGS, name));

/** The options of the trainer among flags, in their groups. */
export function trainerOptions(values: TrainValues): PlainOptions {
  const flags = Object.entries(values).filter(([name]) => TRAINER_FLAGS.includes(name));
  return groupOptions(Object.fromEntries(flags));
}

/**
 * The inverse of {@linkcode trainerOptions}: the flags that would have to be given for these
 * options, which may be those of a checkpoint from before there were groups.
 */
function flagsOf(options: Readonly<Record<string, unknown>>): TrainValues {
  const flags = Object.entries(flattenOptions(options)).filter(([name]) =>
    TRAINER_FLAGS.includes(name)
  );
  return readOptions(Object.fromEntries(flags), TRAIN_FLAGS, "the checkpoint");
}

/** The options of a resumed run, and where they are from. */
export interface Resumed {
  /** Those it was started with, under those given now. */
  values: TrainValues;
  /** What is read because the run's folder says so, as a sentence; null for nothing. */
  named: string | null;
}

/**
 * The options of a resumed run.
 *
 * @param folder Of the run.
 * @throws {FileError} if there is no checkpoint.
 * @throws {UsageError} if another output folder is given.
 */
export async function resumedOptions(
  resumeFrom: string,
  folder: string,
  given: TrainValues,
): Promise<Resumed> {
  if (given.outputDir !== undefined && resolve(given.outputDir) !== resolve(folder)) {
    throw new UsageError(
      `Cannot write to "${given.outputDir}" as the resumed run is in "${folder}": ` +
        "leave --output-dir out",
    );
  }
  let stored = await optionsOfRun(folder);
  if (stored === null || !given.resumeFallback) {
    const { state } = await findCheckpoint(resumeFrom, given.resumeFallback ? () => {} : undefined);
    stored ??= { ...flagsOf(state.options), method: state.method as TrainValues["method"] };
  }
  const values = { ...stored, ...given, outputDir: folder };
  return { values, named: namedBy(join(folder, OPTIONS_FILE), stored, given) };
}

/** Files that a run's folder names, which may be someone else's. */
function namedBy(file: string, stored: TrainValues, given: TrainValues): string | null {
  const parts = (["model", "adapter", "data", "evalData", "chatTemplate", "provider"] as const)
    .filter((name) => stored[name] !== undefined && given[name] === undefined)
    .map((name) => `${kebabCase(name)} ${[stored[name]].flat().join(" ")}`);
  return parts.length === 0 ? null : `reading ${parts.join(", ")}, as "${file}" says`;
}

/** The options that a run in a folder was started with; null where the file is missing. */
export async function optionsOfRun(folder: string): Promise<TrainValues | null> {
  const file = join(folder, OPTIONS_FILE);
  return await exists(file) ? await readConfigFile(file, TRAIN_FLAGS) : null;
}

/**
 * Writes the options of a run, with paths and defaults that hold wherever and whenever it is resumed.
 */
export async function writeOptions(
  folder: string,
  values: TrainValues,
  resolved: ResolvedOptions,
): Promise<void> {
  const options = { ...values, ...flagsOf({ ...resolved }) };
  for (const name of ["model", "adapter"] as const) {
    const path = options[name];
    if (path !== undefined) options[name] = referenceTo(path);
  }
  for (const name of ["data", "evalData"] as const) {
    const given = options[name];
    if (given !== undefined) options[name] = await Promise.all(given.map(lastingName));
  }
  const { chatTemplate, sampleMessages, tensorboard } = options;
  if (sampleMessages) options.sampleMessages = sampleMessages.map((path) => resolve(path));
  if (tensorboard !== undefined) options.tensorboard = resolve(tensorboard);
  if (chatTemplate !== undefined && !CHAT_TEMPLATE_NAMES.includes(chatTemplate)) {
    options.chatTemplate = resolve(chatTemplate);
  }
  for (const name of OF_ONE_CALL) delete options[name];
  await writeFileAtomically(join(folder, OPTIONS_FILE), JSON.stringify(options, null, 2) + "\n");
}

/**
 * The folder that a run is kept in.
 *
 * @throws {FileError} if a run is to go on that is not there.
 */
export async function runFolder(
  { outputDir = "./out", resumeFrom }: Pick<TrainValues, "outputDir" | "resumeFrom">,
): Promise<string> {
  return resumeFrom === undefined ? outputDir : await runFolderOf(resumeFrom);
}

/**
 * Takes the folder of a run, so that no other writes there, and puts in order what a killed run left.
 *
 * @throws {OptionError} if another run has it.
 * @throws {FileError} if it cannot be written.
 */
export async function takeFolder(
  folder: string,
  onNotice: (notice: string) => void,
): Promise<FolderLock> {
  await expectWritable(folder);
  const lock = (await FolderLock.take(folder, onNotice)).keep();
  try {
    await tidyFolder(folder);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return lock;
}

/**
 * Makes sure that a new run does not fall over the model that it trains.
 *
 * @throws {OptionError} if it would.
 */
export async function expectNotModel(folder: string, model: string): Promise<void> {
  if (await sameFolder(folder, model)) {
    throw new OptionError(
      `Cannot write to "${folder}" as it is the folder of the model to train: choose another ` +
        "--output-dir",
    );
  }
}

/**
 * Makes sure that a new run does not fall over an earlier one.
 *
 * @throws {OptionError} if it would.
 */
export async function expectFree(folder: string): Promise<void> {
  const found = await holdsRun(folder)
    ? "another run"
    : await exists(join(folder, "config.json"))
    ? "a model"
    : await exists(join(folder, "adapter_config.json"))
    ? "an adapter"
    : null;
  if (found === null) return;
  throw new OptionError(
    `Cannot write to "${folder}" as it holds ${found}: choose another --output-dir, replace it ` +
      "with --overwrite, or go on with it by --resume-from",
  );
}

async function sameFolder(a: string, b: string): Promise<boolean> {
  if (!await exists(a) || !await exists(b)) return false;
  try {
    return await Deno.realPath(a) === await Deno.realPath(b);
  } catch (error) {
    throw toFileError("write to", a, error);
  }
}
