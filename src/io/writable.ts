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
 * behind. It touches nothing outside of the folder, so permission for that one is enough.
 *
 * @throws {FileError} if they cannot, or something else than a folder is there.
 */
export async function expectWritable(folder: string): Promise<void> {
  const path = resolve(folder);
  const missing: string[] = [];
  try {
    await using made = new AsyncDisposableStack();
    let above = path;
    while (await isMissing(above, above === path)) {
      missing.push(above);
      above = dirname(above);
    }
    // Last in, first out: the innermost folder goes first. One that may not be removed stays.
    for (const each of missing.reverse()) made.defer(() => Deno.remove(each).catch(() => {}));
    await Deno.mkdir(path, { recursive: true });
    const probe = join(path, `.falqon-probe-${crypto.randomUUID()}`);
    await Deno.writeFile(probe, new Uint8Array(1), { createNew: true });
    await Deno.remove(probe);
  } catch (error) {
    throw toFileError("write to", folder, error);
  }

  /** Whether nothing is at a path; what is around the folder may be out of sight. */
  async function isMissing(at: string, isFolder: boolean): Promise<boolean> {
    try {
      if ((await Deno.stat(at)).isDirectory) return false;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable && !isFolder) return false;
      const missing = error instanceof Deno.errors.NotFound ||
        error instanceof Deno.errors.NotADirectory;
      if (missing && dirname(at) !== at) return true;
      throw error;
    }
    throw new FileError(
      `Cannot write to "${folder}" as "${at}" is a file: give the path of a folder`,
    );
  }
}
