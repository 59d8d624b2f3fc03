/**
 * What a run was started with, by content: a resumed run is told when its model, tokenizer or data
 * are others.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import { OptionError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import type { Tokenizer } from "../io/tokenizer.ts";

/** SHA-256 in hexadecimal; null for what cannot be told, such as rows that a program makes as they are read. */
export interface Fingerprints {
  /** Of config.json and the weights. */
  model: string | null;
  /** Of tokenizer.json. */
  tokenizer: string | null;
  /** Of the chat template and the special tokens. Older checkpoints have none. */
  template?: string | null;
  /** Of the rows, in files or in memory, and how they are read: columns, weights, the side of a split. */
  data: string | null;
  /** The same of the held-out rows; null without any. Older checkpoints have none. */
  evalData?: string | null;
}

/** Up to so many bytes a file is read as a whole. */
const WHOLE = 1 << 28;
/** Of a larger one so many pieces of {@linkcode PIECE} bytes, with both ends. */
const PIECES = 256;
const PIECE = 1 << 18;

/** What a run is started with. */
export interface Fingerprinted {
  model: {
    folder: string;
    tokenizer: Pick<Tokenizer, "chatTemplate" | "bosTokenId" | "eosTokenId" | "padTokenId">;
  };
  data: Dataset;
  evalData?: Dataset;
}

/** Takes the fingerprints of what a run is started with. */
export async function fingerprint(
  { model: { folder, tokenizer: loaded }, data, evalData }: Fingerprinted,
): Promise<Fingerprints> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  const weights = names.filter((name) => name.endsWith(".safetensors")).sort();
  const tokenizer = join(folder, "tokenizer.json");
  return {
    model: await hashFiles(["config.json", ...weights].map((name) => join(folder, name))),
    tokenizer: await exists(tokenizer) ? await hashFiles([tokenizer]) : null,
    template: hashTemplate(loaded),
    data: await hashData(data),
    evalData: evalData === undefined ? null : await hashData(evalData),
  };
}

/**
 * Makes sure that a run goes on with what it was started with.
 *
 * @param path Of the checkpoint.
 * @throws {OptionError} if it would not, naming what is another.
 */
export function expectSame(
  path: string,
  before: Partial<Fingerprints>,
  now: Fingerprints,
  data: Dataset,
): void {
  const subjects = {
    model: "the model has other weights or another config.json than the run was started with",
    tokenizer: "tokenizer.json is another than the run was started with",
    template: "the chat template or the special tokens are others than the run was started with",
    data:
      `${data.name} has other rows than the run was started with, or is read or split otherwise`,
    evalData: "the held-out rows are others than the run was started with",
  };
  for (const [name, sentence] of Object.entries(subjects)) {
    const [old, current] = [before[name as keyof Fingerprints], now[name as keyof Fingerprints]];
    if (old === undefined || old === null || current === null || old === current) continue;
    throw new OptionError(
      `Cannot resume from "${path}" as ${sentence}: give that, or go on all the same by resumeAnyway`,
    );
  }
}

function hashTemplate(tokenizer: Fingerprinted["model"]["tokenizer"]): string {
  const { chatTemplate, bosTokenId, eosTokenId, padTokenId } = tokenizer;
  const parts = [chatTemplate?.source ?? null, bosTokenId, eosTokenId, padTokenId];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

async function hashData({ descriptor, memory }: Dataset): Promise<string | null> {
  if (descriptor === null) return memory && hashRows(memory.rows, memory.recipe);
  const { groups, options, selections } = descriptor;
  const weights = groups.map(({ files, weight }) => [files.length, weight]);
  const paths = groups.flatMap(({ files }) => files.map(({ path }) => path));
  return await hashFiles(paths, JSON.stringify({ weights, options, selections }));
}

function hashRows(rows: readonly unknown[], recipe: object): string | null {
  const hash = createHash("sha256").update(JSON.stringify(recipe));
  try {
    for (const row of rows) hash.update(`${JSON.stringify(row)}\n`);
  } catch {
    return null; // such a row is refused when it is read, by its place
  }
  return hash.digest("hex");
}

/** Hashes sizes and contents, in this order; of a file beyond {@linkcode WHOLE}, pieces of its content. */
async function hashFiles(paths: readonly string[], ...words: string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const word of words) hash.update(`${word}\n`);
  for (const path of paths) {
    try {
      using file = await Deno.open(path);
      const { size, isFile } = await file.stat();
      hash.update(`${size}\n`);
      if (!isFile) continue; // a pipe can be read only once
      const pieces = size <= WHOLE ? Math.ceil(size / PIECE) : PIECES;
      const bytes = new Uint8Array(PIECE);
      for (let i = 0; i < pieces; i++) {
        const start = size <= WHOLE ? i * PIECE : Math.floor(i * (size - PIECE) / (pieces - 1));
        await file.seek(start, Deno.SeekMode.Start);
        hash.update(bytes.subarray(0, await fill(file, bytes)));
      }
    } catch (error) {
      throw toFileError("read", path, error);
    }
  }
  return hash.digest("hex");
}

/** Reads until the buffer is full or the file ends. */
async function fill(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return filled;
}
