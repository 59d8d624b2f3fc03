/**
 * The rows of several files in one stream.
 *
 * @module
 */

import { hash32 } from "../numerics/random.ts";
import { toFileError } from "../io/file_error.ts";
import type { DataFile } from "./bytes.ts";
import { type FileRowOptions, readFileRows } from "./file_rows.ts";
import type { RawRow } from "./types.ts";

/** Files that are read one after another, and how often. */
export interface FileGroup {
  /** The files. */
  files: DataFile[];
  /** How often each of their rows is read in an epoch: 1 is once, 0.5 every second time. */
  weight: number;
}

/** How many bytes of rows a compressed byte is taken for, to tell how far a file is read. */
const COMPRESSION = 4;

/** Decides the rows that a weight which is no whole number begins with. */
const WEIGHT_SEED = 0x77656967;

/**
 * How often a row is read in an epoch. Over the epochs that adds up to the weight as evenly as whole
 * numbers can: at 0.5 every row is read in every second epoch, half of them in each.
 */
export function timesRead(weight: number, row: RawRow, epoch: number): number {
  if (weight === 1) return 1;
  const phase = hash32(WEIGHT_SEED + (row.file ?? 0), row.index) / 2 ** 32;
  return Math.floor(weight * (epoch + 1) + phase) - Math.floor(weight * epoch + phase);
}

/**
 * The rows of groups of files, one group after another.
 *
 * @param interleave Read the groups side by side instead, each as far as its share of bytes. A shuffle
 * buffer mixes only what is near, so a large first file would be learned before the second.
 * @throws {FileError} when a file cannot be read.
 */
export async function* readGroups(
  groups: readonly FileGroup[],
  options: FileRowOptions,
  interleave: boolean,
): AsyncGenerator<RawRow[], void, void> {
  let file = 0;
  const streams = groups.map((group) => {
    const first = file;
    file += group.files.length;
    return { group, first };
  });
  if (!interleave || groups.length === 1) {
    for (const { group, first } of streams) yield* readGroup(group.files, first, options);
    return;
  }
  yield* mixed(
    await Promise.all(streams.map(async ({ group, first }) => ({
      rows: readGroup(group.files, first, options),
      sizes: await Promise.all(group.files.map(expectedBytes)),
      first,
    }))),
  );
}

async function* readGroup(
  files: readonly DataFile[],
  first: number,
  options: FileRowOptions,
): AsyncGenerator<RawRow[], void, void> {
  for (const [i, file] of files.entries()) {
    for await (const rows of readFileRows(file, options)) {
      for (const row of rows) row.file = first + i;
      yield rows;
    }
  }
}

/** The bytes of rows that a file has, about: only a share is made of it, the same every time. */
async function expectedBytes({ path }: DataFile): Promise<number> {
  try {
    const { size } = await Deno.stat(path);
    return /\.(gz|gzip|zst|zstd)$/i.test(path) ? COMPRESSION * size : size;
  } catch (error) {
    throw toFileError("read", path, error);
  }
}

interface Stream {
  rows: AsyncGenerator<RawRow[], void, void>;
  /** Expected bytes of its files. */
  sizes: number[];
  /** Number of its first file. */
  first: number;
}

/** The rows of streams, always of the one of which the smallest share was read. */
async function* mixed(streams: Stream[]): AsyncGenerator<RawRow[], void, void> {
  const states = streams.map(({ rows, sizes, first }) => {
    let before = 0;
    const starts = sizes.map((size) => (before += size) - size);
    const share = ({ file, offset }: RawRow) =>
      (starts[file! - first] + Math.min(offset!, sizes[file! - first])) / Math.max(1, before);
    return { rows, share, chunk: [] as RawRow[], at: 0, done: false };
  });
  try {
    while (true) {
      for (const state of states) {
        if (state.done || state.at < state.chunk.length) continue;
        const { value, done } = await state.rows.next();
        [state.chunk, state.at, state.done] = [value ?? [], 0, done === true];
      }
      const open = states.filter(({ done }) => !done);
      if (open.length === 0) return;
      const rows: RawRow[] = [];
      while (open.every(({ at, chunk }) => at < chunk.length)) {
        const next = open.reduce((a, b) => b.share(b.chunk[b.at]) < a.share(a.chunk[a.at]) ? b : a);
        rows.push(next.chunk[next.at++]);
      }
      if (rows.length > 0) yield rows;
    }
  } finally {
    for (const { rows } of states) await rows.return();
  }
}
