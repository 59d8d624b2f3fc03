/**
 * Whether a folder can be written, asked before hours are spent on what is to go there.
 *
 * @module
 */

import { dirname, join, resolve } from "node:path";
import { FileError } from "../errors.ts";
import { toFileError } from "./file_error.ts";

/**
 * Makes sure that files can be written into a folder, which need not exist yet; nothing is left
 * behind.
 *
 * @throws {FileError} if they cannot, or something else than a folder is there.
 */
export async function expectWritable(folder: string): Promise<void> {
  let path = resolve(folder);
  try {
    let info = await statOf(path);
    while (info === null) info = await statOf(path = dirname(path));
    if (!info.isDirectory) {
      throw new FileError(
        `Cannot write to "${folder}" as "${path}" is a file: give the path of a folder`,
      );
    }
    const probe = join(path, `.falqon-probe-${crypto.randomUUID()}`);
    await Deno.writeFile(probe, new Uint8Array(1), { createNew: true });
    await Deno.remove(probe);
  } catch (error) {
    throw toFileError("write to", folder, error);
  }
}

async function statOf(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (missing && dirname(path) !== path) return null;
    throw error;
  }
}
