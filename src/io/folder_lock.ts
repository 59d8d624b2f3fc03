/**
 * The lock of a folder that only one run at a time may write into.
 *
 * A file in the folder is locked through the operating system, which gives the lock back when the process ends,
 * however it ends: a lock that is held belongs to a process that lives, and a file that a killed one
 * left behind is no lock.
 *
 * @module
 */

import { join } from "node:path";
import { OptionError, TrainingError } from "../errors.ts";
import { makeFolder } from "./atomic.ts";
import { missingFolders } from "./exists.ts";
import { toFileError } from "./file_error.ts";

/** Name of the file that is locked. */
export const LOCK_FILE = ".lock";

/** A lock that this process has. */
interface Held {
  file: Deno.FsFile;
  /** Who may write. */
  holder: FolderLock;
  /** Who has it back when the holder gives it up. */
  keeper: FolderLock | null;
  /** Folders that were made to hold the file, the innermost first. */
  made: readonly string[];
}

/** The locks of this process, by the real path of the folder. */
const locks = new Map<string, Held>();

// A process that ends on purpose leaves no file.
globalThis.addEventListener("unload", () => {
  for (const held of locks.values()) {
    held.keeper = null;
    held.holder[Symbol.dispose]();
  }
});

/** The right to write into a folder. */
export class FolderLock implements Disposable {
  /** Whether its holder is at work, so that nobody in this process may take its place. */
  busy = false;
  readonly #folder: string;
  readonly #key: string;

  private constructor(folder: string, key: string) {
    this.#folder = folder;
    this.#key = key;
  }

  /**
   * Takes the lock of a folder, which is made if it is missing. An idle holder in this process loses it.
   *
   * @param onNotice Is told if the file system has no locks.
   * @throws {OptionError} if another run has it.
   * @throws {FileError} if the folder cannot be written.
   */
  static async take(folder: string, onNotice?: (notice: string) => void): Promise<FolderLock> {
    const made = await missingFolders(folder);
    for (let tries = 0;; tries++) {
      await makeFolder(folder);
      try {
        const taken = tryTake(folder, made, onNotice);
        if (taken) return taken;
      } catch (error) {
        // The one before has just taken away the folder that it had made.
        if (!(error instanceof Deno.errors.NotFound) || tries === 100) {
          removeEmpty(made);
          throw toFileError("write to", folder, error);
        }
      }
    }
  }

  /** Has it back whenever a later holder gives it up, until this is disposed of. */
  keep(): this {
    const held = locks.get(this.#key);
    if (held?.holder === this) held.keeper = this;
    return this;
  }

  /** Whether it was not given back, nor lost to a later holder. */
  get holds(): boolean {
    return locks.get(this.#key)?.holder === this;
  }

  /** @throws {TrainingError} if the lock is gone. */
  expect(): void {
    if (this.holds) return;
    throw new TrainingError(
      `Cannot write into "${this.#folder}" as a later trainer writes there now, or this one was ` +
        "disposed of: go on with that, or make a new one with resumeFrom",
    );
  }

  /** Gives it back; a folder that was made for it and is empty goes. */
  [Symbol.dispose](): void {
    const held = locks.get(this.#key);
    if (held?.keeper === this) held.keeper = null;
    if (held?.holder !== this) return;
    if (held.keeper) {
      held.holder = held.keeper;
      return;
    }
    locks.delete(this.#key);
    try {
      Deno.removeSync(join(this.#key, LOCK_FILE)); // while it is locked, so nobody else's
    } catch {
      // It is no lock once it is closed.
    }
    held.file.close();
    removeEmpty(held.made);
  }

  /** Makes a holder of a lock that this process has, or has just got. */
  static hold(folder: string, key: string): FolderLock {
    return new FolderLock(folder, key);
  }
}

/** @returns Null if the file was taken away between opening and locking it: try again. */
function tryTake(
  folder: string,
  made: readonly string[],
  onNotice?: (notice: string) => void,
): FolderLock | null {
  const key = Deno.realPathSync(folder);
  const lock = FolderLock.hold(folder, key);
  const path = join(key, LOCK_FILE);
  const own = locks.get(key);
  if (own && !isAt(own.file, path)) {
    own.file.close(); // the folder was removed under it
    locks.delete(key);
  } else if (own) {
    if (own.holder.busy) throw inUse(folder, "a trainer of this process");
    own.holder = lock;
    return lock;
  }
  const file = Deno.openSync(path, { read: true, write: true, create: true });
  try {
    if (!lockFile(file, folder, onNotice)) throw inUse(folder, holderIn(file));
    if (!isAt(file, path)) {
      file.close();
      return null;
    }
    sign(file, path);
  } catch (error) {
    file.close();
    throw error;
  }
  locks.set(key, { file, holder: lock, keeper: null, made });
  return lock;
}

/** Writes into a file that is locked whose it is. */
function sign(file: Deno.FsFile, path: string): void {
  const text = `process ${Deno.pid}, since ${new Date().toISOString()}\n`;
  try {
    file.truncateSync();
    file.writeSync(new TextEncoder().encode(text));
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  }
}

/** @returns False if another process has the lock. */
function lockFile(
  file: Deno.FsFile,
  folder: string,
  onNotice: (notice: string) => void = () => {},
): boolean {
  try {
    return file.tryLockSync(true);
  } catch {
    onNotice(
      `the file system of "${folder}" has no locks, so two runs into it would not be noticed: start ` +
        "only one",
    );
    return true;
  }
}

function inUse(folder: string, holder: string): OptionError {
  return new OptionError(
    `Cannot train into "${folder}" as another run writes there (${holder}): choose another ` +
      "outputDir, or wait until it has ended",
  );
}

/** What the process that has the lock wrote into the file. */
function holderIn(file: Deno.FsFile): string {
  const bytes = new Uint8Array(100);
  try {
    const text = new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0));
    return /^process \d+, since [\d.:TZ-]+/.exec(text)?.[0] ?? "a process that has just begun";
  } catch {
    return "another process"; // Windows lets nobody read what is locked
  }
}

/** Whether an open file is still what its path names. */
function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    const [open, named] = [file.statSync(), Deno.statSync(path)];
    return open.ino === named.ino && open.dev === named.dev;
  } catch {
    return false;
  }
}

/** Removes folders as long as they are empty, the innermost first. */
function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) Deno.removeSync(folder);
  } catch {
    // It holds something now.
  }
}
