/**
 * Stochastic rounding to codes: a value between two codes becomes the upper one with the
 * probability that makes the mean right, so that a change below half a step arrives on average
 * where rounding to nearest would lose it.
 *
 * The random bits are a function of a stream and the index of the element, by integer operations
 * alone: the same on every machine, whatever the order.
 *
 * @module
 */

import { codecOf, type NumberFormat } from "./formats.ts";
import { mix32 } from "./random.ts";

/** The stream of random bits of a tensor: a hash of a seed and the tensor's name. */
export function tensorStream(seed: number, name: string): number {
  let hash = mix32(seed ^ 0x9e3779b9) ^ mix32(Math.floor(seed / 2 ** 32));
  for (const byte of new TextEncoder().encode(name)) hash = mix32(hash + byte);
  return hash >>> 0;
}

/** The 32 random bits of an element of a stream. */
function streamBits(stream: number, element: number): number {
  return mix32(stream ^ mix32(element + 1));
}

/**
 * Encodes values, each as one of the two codes around it. Values that a code holds exactly keep it;
 * those out of range saturate; NaN is encoded as the format does.
 *
 * @param values Already multiplied by their scales.
 * @param format Of one byte per value.
 * @param stream From {@linkcode tensorStream}.
 * @param nearest The values rounded to nearest, where they are known.
 */
export function encodeStochastically(
  values: Float32Array,
  format: NumberFormat,
  stream: number,
  nearest = codecOf(format).encode(values),
): Uint8Array<ArrayBuffer> {
  const decoded = codecOf(format).values();
  const { above, below } = neighbours(format);
  const codes = nearest.slice();
  for (let i = 0; i < codes.length; i++) {
    const code = nearest[i];
    const offset = values[i] - decoded[code];
    if (offset === 0 || Number.isNaN(offset)) continue;
    const other = (offset > 0 ? above : below)[code];
    if (other < 0) continue; // saturated
    const share = offset / (decoded[other] - decoded[code]);
    if (streamBits(stream, i) < share * 2 ** 32) codes[i] = other;
  }
  return codes;
}

/**
 * How far values are from their nearest codes: the mean of the squared distance, as a share of the
 * step that the value lies in. 1/12 for values at random; 0 for values that codes hold exactly.
 * Values out of range, of which nothing is known, do not count.
 */
export function meanSquareOffset(
  values: Float32Array,
  format: NumberFormat,
  nearest: Uint8Array = codecOf(format).encode(values),
): number {
  const decoded = codecOf(format).values();
  const { above, below } = neighbours(format);
  let [sum, count] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const code = nearest[i];
    const offset = values[i] - decoded[code];
    if (offset !== 0) {
      const other = (offset > 0 ? above : below)[code];
      if (other < 0) continue;
      sum += (offset / (decoded[other] - decoded[code])) ** 2;
    }
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** For each code the next one above and below in value; −1 where there is none. */
interface Neighbours {
  readonly above: Int16Array;
  readonly below: Int16Array;
}

const known = new Map<NumberFormat, Neighbours>();

function neighbours(format: NumberFormat): Neighbours {
  let found = known.get(format);
  if (!found) known.set(format, found = findNeighbours(format));
  return found;
}

/** Two codes of one value, as 0 and −0, have the same neighbours, and the first of them is one. */
function findNeighbours(format: NumberFormat): Neighbours {
  const { values } = codecOf(format);
  const decoded = values();
  const inRange = (value: number) => Math.abs(value) <= format.max; // false for NaN
  const ordered = [...decoded.keys()].filter((code) => inRange(decoded[code]))
    .sort((a, b) => decoded[a] - decoded[b]);
  const distinct = ordered.filter((code, i) => decoded[code] !== decoded[ordered[i - 1]]);
  const above = new Int16Array(256).fill(-1);
  const below = new Int16Array(256).fill(-1);
  for (const code of ordered) {
    const at = distinct.findIndex((other) => decoded[other] === decoded[code]);
    above[code] = distinct[at + 1] ?? -1;
    below[code] = distinct[at - 1] ?? -1;
  }
  return { above, below };
}
