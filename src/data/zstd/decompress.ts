/**
 * Decompresses Zstandard (RFC 8878) as a stream: memory holds what a frame may copy from, and nothing
 * more. The runtime's own decoder ends quietly in the middle of a frame, and its errors cannot be caught.
 *
 * @module
 */

import { BlockDecoder, MAX_BLOCK } from "./block.ts";
import { Output } from "./output.ts";
import { XxHash64 } from "./xxhash64.ts";

const MAGIC = 0xfd2fb528;
/** Frames of this and the next 15 are of others, and skipped. */
const SKIPPED_MAGIC = 0x184d2a50;

/** How far back a frame may copy from: what `zstd -d` allows without `--long`. */
const MAX_WINDOW = 1 << 27;

/** Bytes that may be read behind a block. */
const SPARE = 8;

/** A stream that is sound, perhaps, and is not read here. */
export class ZstdUnsupported extends Error {}

/**
 * Decompresses frames in a row.
 *
 * @throws {Error} saying what of the stream is wrong.
 * @throws {ZstdUnsupported} for a frame that needs a dictionary, or a window of more than 128 MiB.
 */
export async function* decompressZstd(
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const input = new Input();
  for (const piece of frames(input)) {
    if (piece !== null) yield piece.slice();
    else {
      const { value, done } = await chunks.next();
      input.give(done ? null : value);
    }
  }
}

/**
 * Decompresses what is in memory.
 *
 * @param length Bytes of the content, which must be known.
 */
export function decompressZstdPage(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(length);
  const input = new Input();
  let given = false;
  let at = 0;
  for (const piece of frames(input)) {
    if (piece === null) {
      input.give(given ? null : bytes);
      given = true;
    } else {
      if (at + piece.length > length) break;
      content.set(piece, at);
      at += piece.length;
    }
  }
  if (at !== length) throw new Error(`a page does not unfold to its ${length} bytes`);
  return content;
}

/** What a step gives: bytes, until the next step; null where it needs more input first. */
type Steps<T> = Generator<Uint8Array<ArrayBuffer> | null, T, void>;

function* frames(input: Input): Steps<void> {
  while (yield* input.hasMore()) {
    const magic = u32(yield* input.take(4));
    if ((magic & ~15) >>> 0 === SKIPPED_MAGIC) yield* input.skip(u32(yield* input.take(4)));
    else if (magic === MAGIC) yield* frame(input);
    else throw new Error("what follows a frame is none");
  }
}

function* frame(input: Input): Steps<void> {
  const { window, size, hasChecksum } = yield* readHead(input);
  const output = new Output(window);
  const decoder = new BlockDecoder();
  const most = Math.min(window, MAX_BLOCK);
  const hash = hasChecksum ? new XxHash64() : null;
  for (let last = false; !last;) {
    const head = yield* input.take(3);
    const bits = head[0] | head[1] << 8 | head[2] << 16;
    const [type, length] = [(bits >> 1) & 3, bits >> 3];
    last = (bits & 1) === 1;
    if (type === 3 || length > most) throw new Error("the head of a block is wrong");
    const before = output.length;
    const bytes = yield* input.take(type === 1 ? 1 : length);
    if (type === 0) output.write(bytes, 0, length);
    else if (type === 1) output.fill(bytes[0], length);
    else decoder.decode(input.lastTaken, length, most, output);
    const written = output.last(output.length - before);
    hash?.update(written);
    if (size !== null && output.length > size) break;
    if (written.length > 0) yield written;
  }
  if (size !== null && output.length !== size) {
    throw new Error(`a frame does not have the ${size} bytes that its head says`);
  }
  if (hash !== null && hash.low32() !== u32(yield* input.take(4))) {
    throw new Error("its checksum is that of other content");
  }
}

interface Head {
  /** Bytes. */
  window: number;
  /** Bytes of the content, if the head says that. */
  size: number | null;
  hasChecksum: boolean;
}

function* readHead(input: Input): Steps<Head> {
  const [flags] = yield* input.take(1);
  const isSingle = (flags & 0x20) !== 0;
  if ((flags & 8) !== 0) throw new Error("the head of a frame is wrong");
  let window: number | null = null;
  if (!isSingle) {
    const [byte] = yield* input.take(1);
    const base = 2 ** (10 + (byte >> 3));
    window = base + base / 8 * (byte & 7);
  }
  const dictionary = number(yield* input.take([0, 1, 2, 4][flags & 3]));
  const sizeBytes = [Number(isSingle), 2, 4, 8][flags >> 6];
  const stored = number(yield* input.take(sizeBytes)) + (sizeBytes === 2 ? 256 : 0);
  const size = sizeBytes === 0 ? null : stored;
  window ??= stored;
  if (dictionary !== 0) throw new ZstdUnsupported("it was compressed with a dictionary");
  if (window > MAX_WINDOW) {
    throw new ZstdUnsupported(
      `it needs a window of ${window} bytes, and at most ${MAX_WINDOW} are given to one`,
    );
  }
  return { window, size, hasChecksum: (flags & 4) !== 0 };
}

function number(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

function u32(bytes: Uint8Array): number {
  return number(bytes.subarray(0, 4));
}

/** Bytes that are asked for by their number, of chunks that come when they are needed. */
class Input {
  #chunk: Uint8Array | null = new Uint8Array(0);
  #at = 0;
  /** What was taken last, with some bytes more. */
  readonly lastTaken: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_BLOCK + SPARE);

  /** The next chunk; null at the end. */
  give(chunk: Uint8Array | null): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  *hasMore(): Steps<boolean> {
    while (this.#chunk !== null && this.#at === this.#chunk.length) yield null;
    return this.#chunk !== null;
  }

  /** The next bytes, until more are taken. */
  *take(count: number): Steps<Uint8Array<ArrayBuffer>> {
    for (let filled = 0; filled < count;) {
      const piece = yield* this.#piece(count - filled);
      this.lastTaken.set(piece, filled);
      filled += piece.length;
    }
    return this.lastTaken.subarray(0, count);
  }

  *skip(count: number): Steps<void> {
    for (let left = count; left > 0;) left -= (yield* this.#piece(left)).length;
  }

  *#piece(most: number): Steps<Uint8Array> {
    if (!(yield* this.hasMore())) throw new Error("it ends within a frame");
    const piece = this.#chunk!.subarray(this.#at, this.#at + most);
    this.#at += piece.length;
    return piece;
  }
}
