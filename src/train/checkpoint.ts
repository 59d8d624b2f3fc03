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
import type { LoaderPosition } from "../data/types.ts";
import { FileError } from "../errors.ts";
import { removeFolderAtomically, writeFolderAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { isJsonObject, readJson } from "../io/json.ts";
import type { Network } from "../model/network.ts";
import { type Checksums, readTensors, writeTensors } from "./checkpoint_tensors.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { LOG_FILE } from "./log.ts";
import type { HeldOutLoss } from "./metrics.ts";

const FORMAT = "falqon-checkpoint-1";
const STATE_FILE = "state.json";
const TENSORS_FILE = "state.safetensors";
const FOLDER = /^checkpoint-(\d+)$/;

/** What `state.json` holds. */
export interface CheckpointState {
  /** Optimizer steps done. */
  step: number;
  /** Tokens trained on. */
  tokens: number;
  /** Position from which the data continues; null at the start. */
  position: LoaderPosition | null;
  /** Name of the method. */
  method: string;
  /** The run's options, to tell the user what differs. */
  options: Record<string, unknown>;
  /** Held-out losses until then. Older checkpoints have none. */
  evaluations?: HeldOutLoss[];
  /** What the run was started with. Older checkpoints have none. */
  fingerprints?: Fingerprints;
  /** Of the tensors. Older checkpoints have none. */
  checksums?: Checksums;
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
  { newest, best }: Retention,
): Promise<void> {
  await writeFolderAtomically(checkpointFolder(folder, state.step), async (temporary) => {
    const checksums = await writeTensors(join(temporary, TENSORS_FILE), network);
    const text = JSON.stringify({ format: FORMAT, ...state, checksums }, null, 2);
    await Deno.writeTextFile(join(temporary, STATE_FILE), text);
  }, { overwrite: true });
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

/**
 * Finds the checkpoint to go on from: the folder itself, or the newest in it.
 *
 * @throws {FileError} if there is none, or it is damaged.
 */
export async function findCheckpoint(
  folder: string,
): Promise<{ path: string; state: CheckpointState }> {
  if (await exists(join(folder, STATE_FILE))) {
    return { path: folder, state: await readState(folder) };
  }
  if (!await exists(folder)) {
    throw new FileError(
      `Cannot resume from "${folder}" as there is no such folder: give the output folder of a run, ` +
        "or a checkpoint in it",
    );
  }
  const newest = (await listCheckpoints(folder)).at(-1);
  if (newest === undefined) {
    throw new FileError(
      `Cannot resume from "${folder}" as it holds no checkpoint: give the output folder of a run ` +
        "that saved one, or start the run again",
    );
  }
  const path = checkpointFolder(folder, newest);
  return { path, state: await readState(path) };
}

/**
 * Fills a network, made for restoring, from a checkpoint.
 *
 * @throws {FileError} if the checkpoint is damaged.
 * @throws {OptionError} if it is of another method, rank or model.
 */
export async function restoreCheckpoint(path: string, network: Network): Promise<void> {
  const { checksums = {} } = await readState(path);
  try {
    await readTensors(join(path, TENSORS_FILE), network, path, checksums);
  } catch (error) {
    throw error instanceof FileError ? await withOlder(path, error) : error;
  }
}

/** Removes the checkpoints in a folder of steps after `step`. */
export async function removeCheckpoints(folder: string, step: number): Promise<void> {
  for (const later of (await listCheckpoints(folder)).filter((it) => it > step)) {
    await removeFolderAtomically(checkpointFolder(folder, later));
  }
}

/** Steps of the checkpoints in a folder, ascending. */
async function listCheckpoints(folder: string): Promise<number[]> {
  const steps: number[] = [];
  if (!await exists(folder)) return steps;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const match = FOLDER.exec(name);
    if (match && isDirectory) steps.push(Number(match[1]));
  }
  return steps.sort((a, b) => a - b);
}

async function readState(path: string): Promise<CheckpointState> {
  const json = await readJson(join(path, STATE_FILE));
  const whole = isJsonObject(json) && json.format === FORMAT && typeof json.step === "number" &&
    typeof json.method === "string" && isJsonObject(json.options);
  if (!whole) {
    const damaged = new FileError(
      `Cannot resume from "${path}" as its ${STATE_FILE} is not of the format ${FORMAT}: ` +
        "it was written by another version or is damaged",
    );
    throw await withOlder(path, damaged);
  }
  return json as unknown as CheckpointState;
}

/** Names the checkpoint before a damaged one, if there is one. */
async function withOlder(path: string, error: FileError): Promise<FileError> {
  const folder = dirname(resolve(path));
  const step = Number(FOLDER.exec(basename(resolve(path)))?.[1] ?? 0);
  const older = (await listCheckpoints(folder)).findLast((other) => other < step);
  if (older === undefined) return error;
  return new FileError(
    `${error.message}; or go on from the one before it, "${checkpointFolder(folder, older)}"`,
    { cause: error },
  );
}
