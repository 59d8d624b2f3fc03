/**
 * From what a user names to files: paths, folders, patterns, addresses, standard input.
 *
 * @module
 */

import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { FileError, OptionError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { showJson } from "../io/json.ts";
import type { DataFile } from "./bytes.ts";
import { chooseSplit, splitNames } from "./splits.ts";
import { copyToTemporary } from "./temporary.ts";

/** What standard input is called. */
export const STANDARD_INPUT = "-";

/** Names of data files, compressed or not. */
const DATA_FILE = /\.(jsonl|ndjson|json|csv|tsv|tab|txt|parquet)(\.(gz|gzip|zst|zstd))?$/i;

/** Files beside data that are no rows, such as those that `datasets` writes. */
const NO_ROWS =
  /^(\.|readme|license|requirements|dataset_info|dataset_infos|dataset_dict|state\.json|config\.json|metadata\.json|stats\.json)/i;

/** Characters that make a name a pattern. */
const PATTERN = /[*?[{]/;

/** Options of {@linkcode findFiles}. */
export interface FindOptions {
  /** Is told what was chosen where there was a choice, and of downloads. */
  onNotice?: (notice: string) => void;
  /** Ends a download: its reason is thrown. */
  signal?: AbortSignal;
  /** Standard input, for tests. */
  stdin?: ReadableStream<Uint8Array>;
}

/**
 * The data files that a name stands for: a file, a `file:` or `https:` URL, a pattern such as
 * `data/*.jsonl`, a folder (of which the split `train` is taken where its files belong to splits, or
 * the one after a colon, as in `folder:test`), several of these with commas between, or `-` for
 * standard input. What is no file on the disk is copied into a temporary one.
 *
 * @throws {FileError} when there is nothing to read.
 * @throws {OptionError} for a URL of another kind.
 */
export async function findFiles(name: string, options: FindOptions = {}): Promise<DataFile[]> {
  try {
    return await filesOf(name, options);
  } catch (error) {
    throw toFileError("read", name, error); // such as a name that no file can have
  }
}

async function filesOf(name: string, options: FindOptions): Promise<DataFile[]> {
  const { onNotice = () => {} } = options;
  if (name === STANDARD_INPUT) {
    const stdin = options.stdin ?? Deno.stdin.readable;
    return [await copyToTemporary(stdin, "standard input", "stdin", options.signal)];
  }
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(name)?.[1].toLowerCase();
  if (scheme === "file") return await findFiles(pathOfUrl(name), options);
  if (scheme === "https" || scheme === "http") return [await download(name, options)];
  if (scheme !== undefined) {
    throw new OptionError(
      `Cannot read data from "${name}": ${scheme}: addresses are not read; download it first, or ` +
        "give a path or an https: address",
    );
  }
  if (await exists(name)) {
    const { isDirectory } = await Deno.stat(name);
    return isDirectory ? await folderFiles(name, undefined, onNotice) : [{ path: name, name }];
  }
  const ofSplit = /^(.+):([\w.-]+)$/.exec(name);
  if (ofSplit && await isFolder(ofSplit[1])) {
    return await folderFiles(ofSplit[1], ofSplit[2], onNotice);
  }
  if (PATTERN.test(name)) {
    const found = globSync(name).sort();
    const files: string[] = [];
    for (const path of found) if ((await Deno.stat(path)).isFile) files.push(path);
    if (files.length > 0) return files.map((path) => ({ path, name: path }));
    throw new FileError(`Cannot read "${name}": no file fits this pattern; check it`);
  }
  if (name.includes(",")) {
    const files: DataFile[] = [];
    for (const part of name.split(",")) files.push(...await findFiles(part.trim(), options));
    return files;
  }
  try {
    await Deno.stat(name);
  } catch (error) {
    throw toFileError("read", name, error);
  }
  throw new FileError(`Cannot read "${name}": it is neither a file nor a folder; give one`);
}

async function isFolder(path: string): Promise<boolean> {
  return await exists(path) && (await Deno.stat(path)).isDirectory;
}

/** The data files of a folder and of those in it, of one split where they belong to splits. */
async function folderFiles(
  folder: string,
  split: string | undefined,
  onNotice: (notice: string) => void,
): Promise<DataFile[]> {
  const paths: string[] = [];
  const others: string[] = [];
  const walk = async (path: string) => {
    const entries = await Array.fromAsync(Deno.readDir(join(folder, path)));
    for (const { name, isDirectory } of entries) {
      if (name.startsWith(".")) continue;
      const inside = join(path, name);
      if (isDirectory) await walk(inside);
      else (DATA_FILE.test(name) && !NO_ROWS.test(name) ? paths : others).push(inside);
    }
  };
  try {
    await walk("");
  } catch (error) {
    throw toFileError("read", folder, error);
  }
  paths.sort();
  if (paths.length === 0) {
    const arrow = others.some((path) => path.endsWith(".arrow"));
    throw new FileError(
      `Cannot read "${folder}": the folder holds no data file; ` +
        (arrow
          ? "its .arrow files are of save_to_disk, so write them anew by Dataset.to_parquet"
          : "give one with .jsonl, .json, .csv, .tsv, .txt or .parquet files, compressed or not"),
    );
  }
  const chosen = chooseSplit(paths, split);
  if (chosen === null) {
    const names = splitNames(paths);
    throw new FileError(
      `Cannot read the split "${split ?? "train"}" of "${folder}": ` +
        (names.length === 0
          ? "its files belong to no split; leave the split out"
          : `its files belong to ${names.join(", ")}; give one, as in ${folder}:${names[0]}`),
    );
  }
  if (chosen.length < paths.length) {
    onNotice(
      `of ${folder} the ${chosen.length} files of the split ${split ?? "train"} are read, and ` +
        `${paths.length - chosen.length} of other splits are not`,
    );
  }
  return chosen.map((path) => ({ path: join(folder, path), name: join(folder, path) }));
}

async function download(url: string, { onNotice, signal }: FindOptions): Promise<DataFile> {
  onNotice?.(`downloading ${url}`);
  const refuse = (reason: string, cause?: unknown): never => {
    throw new FileError(`Cannot download ${url}: ${reason}`, { cause });
  };
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal?.aborted || error instanceof Deno.errors.NotCapable) throw error;
    return refuse(`${(error as Error).message}; check the address and the network`, error);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    const words = `${response.status} ${response.statusText}`.trim();
    return refuse(`the server answers ${words}; check the address, or download it by hand`);
  }
  const length = Number(response.headers.get("content-length") ?? NaN);
  const encoded = response.headers.has("content-encoding");
  const file = await copyToTemporary(
    response.body,
    url,
    basename(new URL(url).pathname) || "data",
    signal,
  );
  const { size } = await Deno.stat(file.path);
  if (!encoded && Number.isFinite(length) && size !== length) {
    refuse(`${size} of ${length} bytes arrived; try again`);
  }
  return file;
}

/**
 * The path of a `file:` URL.
 *
 * @throws {OptionError} for another address.
 */
export function pathOfUrl(source: string | URL): string {
  const url = URL.parse(source);
  try {
    if (url?.protocol === "file:") return fileURLToPath(url);
  } catch { // a host, or a slash in a name
  }
  throw new OptionError(
    `Cannot read data from ${
      showJson(String(source))
    }: only file: URLs of this machine can be read at ` +
      "once; download it first, or by Dataset.open",
  );
}
