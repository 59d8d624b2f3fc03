/**
 * Rows of Parquet files, the format of most data sets on the Hugging Face hub: one row group at a
 * time, so memory holds one group and never the file.
 *
 * @module
 */

import {
  type AsyncBuffer,
  type Compressors,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError } from "../errors.ts";
import { toFileError } from "../io/file_error.ts";
import type { DataFile } from "./bytes.ts";
import type { RawRow } from "./types.ts";

/** Decompressors; the package's LZ4 fails on pages of nothing, as those of nulls are. */
const decompressors: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([name, decompress]) => [
    name,
    (input: Uint8Array, length: number) =>
      length === 0 ? new Uint8Array(0) : decompress(input, length),
  ]),
);

/**
 * The rows of a Parquet file, each as JSON, in arrays of one row group each. Columns that a row has
 * no value for are null.
 *
 * @throws {FileError} when the file cannot be read.
 * @throws {DataError} when it is damaged, encrypted, or compressed in an unknown way.
 */
export async function* readParquetRows(
  { path, name }: DataFile,
): AsyncGenerator<RawRow[], void, void> {
  using file = await Deno.open(path).catch((error) => {
    throw toFileError("read", path, error);
  });
  const { size } = await file.stat();
  const buffer: AsyncBuffer = { byteLength: size, slice: inTurn(file, path, size) };
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Error && error.name === "FileError") throw error;
      throw new DataError(
        `Cannot read ${name} as Parquet: ${
          (error as Error).message
        }; the file is damaged or uses ` +
          "what is not implemented, so fetch it again, or write it anew without encryption",
        { cause: error },
      );
    }
  };
  const metadata = await read(() => parquetMetadataAsync(buffer));
  const total = Number(metadata.num_rows);
  let first = 0;
  for (const group of metadata.row_groups) {
    const range = { rowStart: first, rowEnd: first + Number(group.num_rows) };
    const objects = await read(() =>
      parquetReadObjects({ file: buffer, metadata, compressors: decompressors, ...range })
    );
    if (objects.length !== range.rowEnd - range.rowStart) {
      throw new DataError(
        `Cannot read ${name} as Parquet: a group of rows has ${objects.length} rows instead of ` +
          `${range.rowEnd - range.rowStart}; the file is damaged, so fetch it again`,
      );
    }
    yield objects.map((row, i) => ({
      index: first + i,
      line: 0,
      text: JSON.stringify(row, asJson),
      kind: "json",
      offset: size * (first + i) / total,
    }));
    first = range.rowEnd;
  }
}

/** Values that JSON has none for: 64-bit integers, typed arrays; raw bytes hold no text to learn. */
function asJson(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return `(${value.length} bytes)`;
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>);
  return value;
}

/** Reads ranges of a file one after another: they share its position. */
function inTurn(
  file: Deno.FsFile,
  path: string,
  size: number,
): (start: number, end?: number) => Promise<ArrayBuffer> {
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    const bytes = new Uint8Array(end - start);
    try {
      await file.seek(start, Deno.SeekMode.Start);
      for (let filled = 0; filled < bytes.length;) {
        const count = await file.read(bytes.subarray(filled));
        if (count === null) throw new Error(`the file ends at byte ${start + filled}`);
        filled += count;
      }
    } catch (error) {
      throw toFileError("read", path, error);
    }
    return bytes.buffer;
  };
  return (start, end = size) => {
    const result = turn.then(() => read(start, Math.min(end, size)));
    turn = result.catch(() => {});
    return result;
  };
}
