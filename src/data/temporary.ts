/**
 * Copies of what can be read only once, for data is read in every epoch and in a worker. They live as
 * long as the process.
 *
 * @module
 */

import { join } from "node:path";
import { toFileError } from "../io/file_error.ts";
import type { DataFile } from "./bytes.ts";

let folder: string | null = null;

/**
 * Copies a stream into a temporary file.
 *
 * @param name What the file is called in messages.
 * @param fileName The file's own name, whose ending may tell its format.
 * @throws {FileError} if it cannot be written.
 */
export async function copyToTemporary(
  stream: ReadableStream<Uint8Array>,
  name: string,
  fileName: string,
  signal?: AbortSignal,
): Promise<DataFile> {
  let path = "a temporary file";
  try {
    folder ??= await makeFolder();
    path = join(await Deno.makeTempDir({ dir: folder }), fileName);
    const file = await Deno.open(path, { write: true, createNew: true });
    await stream.pipeTo(file.writable, { signal });
  } catch (error) {
    throw toFileError("write", path, error);
  }
  return { path, name };
}

async function makeFolder(): Promise<string> {
  const made = await Deno.makeTempDir({ prefix: "falqon-data-" });
  globalThis.addEventListener("unload", () => {
    try {
      Deno.removeSync(made, { recursive: true });
    } catch {
      // The system clears what is left of it.
    }
  });
  return made;
}
