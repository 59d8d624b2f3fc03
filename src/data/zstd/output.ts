/**
 * What a Zstandard frame has become so far, as far back as later blocks may copy from.
 *
 * @module
 */

import { damaged } from "./entropy.ts";

/** Frames may be small, and many. */
const FIRST_BYTES = 1 << 12;
/** Up to so many bytes, a loop is faster than a call. */
const SMALL = 32;
/** Bytes of a block that was not read yet. */
const MAX_UNREAD = 1 << 17;

/** The last bytes of a frame. It grows with what is written, up to twice the window. */
export class Output {
  /** Bytes that were written. */
  length = 0;
  readonly #window: number;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES);
  /** Where the next byte goes. */
  #at = 0;

  /** @param window How far back a copy may begin, in bytes. */
  constructor(window: number) {
    this.#window = window;
  }

  /** Appends `bytes[from, to)`. */
  write(bytes: Uint8Array, from: number, to: number): void {
    const count = to - from;
    this.#makeRoom(count);
    if (count > SMALL) this.#bytes.set(bytes.subarray(from, to), this.#at);
    else for (let i = 0; i < count; i++) this.#bytes[this.#at + i] = bytes[from + i];
    this.#advance(count);
  }

  /** Appends a byte many times. */
  fill(byte: number, count: number): void {
    this.#makeRoom(count);
    this.#bytes.fill(byte, this.#at, this.#at + count);
    this.#advance(count);
  }

  /** Appends what was written `offset` bytes ago; that may reach into what it appends. */
  copy(offset: number, count: number): void {
    if (!(offset >= 1 && offset <= Math.min(this.#window, this.length))) {
      throw damaged("the offset of a sequence");
    }
    this.#makeRoom(count);
    const [bytes, at] = [this.#bytes, this.#at];
    if (count > SMALL && offset >= count) bytes.copyWithin(at, at - offset, at - offset + count);
    else for (let i = at; i < at + count; i++) bytes[i] = bytes[i - offset];
    this.#advance(count);
  }

  /** The last `count` bytes, until something is written. */
  last(count: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  #advance(count: number): void {
    this.#at += count;
    this.length += count;
  }

  /** Makes room for `count` more, and keeps the window and what may not have been read yet. */
  #makeRoom(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const kept = Math.min(this.#at, this.#window + MAX_UNREAD);
    const room = Math.min(2 * this.#bytes.length, 2 * (this.#window + MAX_UNREAD) + FIRST_BYTES);
    const from = this.#at - kept;
    if (room > this.#bytes.length && kept + count > this.#bytes.length / 2) {
      const larger = new Uint8Array(Math.max(room, kept + count));
      larger.set(this.#bytes.subarray(from, this.#at));
      this.#bytes = larger;
    } else {
      this.#bytes.copyWithin(0, from, this.#at);
    }
    this.#at = kept;
  }
}
