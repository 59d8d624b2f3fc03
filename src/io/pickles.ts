/**
 * Weights in Python's pickles, which are programs: loading them runs what they say. They are never opened,
 * but named, so that nobody wonders why a folder full of weights has none.
 *
 * @module
 */

import { toFileError } from "./file_error.ts";

/** Names of files that PyTorch writes by pickle. */
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle|msgpack)$/i;

/**
 * Words about the pickles of a folder, to follow what it has not; none where there are none.
 *
 * @throws {FileError} if the folder cannot be read.
 */
export async function aboutPickles(folder: string): Promise<string> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) if (PICKLE.test(name)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw toFileError("read", folder, error);
  }
  if (names.length === 0) return "";
  return `, but ${
    names.sort()[0]
  }, which may run any code when it is loaded and is not read: convert it ` +
    "to safetensors";
}
