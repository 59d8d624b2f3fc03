/**
 * Reading of text files that are read whole. They may be someone else's: what is no plain file would
 * hang or never end, and what is too large would take memory out of proportion, so both are refused.
 *
 * @module
 */

import { FileError } from "../errors.ts";
import { toFileError } from "./file_error.ts";

const MIB = 1 << 20;

/** The most bytes of settings, such as a config.json: published ones have less than 1 MiB. */
export const LARGEST_SETTINGS = 16 * MIB;
/** The most bytes of a list of tokens or of tensors: published ones have less than 64 MiB. */
export const LARGEST_LIST = 256 * MIB;
/** The most bytes of what people write by hand: options, chat templates. */
export const LARGEST_WRITTEN = MIB;

/** Bytes that are read at a time. */
const CHUNK = MIB;

/**
 * Reads a file of UTF-8 text, with or without a byte order mark.
 *
 * @param most The most bytes that it may have.
 * @throws {FileError} if it is missing, unreadable, no plain file, larger, or not UTF-8.
 */
export async function readTextFile(path: string, most: number = LARGEST_SETTINGS): Promise<string> {
  const bytes = await readBounded(path, most);
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new FileError(`Cannot read "${path}": it is UTF-16 text; save it as UTF-8`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new FileError(
      `Cannot read "${path}": it is not UTF-8 text; save it as UTF-8, or fetch it again`,
    );
  }
}

/**
 * Reads a file of bytes.
 *
 * @param most The most bytes that it may have.
 * @throws {FileError} if it is missing, unreadable, no plain file, or larger.
 */
export async function readBounded(path: string, most: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // Not by the open file: to open a pipe waits for somebody who writes into it.
    const { isFile, isDirectory, size } = await Deno.stat(path);
    if (!isFile && !isDirectory) {
      throw new FileError(
        `Cannot read "${path}": it is no plain file but a pipe, a socket or a device; give the path ` +
          "of a file",
      );
    }
    if (size > most && isFile) throw tooLarge(path, `${size}`, most);
    using file = await Deno.open(path);
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let length = 0;
    // Until its end, not its size: files of /proc have none, and others may grow.
    while (true) {
      const chunk = new Uint8Array(Math.min(CHUNK, Math.max(size - length + 1, 4096)));
      const read = await file.read(chunk);
      if (read === null) break;
      length += read;
      if (length > most) throw tooLarge(path, `more than ${most}`, most);
      chunks.push(chunk.subarray(0, read));
    }
    return joined(chunks, length);
  } catch (error) {
    throw toFileError("read", path, error);
  }
}

function joined(chunks: readonly Uint8Array<ArrayBuffer>[], length: number) {
  if (chunks.length === 1) return chunks[0];
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function tooLarge(path: string, bytes: string, most: number): FileError {
  return new FileError(
    `Cannot read "${path}": it has ${bytes} bytes, and such a file at most ${most}; check the path, ` +
      "or fetch it again",
  );
}
