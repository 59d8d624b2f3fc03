/**
 * Whether a path exists, asked in several places before a file is opened or written.
 *
 * @module
 */

import { dirname, resolve } from "node:path";
import { toFileError } from "./file_error.ts";

/**
 * Whether something is at `path`. What the operating system does not let this process look at counts as
 * existing: opening it reports why not.
 *
 * @throws {FileError} where Deno does not allow to look.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw toFileError("look for", path, error);
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}

/**
 * Of a folder and those above it, the ones that are missing, from the innermost on. Where Deno does not
 * allow to look, they end: permission for the folder itself is enough to make it.
 *
 * @throws {FileError} where Deno does not allow to look for the folder itself.
 */
export async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = resolve(path); !await exists(at); at = dirname(at)) {
    missing.push(at);
    if (!mayRead(dirname(at))) break;
  }
  return missing;
}

/** Whether Deno allows to look at a path, without asking. */
export function mayRead(path: string): boolean {
  return Deno.permissions.querySync({ name: "read", path }).state === "granted";
}
