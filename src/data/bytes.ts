/**
 * The bytes of a data file as a stream, decompressed where it is compressed, with a look at the
 * first ones to tell what kind of file it is.
 *
 * @module
 */

import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { DataError } from "../errors.ts";
import { toFileError } from "../io/file_error.ts";
import { decompressZstd, ZstdUnsupported } from "./zstd/decompress.ts";

const CHUNK_BYTES = 1 << 18;
/** Bytes that the kind of a file is told by. */
const HEAD_BYTES = 64;

/** A data file. */
export interface DataFile {
  /** Where it lies. */
  path: string;
  /** What it is called in messages; a download is called by its URL. */
  name: string;
}

/** The bytes of a file. */
export interface FileBytes {
  /** What the file would be called if it were not compressed. */
  name: string;
  /** The first bytes, which `chunks` has too. */
  head: Uint8Array;
  /** Whether the bytes are not those of the file on disk. */
  compressed: boolean;
  chunks: AsyncGenerator<Uint8Array, void, void>;
  /** Ends reading, also where none of the chunks was asked for. */
  close(): Promise<void>;
}

/**
 * Opens a file, and what is compressed in it by gzip or Zstandard, which its first bytes tell.
 *
 * @throws {FileError} when the file cannot be read.
 * @throws {DataError} when it is damaged; so does reading on.
 */
export async function openBytes(file: DataFile): Promise<FileBytes> {
  const plain = await peek(readChunks(file.path));
  const codec = CODECS.find(({ magic }) => startsWith(plain.head, magic));
  if (codec === undefined) return { ...plain, name: file.name, compressed: false };
  const chunks = decompressed(file, codec, plain.chunks);
  const name = file.name.replace(/\.(gz|gzip|zst|zstd)$/i, "");
  return { ...await peek(chunks), name, compressed: true };
}

/** Whether bytes start with those of a text. */
export function startsWith(bytes: Uint8Array, magic: readonly number[] | string): boolean {
  const wanted = typeof magic === "string" ? new TextEncoder().encode(magic) : magic;
  return wanted.length <= bytes.length && wanted.every((byte, i) => bytes[i] === byte);
}

interface Codec {
  magic: readonly number[];
  decompress(chunks: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array>;
}

/** Both take several compressed streams in a row, as `cat` and parallel compressors make them. */
const CODECS: readonly Codec[] = [
  {
    magic: [0x1f, 0x8b],
    decompress(chunks) {
      const gunzip = createGunzip();
      pipeline(Readable.from(chunks), gunzip, () => {}); // an error of either ends the other
      return gunzip;
    },
  },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], decompress: decompressZstd },
];

async function* decompressed(
  { name }: DataFile,
  codec: Codec,
  chunks: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let failure: unknown;
  const watched = (async function* () {
    try {
      yield* chunks;
    } catch (error) {
      failure = error;
      throw error;
    }
  })();
  const output = codec.decompress(watched)[Symbol.asyncIterator]();
  try {
    while (true) {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await output.next();
      } catch (error) {
        if (failure !== undefined) throw failure;
        const remedy = error instanceof ZstdUnsupported
          ? "decompress it by zstd -d --long=31"
          : "the file is damaged or not complete, so fetch it again";
        throw new DataError(
          `Cannot decompress ${name}: ${(error as Error).message}; ${remedy}`,
          { cause: error },
        );
      }
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await output.return?.();
    await chunks.return(undefined);
  }
}

async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, void> {
  try {
    using file = await Deno.open(path);
    while (true) {
      // A read may give a few bytes only: the next one goes behind them.
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (let at = 0; at < CHUNK_BYTES / 2;) {
        const count = await file.read(chunk.subarray(at));
        if (count === null) return;
        yield chunk.subarray(at, at += count);
      }
    }
  } catch (error) {
    throw toFileError("read", path, error);
  }
}

/** The first bytes of a stream, and the stream with them. */
async function peek(
  chunks: AsyncGenerator<Uint8Array, void, void>,
): Promise<Pick<FileBytes, "head" | "chunks" | "close">> {
  const first: Uint8Array[] = [];
  let length = 0;
  while (length < HEAD_BYTES) {
    const { value, done } = await chunks.next();
    if (done) break;
    first.push(value);
    length += value.length;
  }
  const head = new Uint8Array(length);
  let at = 0;
  for (const chunk of first) {
    head.set(chunk, at);
    at += chunk.length;
  }
  const again = (async function* () {
    try {
      if (length > 0) yield head;
      yield* chunks;
    } finally {
      await chunks.return();
    }
  })();
  // A generator that was not started yet ends without its last block, so both are ended.
  const close = async () => {
    await again.return();
    await chunks.return();
  };
  return { head: head.subarray(0, HEAD_BYTES), chunks: again, close };
}
