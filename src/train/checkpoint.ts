/**
 * Checkpoints: everything a run needs to go on bit for bit.
 *
 * `checkpoint-<step>/state.json` says what it is of and where the data stood; `state.safetensors`
 * holds the parameters where they are kept, AdamW's moments and what the method keeps. A checkpoint's
 * folder appears under its name only when it is whole.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { isCount, MOST_STEPS } from "../checks.ts";
import { FileError } from "../errors.ts";
import { removeFolderAtomically, writeFolderAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import type { Network } from "../model/network.ts";
import { type CheckpointState, formatState, readState, STATE_FILE } from "./checkpoint_state.ts";
import { checkTensors, readTensors, writeTensors } from "./checkpoint_tensors.ts";
import { LOG_FILE } from "./log.ts";

const TENSORS_FILE = "state.safetensors";
const FOLDER = /^checkpoint-(\d+)$/;

/** A checkpoint whose `state.json` was read. */
export interface Checkpoint {
  path: string;
  state: CheckpointState;
}

/** Which checkpoints stay when a new one is written. */
export interface Retention {
  /** How many of the newest. */
  newest: number;
  /** The step of one that stays besides; null for none. */
  best: number | null;
}

/** Writes a checkpoint under `folder` and removes those that are not to stay. */
export async function writeCheckpoint(
  folder: string,
  network: Network,
  state: CheckpointState,
  retention: Retention,
): Promise<void> {
  await writeFolderAtomically(checkpointFolder(folder, state.step), async (temporary) => {
    const checksums = await writeTensors(join(temporary, TENSORS_FILE), network);
    await Deno.writeTextFile(join(temporary, STATE_FILE), formatState({ ...state, checksums }));
  }, { overwrite: true });
  await removeSurplus(folder, retention);
}

/** Removes the checkpoints that are not to stay. */
export async function removeSurplus(folder: string, { newest, best }: Retention): Promise<void> {
  const steps = await listCheckpoints(folder);
  for (const step of steps.slice(0, -newest)) {
    if (step !== best) await removeFolderAtomically(checkpointFolder(folder, step));
  }
}

/** Whether a folder holds a run: a log with at least one step, or a checkpoint. */
export async function holdsRun(folder: string): Promise<boolean> {
  const log = join(folder, LOG_FILE);
  return await exists(log) && (await Deno.stat(log)).size > 0 ||
    (await listCheckpoints(folder)).length > 0;
}

/** Where the checkpoint of a step is in a run's folder. */
export function checkpointFolder(folder: string, step: number): string {
  return join(folder, `checkpoint-${step}`);
}

/** Whether a folder is a checkpoint. */
export async function isCheckpoint(folder: string): Promise<boolean> {
  return await exists(join(folder, STATE_FILE)) && await exists(join(folder, TENSORS_FILE));
}

/** The folder of the run that a path means, which is that folder or a checkpoint in it. */
export async function runFolderOf(path: string): Promise<string> {
  const isOne = stepOf(path) !== null || await exists(join(path, STATE_FILE));
  const folder = isOne ? dirname(resolve(path)) : path;
  await expectThere(folder);
  return folder;
}

/**
 * Finds the checkpoint to go on from: the folder itself, or the newest in it.
 *
 * @param fallBack Takes the newest whole one before a damaged one, and is told why; without it a damaged
 * one is refused.
 * @throws {FileError} if there is none, or it is damaged; the newest whole one before it is named.
 */
export async function findCheckpoint(
  folder: string,
  fallBack?: (notice: string) => void,
): Promise<Checkpoint> {
  const path = await namedCheckpoint(folder);
  if (fallBack === undefined) {
    return await readCheckpoint(path).catch((error) => refuse(path, error));
  }
  try {
    return await checkCheckpoint(path);
  } catch (error) {
    const whole = error instanceof FileError ? await wholeBefore(path) : null;
    if (whole === null) throw error;
    fallBack(`${(error as FileError).message}; the run goes on from "${whole.path}" instead`);
    return whole;
  }
}

/**
 * Fills a network, made for restoring, from a checkpoint.
 *
 * @throws {FileError} if the checkpoint is damaged; the newest whole one before it is named.
 * @throws {OptionError} if it is of another method, rank or model.
 */
export async function restoreCheckpoint(
  { path, state }: Checkpoint,
  network: Network,
): Promise<void> {
  await readTensors(join(path, TENSORS_FILE), network, path, state.checksums ?? {})
    .catch((error) => refuse(path, error));
}

/** Removes all checkpoints in a folder. */
export async function removeCheckpoints(folder: string): Promise<void> {
  for (const step of await listCheckpoints(folder)) {
    await removeFolderAtomically(checkpointFolder(folder, step));
  }
}

/** Steps of the checkpoints in a folder, ascending. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  const steps: number[] = [];
  if (!await exists(folder)) return steps;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const step = stepOf(name);
    if (step !== null && isDirectory) steps.push(step);
  }
  return steps.sort((a, b) => a - b);
}

/** Whoever takes the folder of a run makes it, if it is missing: so this is asked before. */
async function expectThere(folder: string): Promise<void> {
  if (await exists(folder)) return;
  throw new FileError(
    `Cannot resume from "${folder}" as there is no such folder: give the output folder of a run, ` +
      "or a checkpoint in it",
  );
}

async function namedCheckpoint(folder: string): Promise<string> {
  if (await exists(join(folder, STATE_FILE)) || stepOf(folder) !== null) {
    return folder;
  }
  await expectThere(folder);
  const newest = (await listCheckpoints(folder)).at(-1);
  if (newest === undefined) {
    throw new FileError(
      `Cannot resume from "${folder}" as it holds no checkpoint: give the output folder of a run ` +
        "that saved one, or start the run again",
    );
  }
  return checkpointFolder(folder, newest);
}

async function readCheckpoint(path: string): Promise<Checkpoint> {
  return { path, state: await readState(path, stepOf(path)) };
}

/** Reads all of a checkpoint. */
async function checkCheckpoint(path: string): Promise<Checkpoint> {
  const checkpoint = await readCheckpoint(path);
  await checkTensors(join(path, TENSORS_FILE), path, checkpoint.state.checksums ?? {});
  return checkpoint;
}

/** The newest whole checkpoint before one; null if there is none. */
async function wholeBefore(path: string): Promise<Checkpoint | null> {
  const folder = dirname(resolve(path));
  const step = stepOf(path) ?? 0;
  for (const other of (await listCheckpoints(folder)).reverse()) {
    if (other >= step) continue;
    try {
      return await checkCheckpoint(checkpointFolder(folder, other));
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
    }
  }
  return null;
}

/** Throws an error of reading, with the newest whole checkpoint before the damaged one. */
async function refuse(path: string, error: unknown): Promise<never> {
  const whole = error instanceof FileError ? await wholeBefore(path) : null;
  if (whole === null) throw error;
  throw new FileError(
    `Cannot resume from "${path}" as it is damaged: go on from "${whole.path}", the newest whole one ` +
      `before it, by naming that or by resumeFallback (${(error as FileError).message})`,
    { cause: error },
  );
}

/** The step that the name of a checkpoint's folder says; null if it has another name than a run gives. */
function stepOf(path: string): number | null {
  const [, digits] = FOLDER.exec(basename(resolve(path))) ?? [];
  const step = Number(digits);
  return isCount(step, MOST_STEPS) && String(step) === digits ? step : null;
}
