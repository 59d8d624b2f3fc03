/**
 * Rows of Parquet files, the format of most data sets on the Hugging Face hub: one row group at a
 * time, so memory holds one group and never the file.
 *
 * @module
 */

import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError, FileError } from "../errors.ts";
import { toFileError } from "../io/file_error.ts";
import type { DataFile } from "./bytes.ts";
import { checkPages, type ChunkClaims, type PageCheck } from "./parquet_pages.ts";
import { decompressZstdPage } from "./zstd/decompress.ts";
import type { RawRow } from "./types.ts";

type RowGroup = FileMetaData["row_groups"][number];

/**
 * Decompressors whose results are checked.
 *
 * @param check Is told the bytes that were decompressed, and what they became.
 */
function checkedDecompressors(check: (input: Uint8Array, page: Uint8Array) => void): Compressors {
  const all = { ...compressors, ZSTD: decompressZstdPage };
  return Object.fromEntries(
    Object.entries(all).map(([name, decompress]) => [
      name,
      (input: Uint8Array, length: number) => {
        // The package's LZ4 fails on pages of nothing, as those of nulls are.
        const page = length === 0 ? new Uint8Array(0) : decompress(input, length);
        check(input, page);
        return page;
      },
    ]),
  );
}

/** Texts that are not valid UTF-8 stay bytes, which are not taken for a text. */
const parsers = {
  stringFromBytes(bytes: Uint8Array | undefined): unknown {
    try {
      return bytes && new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return bytes;
    }
  },
};

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
  /** By the place in the file of what is compressed. */
  let checks = new Map<number, PageCheck>();
  const decompressors = checkedDecompressors((input, page) => {
    const check = checks.get(placeOf(input));
    if (check === undefined) throw new Error("a page is not where its column has one");
    check(page);
  });
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof FileError) throw error;
      // The runtime's words say nothing of the file: something in it is not there, or of another kind.
      const reason = error instanceof Error && error.constructor === Error
        ? error.message
        : "what it says of itself is not true";
      throw new DataError(
        `Cannot read ${name} as Parquet: ${reason}; the file is damaged or uses what is not ` +
          "implemented, so fetch it again, or write it anew without encryption",
        { cause: error },
      );
    }
  };
  const metadata = await read(async () => {
    // Its search for columns of geography never ends in some schemas that are damaged.
    const found = await parquetMetadataAsync(buffer, { geoparquet: false });
    checkSchema(found);
    return found;
  });
  const total = Number(metadata.num_rows);
  let first = 0;
  for (const group of metadata.row_groups) {
    const range = { rowStart: first, rowEnd: first + Number(group.num_rows) };
    checks = await read(() => checkGroup(buffer, metadata, group));
    const objects = await read(() =>
      parquetReadObjects(
        {
          ...{ file: buffer, metadata, compressors: decompressors, parsers },
          ...range,
        } as Parameters<typeof parquetReadObjects>[0],
      )
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
      offset: size * (first + i) / Math.max(1, total),
    }));
    first = range.rowEnd;
  }
}

/** Makes sure that what a group's columns claim can be. */
async function checkGroup(
  buffer: AsyncBuffer,
  metadata: FileMetaData,
  { columns, num_rows: rows }: RowGroup,
): Promise<Map<number, PageCheck>> {
  const checks = new Map<number, PageCheck>();
  for (const { meta_data: column, file_path: elsewhere } of columns) {
    if (column === undefined || elsewhere !== undefined) {
      throw new Error("it refers to another file");
    }
    const start = Number(column.dictionary_page_offset ?? column.data_page_offset);
    const end = start + Number(column.total_compressed_size);
    if (!(start >= 4 && start <= end && end <= buffer.byteLength)) {
      throw new Error("a column does not lie within the file");
    }
    const levels = levelsOf(metadata, column.path_in_schema);
    const found = checkPages(new Uint8Array(await buffer.slice(start, end)), {
      values: Number(column.num_values),
      rows: levels.repetition > 0 ? null : Number(rows),
      levels,
      isCompressed: column.codec !== "UNCOMPRESSED",
    });
    for (const [at, check] of found) checks.set(start + at, check);
  }
  return checks;
}

/** The largest levels of a column: what may be repeated above it, and what may be missing. */
function levelsOf({ schema }: FileMetaData, path: readonly string[]): ChunkClaims["levels"] {
  const levels = { repetition: 0, definition: 0 };
  let at = 1;
  for (const name of path) {
    while (at < schema.length && schema[at].name !== name) at = afterTree(schema, at);
    if (at >= schema.length) throw new Error(`its schema has no column "${path.join(".")}"`);
    const kind = schema[at].repetition_type;
    if (kind === "REPEATED") levels.repetition++;
    if (kind !== "REQUIRED") levels.definition++;
    at++;
  }
  return levels;
}

/** Makes sure that the elements of a schema say how many of those behind them are theirs. */
function checkSchema({ schema }: FileMetaData): void {
  const isTree = schema.every(({ num_children: count = 0 }) => count >= 0 && count < schema.length);
  if (!isTree || afterTree(schema, 0) !== schema.length) throw new Error("its schema is no tree");
}

/** The element behind one and those in it. */
function afterTree(schema: FileMetaData["schema"], at: number): number {
  let end = at + 1;
  for (let open = schema[at].num_children ?? 0; open > 0 && end < schema.length; end++) {
    open += (schema[end].num_children ?? 0) - 1;
  }
  return end;
}

/** Values that JSON has none for: 64-bit integers, typed arrays; raw bytes hold no text to learn. */
function asJson(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return { bytes: value.length };
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>);
  return value;
}

/** Bytes of a file that know where in it they are, also those that are cut out of them. */
class PlacedBuffer extends ArrayBuffer {
  readonly start: number;

  constructor(length: number, start: number) {
    super(length);
    this.start = start;
  }

  override slice(from = 0, to: number = this.byteLength): PlacedBuffer {
    const bytes = new Uint8Array(this).subarray(from, to);
    const cut = new PlacedBuffer(bytes.length, this.start + bytes.byteOffset);
    new Uint8Array(cut).set(bytes);
    return cut;
  }
}

/** Where in their file bytes are. */
function placeOf({ buffer, byteOffset }: Uint8Array): number {
  return buffer instanceof PlacedBuffer ? buffer.start + byteOffset : NaN;
}

/** Reads ranges of a file one after another: they share its position. */
function inTurn(
  file: Deno.FsFile,
  path: string,
  size: number,
): (start: number, end?: number) => Promise<ArrayBuffer> {
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    const bytes = new Uint8Array(new PlacedBuffer(end - start, start));
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
