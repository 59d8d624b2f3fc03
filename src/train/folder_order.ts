/**
 * Puts the folder of a run in order before it is gone on with: what a killed process left half done is
 * finished or taken away, and what belongs to steps that are given up is set aside.
 *
 * @module
 */

import { join } from "node:path";
import { makeFolder, recoverFolder, syncFolder, syncTree } from "../io/atomic.ts";
import { FileError, OptionError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { FolderLock } from "../io/folder_lock.ts";
import { checkpointFolder, listCheckpoints } from "./checkpoint.ts";
import { LOG_FILE } from "./log.ts";

/** A checkpoint that stepped aside for another of its step. */
const ASIDE = /^\.(checkpoint-\d+)\.old$/;
/** What has no use once the process that wrote it is gone: see `io/atomic.ts` and `io/writable.ts`. */
const LEFT_OVER =
  /^\.(checkpoint-\d+\.tmp|(training_log|training_options)[\w.-]*\.tmp|removed|saving|falqon-probe-[\w-]+)$/;
/** Beside the checkpoints that are set aside. */
const COPIED = [LOG_FILE, "training_options.json"];

/**
 * Finishes and takes away what a killed process left half done. Only who has the folder's lock may call it.
 *
 * @throws {FileError} if it cannot.
 */
export async function tidyFolder(folder: string): Promise<void> {
  if (!await exists(folder)) return;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  for (const name of names) {
    const [, target] = ASIDE.exec(name) ?? [];
    if (target !== undefined) await recoverFolder(join(folder, target));
  }
  for (const name of names) {
    if (!LEFT_OVER.test(name)) continue;
    const path = join(folder, name);
    try {
      if (await exists(path)) await Deno.remove(path, { recursive: true });
    } catch (error) {
      throw toFileError("remove", path, error);
    }
  }
}

/**
 * Brings back a checkpoint that a killed process left aside, in a folder that is else only read. Where a run is
 * at work, or nothing can be written, it stays as it is.
 */
export async function bringBack(folder: string): Promise<void> {
  if (!await exists(folder)) return;
  if (![...Deno.readDirSync(folder)].some(({ name }) => ASIDE.test(name))) return;
  try {
    using _ = await FolderLock.take(folder);
    await tidyFolder(folder);
  } catch (error) {
    if (!(error instanceof OptionError || error instanceof FileError)) throw error;
  }
}

/**
 * Moves the checkpoints after a step into a folder of their own, with a copy of the log and the options: a run
 * that goes on from before them is another one.
 *
 * @returns A sentence about it; null if there are none.
 * @throws {FileError} if it cannot.
 */
export async function setAside(folder: string, step: number): Promise<string | null> {
  const later = (await listCheckpoints(folder)).filter((it) => it > step);
  if (later.length === 0) return null;
  let count = 1;
  while (await exists(join(folder, `abandoned-${count}`))) count++;
  const aside = join(folder, `abandoned-${count}`);
  try {
    await makeFolder(aside);
    for (const name of COPIED) {
      const path = join(folder, name);
      if (await exists(path)) await Deno.copyFile(path, join(aside, name));
    }
    await syncTree(aside);
    // The newest first: what is left is always a run of its own, up to the step that it has.
    for (const step of later.toReversed()) {
      await Deno.rename(checkpointFolder(folder, step), checkpointFolder(aside, step));
      await syncFolder(aside);
      await syncFolder(folder);
    }
  } catch (error) {
    throw toFileError("set aside", aside, error);
  }
  const which = later.length === 1
    ? `checkpoint ${later[0]} comes`
    : `checkpoints ${later.join(", ")} come`;
  return `${which} after step ${step}, from which this run goes on: set aside in "${aside}" with the log ` +
    "as it was; remove that when you need it no more";
}
