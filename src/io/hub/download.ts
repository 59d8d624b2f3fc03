/**
 * The download of one file: it goes on where it was cut off, in this run or an earlier one, and
 * counts only once its hash is the one that the hub states.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { FalqonError, HubError } from "../../errors.ts";
import { writeAll } from "../atomic.ts";
import { exists } from "../exists.ts";
import { toFileError } from "../file_error.ts";
import { type Fetch, pause } from "./requests.ts";

/** A file of a repository. */
export interface RepoFile {
  /** In the repository, with slashes. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** What names and checks its content: SHA-256 of a large file, else git's SHA-1 of a blob. */
  readonly hash: string;
}

/** How a file is downloaded. */
export interface DownloadOptions {
  url: string;
  headers: Record<string, string>;
  fetch: Fetch;
  signal?: AbortSignal;
  /** Milliseconds before the first repetition. */
  retryMs: number;
  /** Is told of bytes that are there, those from earlier attempts too; negative if they were thrown away. */
  onBytes(count: number): void;
}

/** How often in a row a connection may bring nothing. */
const FRUITLESS = 5;
/** How long a connection may bring nothing before it counts as cut. */
const STALLED_MS = 60_000;

/**
 * Downloads a file.
 *
 * @param target Where it goes; until it is whole, it is there with the ending `.incomplete`.
 * @throws {HubError} if the connection breaks again and again, or the content is not what the hub
 * says. What came before a break stays for the next attempt; a wrong content does not.
 * @throws {FileError} if it cannot be written.
 */
export async function download(
  file: RepoFile,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const partial = `${target}.incomplete`;
  try {
    for (let wrong = 0;; wrong++) {
      const found = await fill(file, partial, options);
      if (found === file.hash) break;
      await Deno.remove(partial);
      options.onBytes(-file.size);
      if (wrong === 0) continue; // perhaps only what an earlier attempt had left
      throw new HubError(
        `Cannot use "${file.path}" as what ${
          new URL(options.url).host
        } sent has the hash ${found} ` +
          `and must have ${file.hash}: it was damaged on the way; try again, or over another network`,
      );
    }
    await Deno.rename(partial, target);
  } catch (error) {
    throw toFileError("write", partial, error);
  }
}

/**
 * Brings a partial file to its full length.
 *
 * @returns The hash of what it then holds.
 */
async function fill(file: RepoFile, partial: string, options: DownloadOptions): Promise<string> {
  const isNew = !await exists(partial);
  using out = await Deno.open(partial, { read: true, write: true, create: true });
  let hash = hasher(file);
  let done = 0;
  const restart = async () => {
    await out.truncate(0);
    await out.seek(0, Deno.SeekMode.Start);
    options.onBytes(-done);
    [hash, done] = [hasher(file), 0];
  };
  const take = (bytes: Uint8Array) => {
    hash.update(bytes);
    done += bytes.byteLength;
    options.onBytes(bytes.byteLength);
  };
  if (!isNew) {
    const buffer = new Uint8Array(1 << 20);
    for (let count; (count = await out.read(buffer)) !== null;) take(buffer.subarray(0, count));
    if (done > file.size) await restart();
  }
  for (let fruitless = 0; done < file.size;) {
    const before = done;
    const problem = await receive(file, done, options, {
      restart,
      write: async (bytes) => {
        if (done + bytes.byteLength > file.size) throw new Cut("more bytes came than it has");
        await writeAll(out, bytes);
        take(bytes);
      },
    });
    if (done >= file.size) break;
    fruitless = done > before ? 0 : fruitless + 1;
    if (fruitless >= FRUITLESS) {
      throw new HubError(
        `Cannot go on downloading "${file.path}" after ${done} of ${file.size} bytes as the ` +
          `connection to ${new URL(options.url).host} breaks (${problem}): check the network and ` +
          "run the same command again, which goes on from there",
      );
    }
    await pause(options.retryMs * 2 ** fruitless, options.signal);
  }
  await out.sync();
  return hash.digest("hex");
}

/** Why a connection ended before the file did. */
class Cut extends Error {}

/** Where what is received goes. */
interface Sink {
  /** Begins anew: the server cannot begin in the middle. */
  restart(): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Receives a file from byte `start` for as long as the connection holds.
 *
 * @returns What cut it, if something did.
 */
async function receive(
  { path }: RepoFile,
  start: number,
  { url, headers, fetch, signal }: DownloadOptions,
  sink: Sink,
): Promise<string> {
  const stalled = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(new Cut("nothing came for a minute")), STALLED_MS);
  };
  const range = start > 0 ? { Range: `bytes=${start}-` } : undefined;
  try {
    watch();
    const response = await fetch(url, {
      headers: { ...headers, "Accept-Encoding": "identity", ...range },
      signal: stalled.signal,
    });
    if (start > 0 && response.status !== 206) await sink.restart();
    for await (const bytes of response.body ?? []) {
      watch();
      await sink.write(bytes);
      signal?.throwIfAborted();
    }
    return `the answer for "${path}" ended early`;
  } catch (error) {
    signal?.throwIfAborted();
    // A refusal is a sentence; errors of the disk have codes. All else is the connection.
    if (error instanceof FalqonError || isDiskError(error)) throw error;
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
    stalled.abort();
  }
}

function isDiskError(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? "";
  return ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO", "EFBIG"].includes(code);
}

function hasher({ hash, size }: RepoFile): ReturnType<typeof createHash> {
  if (hash.length === 64) return createHash("sha256");
  return createHash("sha1").update(`blob ${size}\0`);
}
