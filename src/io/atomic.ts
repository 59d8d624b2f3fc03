/**
 * Writing that survives a crash at any moment: a path holds its old content or its new one, each
 * whole. The new content is written beside the target under a temporary name, synced to the disk,
 * and renamed into place. Only one process at a time may write to a target.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { FileError } from "../errors.ts";
import { exists, mayRead, missingFolders } from "./exists.ts";
import {
  bytesThatFitted,
  DiskFullError,
  isDiskFull,
  isUnsupported,
  toFileError,
} from "./file_error.ts";

/** What an atomically written file holds: the bytes, the text, or a function that writes them. */
export type FileContent = string | Uint8Array | ((file: Deno.FsFile) => Promise<void>);

/**
 * Writes a file atomically.
 *
 * @throws {FileError} if the file cannot be written; the old one is then untouched, and no
 * temporary file is left.
 */
export async function writeFileAtomically(path: string, content: FileContent): Promise<void> {
  const temporary = siblings(path).temporary;
  try {
    {
      // Windows renames only closed files.
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
      if (typeof content === "function") await content(file);
      else await writeAll(file, typeof content === "string" ? encoder.encode(content) : content);
      await file.sync();
    }
    await Deno.rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    const failure = isDiskFull(error)
      ? new DiskFullError(`Cannot write "${path}"`, await sizeOf(temporary), error)
      : toFileError("write", path, error);
    await removeAll(temporary).catch(() => {}); // the first error is the one to report
    throw failure;
  }
}

/** Writes all of `bytes`: one call of `write` may take only a part. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/**
 * Writes a folder atomically. What a killed attempt left behind is repaired first, as by
 * {@linkcode recoverFolder}.
 *
 * A file system cannot exchange two folders in one step, so while an old folder is replaced it has
 * for an instant no folder under its name; a process killed then leaves both beside it, whole.
 *
 * @param target The folder to write. Its parents are created.
 * @param write Writes the content into the temporary folder it is given, which exists.
 * @param options With `overwrite`, a folder that exists is replaced as a whole.
 * @throws {FileError} if `target` exists and may not be overwritten, or something cannot be
 * written. What `write` throws is passed on. In each case the old folder is untouched, and no
 * temporary one is left.
 */
export async function writeFolderAtomically(
  target: string,
  write: (temporary: string) => Promise<void>,
  options: { overwrite?: boolean } = {},
): Promise<void> {
  await recoverFolder(target);
  const path = resolve(target);
  const { temporary, old } = siblings(path);
  const replaces = await exists(path);
  if (replaces) await checkReplaceable(path, options.overwrite ?? false);
  try {
    await removeAll(temporary);
    await makeFolder(dirname(path));
    await Deno.mkdir(temporary);
    await write(temporary);
    await syncTree(temporary);
    if (replaces) await Deno.rename(path, old);
    try {
      await Deno.rename(temporary, path);
    } catch (error) {
      if (replaces) await Deno.rename(old, path);
      throw error;
    }
    await syncFolder(dirname(path));
  } catch (error) {
    const failure = isDiskFull(error)
      ? new DiskFullError(
        `Cannot write the folder "${target}"`,
        await sizeOf(temporary) + bytesThatFitted(error),
        error,
      )
      : toFileError("write", target, error);
    await removeAll(temporary).catch(() => {}); // the first error is the one to report
    throw failure;
  }
  await removeAll(old);
}

async function checkReplaceable(path: string, overwrite: boolean): Promise<void> {
  const { isDirectory, isSymlink } = await Deno.lstat(path);
  if (isSymlink || !isDirectory) {
    throw new FileError(
      `Cannot write the folder "${path}": it is a ${
        isSymlink ? "link" : "file"
      }; give the path of ` +
        `a folder`,
    );
  }
  if (!overwrite) {
    throw new FileError(
      `Cannot write the folder "${path}": it exists; choose another, or allow to overwrite it`,
    );
  }
}

/**
 * Finishes what a killed {@linkcode writeFolderAtomically} left undone, so that `target` is whole
 * again if it ever was. To be called before a folder is read that a killed process may have been
 * writing, but not while another process writes it.
 *
 * @throws {FileError} if the folder cannot be repaired.
 */
export async function recoverFolder(target: string): Promise<void> {
  const path = resolve(target);
  const { temporary, old } = siblings(path);
  if (!await exists(old)) return;
  try {
    // The old folder steps aside only when the new one is complete: that one is the later state.
    if (!await exists(path)) {
      await Deno.rename(await exists(temporary) ? temporary : old, path);
      await syncFolder(dirname(path));
    }
    await removeAll(old);
  } catch (error) {
    throw toFileError("restore", target, error);
  }
}

/**
 * Removes a folder: it is renamed first, so that a process killed meanwhile leaves no folder that
 * holds only a part. The renamed, hidden rest is removed with the next removal beside it.
 *
 * @throws {FileError} if the folder is not there or cannot be removed.
 */
export async function removeFolderAtomically(target: string): Promise<void> {
  const path = resolve(target);
  const removed = join(dirname(path), ".removed");
  try {
    await removeAll(removed);
    await Deno.rename(path, removed);
    // Before anything in it goes: a power cut must not leave a part under the old name.
    await syncFolder(dirname(path));
    await removeAll(removed);
  } catch (error) {
    throw toFileError("remove", target, error);
  }
}

/**
 * Makes a folder and those above it that are missing, so that they survive a power cut.
 *
 * @throws {FileError} if it cannot be made.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    const missing = await missingFolders(path);
    if (missing.length === 0) return;
    await Deno.mkdir(path, { recursive: true });
    for (const made of missing) {
      // Who may touch the folder alone keeps its files; its name then waits for the system's own time.
      if (mayRead(dirname(made))) await syncFolder(dirname(made));
    }
  } catch (error) {
    throw toFileError("make the folder", path, error);
  }
}

/** The names beside `path` under which a write is prepared, and its old content steps aside. */
function siblings(path: string): { temporary: string; old: string } {
  // Fixed names, so that the next attempt finds what a killed one left behind.
  const hidden = join(dirname(path), `.${basename(path)}`);
  return { temporary: `${hidden}.tmp`, old: `${hidden}.old` };
}

async function removeAll(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}

/** Makes every file below a folder, and every name in it, durable. */
export async function syncTree(folder: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) {
      await syncTree(path);
    } else {
      // Windows syncs only what is open for writing; elsewhere a copied file may be read-only.
      using file = await Deno.open(path, { read: true, write: Deno.build.os === "windows" });
      await file.sync();
    }
  }
  await syncFolder(folder);
}

/** Makes the names in a folder durable: a rename survives a power cut only after this. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder as a file, and commits renames by itself.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  try {
    await folder.sync();
  } catch (error) {
    if (!isUnsupported(error)) throw error; // some network file systems keep names by themselves
  }
}

/** The bytes of a file, or of all files below a folder; 0 where nothing is. */
async function sizeOf(path: string): Promise<number> {
  if (!await exists(path)) return 0;
  const { isDirectory, size } = await Deno.lstat(path);
  if (!isDirectory) return size;
  let sum = 0;
  for await (const { name } of Deno.readDir(path)) sum += await sizeOf(join(path, name));
  return sum;
}

const encoder = new TextEncoder();
