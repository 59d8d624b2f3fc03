/**
 * Damages bytes: flips, cuts, insertions, splices of other files, and numbers that lengths and offsets do not expect.
 *
 * @module
 */

import type { FuzzRandom } from "./random.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const BYTES = [0, 1, 0x0a, 0x22, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xfe, 0xff];
/** Values of integers that bounds, signs and products stumble over. */
const INTEGERS = [
  ...[0n, 1n, -1n, 127n, 128n, 255n, 256n, 32767n, 32768n, 65535n, 65536n],
  ...[2n ** 24n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 10n ** 8n],
  ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 2n],
];

/**
 * A damaged copy of one of the seeds.
 *
 * @param seeds Sound files. Parts of others are spliced into the one that is taken.
 */
export function mutateBytes(random: FuzzRandom, seeds: readonly Uint8Array[]): Bytes {
  let bytes: Bytes = Uint8Array.from(random.pick(seeds));
  for (let count = random.few(); count > 0; count--) bytes = damage(random, bytes, seeds);
  return bytes;
}

function damage(random: FuzzRandom, bytes: Bytes, seeds: readonly Uint8Array[]): Bytes {
  const at = random.below(bytes.length + 1);
  const length = random.chance(0.7) ? random.between(1, 16) : random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + length);
  switch (random.below(11)) {
    case 0: // one bit
      if (at < bytes.length) bytes[at] ^= 1 << random.below(8);
      return bytes;
    case 1:
      if (at < bytes.length) {
        bytes[at] = random.chance(0.5) ? random.pick(BYTES) : random.below(256);
      }
      return bytes;
    case 2: // truncated
      return bytes.slice(0, at);
    case 3: // its start is missing
      return random.chance(0.2) ? bytes.slice(at) : bytes.slice(Math.min(at, random.below(8)));
    case 4: // a piece is missing
      return join(bytes.subarray(0, at), bytes.subarray(end));
    case 5: // a piece twice
      return join(bytes.subarray(0, end), bytes.subarray(at));
    case 6: // something is inserted
      return join(bytes.subarray(0, at), noise(random, Math.min(length, 64)), bytes.subarray(at));
    case 7: // overwritten
      bytes.subarray(at, end).fill(random.pick(BYTES));
      return bytes;
    case 8: { // a piece of another file
      const other = random.pick(seeds);
      const from = random.below(other.length + 1);
      const piece = other.subarray(from, from + length);
      return join(bytes.subarray(0, at), piece, bytes.subarray(random.chance(0.5) ? at : end));
    }
    case 9: // the start of one, the end of another
      return join(bytes.subarray(0, at), random.pick(seeds).subarray(at));
    default:
      return withInteger(random, bytes);
  }
}

/** An integer of 1, 2, 4 or 8 bytes overwritten, near the start more often than elsewhere. */
function withInteger(random: FuzzRandom, bytes: Bytes): Bytes {
  const size = random.pick([1, 2, 4, 8]);
  if (bytes.length < size) return bytes;
  const reach = random.chance(0.5) ? Math.min(64, bytes.length) : bytes.length;
  const at = random.below(Math.max(1, reach - size + 1));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const value = random.pick(INTEGERS);
  const little = random.chance(0.9);
  if (size === 1) view.setUint8(at, Number(value & 0xffn));
  else if (size === 2) view.setUint16(at, Number(value & 0xffffn), little);
  else if (size === 4) view.setUint32(at, Number(value & 0xffffffffn), little);
  else view.setBigUint64(at, value & (2n ** 64n - 1n), little);
  return bytes;
}

/** Bytes of no sense. */
export function noise(random: FuzzRandom, length: number): Bytes {
  const one = random.chance(0.3) ? random.below(256) : null;
  return Uint8Array.from({ length }, () => one ?? random.below(256));
}

/** Pieces as one. */
export function join(...pieces: readonly Uint8Array[]): Bytes {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
