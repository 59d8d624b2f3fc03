/**
 * Whether a folder can be written, asked before hours are spent on what is to go there.
 *
 * @module
 */

import { dirname, join, resolve } from "node:path";
import { FileError } from "../errors.ts";
import { mayRead, missingFolders } from "./exists.ts";
import { exists } from "./exists.ts";
import { toFileError } from "./file_error.ts";

/**
 * Makes sure that files can be written into a folder, which need not exist yet; nothing is left
 * behind. It touches nothing outside of the folder, so permission for that one is enough.
 *
 * @throws {FileError} if they cannot, or something else than a folder is there.
 */
export async function expectWritable(folder: string): Promise<void> {
  const path = resolve(folder);
  try {
    const missing = await missingFolders(path);
    const above = missing.length === 0 ? path : dirname(missing.at(-1)!);
    if (mayRead(above) && !(await Deno.stat(above)).isDirectory) {
      throw new FileError(
        `Cannot write to "${folder}" as "${above}" is a file: give the path of a folder`,
      );
    }
    await using made = new AsyncDisposableStack();
    // Last in, first out: the innermost folder goes first. One that may not be removed stays.
    for (const each of missing.reverse()) made.defer(() => Deno.remove(each).catch(() => {}));
    await Deno.mkdir(path, { recursive: true });
    const probe = join(path, `.falqon-probe-${crypto.randomUUID()}`);
    try {
      await Deno.writeFile(probe, new Uint8Array(1), { createNew: true });
    } finally {
      // On a full disk there is a file without the byte.
      if (await exists(probe)) await Deno.remove(probe);
    }
  } catch (error) {
    throw toFileError("write to", folder, error);
  }
}
