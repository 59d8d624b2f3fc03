/**
 * The checksum of Zstandard's frames: the low half of XXH64 with the seed 0
 * (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), in halves of 32 bits.
 *
 * @module
 */

/** High and low half. */
type Word = readonly [high: number, low: number];

const P1: Word = [0x9e3779b1, 0x85ebca87];
const P2: Word = [0xc2b2ae3d, 0x27d4eb4f];
const P3: Word = [0x165667b1, 0x9e3779f9];
const P4: Word = [0x85ebca77, 0xc2b2ae63];
const P5: Word = [0x27d4eb2f, 0x165667c5];

/** What the operations below work on: one word, as an array for each step would cost most of the time. */
let high = 0;
let low = 0;

function set(a: number, b: number): void {
  high = a;
  low = b;
}

function add(a: number, b: number): void {
  const sum = (low >>> 0) + (b >>> 0);
  high = (high + a + (sum > 0xffffffff ? 1 : 0)) | 0;
  low = sum | 0;
}

function multiply([a, b]: Word): void {
  const [b0, b1, d0, d1] = [low & 0xffff, low >>> 16, b & 0xffff, b >>> 16];
  const middle = b1 * d0 + ((b0 * d0) >>> 16);
  const other = b0 * d1 + (middle & 0xffff);
  const carried = b1 * d1 + Math.floor(middle / 65536) + Math.floor(other / 65536);
  high = (carried + Math.imul(high, b) + Math.imul(low, a)) | 0;
  low = Math.imul(low, b);
}

/** @param by From 1 to 31. */
function rotate(by: number): void {
  const a = high;
  high = a << by | low >>> (32 - by);
  low = low << by | a >>> (32 - by);
}

function xor(a: number, b: number): void {
  high ^= a;
  low ^= b;
}

/** One step of a lane, with the word `a`, `b` of the input. */
function round(laneHigh: number, laneLow: number, a: number, b: number): void {
  set(a, b);
  multiply(P2);
  add(laneHigh, laneLow);
  rotate(31);
  multiply(P1);
}

const STRIPE = 32;

/** The checksum of bytes that come in pieces. */
export class XxHash64 {
  /** Four words: P1 + P2, P2, 0 and −P1. */
  readonly #lanes = new Int32Array(8);
  readonly #rest = new Uint8Array(STRIPE);
  #filled = 0;
  #length = 0;

  constructor() {
    set(...P1);
    add(...P2);
    this.#lanes.set([high, low, ...P2, 0, 0]);
    set(~P1[0], ~P1[1]);
    add(0, 1);
    this.#lanes.set([high, low], 6);
  }

  /** Takes more bytes. */
  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(STRIPE - this.#filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < STRIPE) return;
      this.#stripes(this.#rest);
    }
    const end = bytes.length - (bytes.length - at) % STRIPE;
    this.#stripes(bytes.subarray(at, end));
    this.#rest.set(bytes.subarray(end));
    this.#filled = bytes.length - end;
  }

  /** The low 32 bits for all bytes so far. */
  low32(): number {
    if (this.#length >= STRIPE) this.#joinLanes();
    else set(...P5);
    add(Math.floor(this.#length / 2 ** 32), this.#length | 0);
    const view = new DataView(this.#rest.buffer);
    let at = 0;
    for (; at + 8 <= this.#filled; at += 8) {
      const [a, b] = [high, low];
      round(0, 0, view.getInt32(at + 4, true), view.getInt32(at, true));
      xor(a, b);
      rotate(27);
      multiply(P1);
      add(...P4);
    }
    for (; at + 4 <= this.#filled; at += 4) {
      const [a, b] = [high, low];
      set(0, view.getInt32(at, true));
      multiply(P1);
      xor(a, b);
      rotate(23);
      multiply(P2);
      add(...P3);
    }
    for (; at < this.#filled; at++) {
      const [a, b] = [high, low];
      set(0, this.#rest[at]);
      multiply(P5);
      xor(a, b);
      rotate(11);
      multiply(P1);
    }
    xor(0, high >>> 1); // shifted by 33 to the right
    multiply(P2);
    xor(high >>> 29, low >>> 29 | high << 3);
    multiply(P3);
    xor(0, high);
    return low >>> 0;
  }

  #joinLanes(): void {
    const lanes = this.#lanes;
    let [a, b] = [0, 0];
    [1, 7, 12, 18].forEach((by, i) => {
      set(lanes[2 * i], lanes[2 * i + 1]);
      rotate(by);
      add(a, b);
      [a, b] = [high, low];
    });
    for (let i = 0; i < 4; i++) {
      round(0, 0, lanes[2 * i], lanes[2 * i + 1]);
      xor(a, b);
      multiply(P1);
      add(...P4);
      [a, b] = [high, low];
    }
  }

  #stripes(bytes: Uint8Array): void {
    const lanes = this.#lanes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length; at += 8) {
      const lane = (at & 24) >> 2;
      round(lanes[lane], lanes[lane + 1], view.getInt32(at + 4, true), view.getInt32(at, true));
      lanes[lane] = high;
      lanes[lane + 1] = low;
    }
  }
}
