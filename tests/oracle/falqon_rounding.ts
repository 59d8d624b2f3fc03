/**
 * Stochastic rounding to the codes of a format: the twin of `wgsl/falqon/falqon_rounding.wgsl` and of the rounding in
 * `falqon_row.wgsl`, the same to the bit.
 *
 * @module
 */

import { E4M3, encodeFp8, FP8_NAN, fp8DecodeTable } from "../../src/numerics/fp8.ts";
import { encodeInt8Array, int8DecodeTable } from "../../src/numerics/int8.ts";
import { mix32 } from "../../src/numerics/random.ts";
import type { RandomKey } from "../../src/numerics/random_key.ts";

/** Which numbers an update draws: those of one step of one tensor. */
export interface RoundingStream {
  /** The key of the tensor. */
  readonly key: RandomKey;
  /** Number of the step. */
  readonly step: number;
  /** Which rows of the tensor the weight's are; by default all. */
  readonly rows?: readonly number[];
}

/** Mixes a key and a step into what {@linkcode roundingWord} starts from. */
function streamWords(
  { key, step }: Pick<RoundingStream, "key" | "step">,
): { x: number; y: number } {
  return { x: mix32(key.low + step), y: mix32(key.high + step) };
}

/** The 32 bits of two neighbouring columns, the first or the second pair of the four columns with this index. */
function roundingWord(x: number, y: number, index: number, pair: number): number {
  let z = (index + x) | 0;
  z = (Math.imul(z ^ (z >>> 16), 0x21f0aaad) + y) | 0;
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  const first = (z ^ (z >>> 15)) >>> 0;
  if (pair === 0) return first;
  z = Math.imul(first, 0x9e3779b1);
  return (z ^ (z >>> 16)) >>> 0;
}

/**
 * The random word of an element, and whether it is the first of the two columns that share it: that takes the upper bits,
 * the second one the lower.
 *
 * @param cols Columns of the tensor.
 */
export function roundingBits(
  stream: RoundingStream,
  row: number,
  col: number,
  cols: number,
): RandomBits {
  const { x, y } = streamWords(stream);
  const index = (stream.rows?.[row] ?? row) * Math.ceil(cols / 4) + (col >> 2);
  return { word: roundingWord(x, y, index, (col >> 1) % 2), isFirst: col % 2 === 0 };
}

/** See {@linkcode roundingBits}. */
export interface RandomBits {
  readonly word: number;
  readonly isFirst: boolean;
}

/** How a format rounds stochastically. */
export interface StochasticCodec {
  /** How many random bits it uses. */
  readonly bits: number;
  /** An element's random number, an integer below `2 ** bits`. */
  readonly random: (bits: RandomBits) => number;
  /** The code of `decode(code) + change`, both f32. */
  readonly round: (code: number, change: number, random: number) => number;
}

/** e4m3: one of the two neighbours of the f32 sum, saturated; NaN stays NaN. */
export const STOCHASTIC_E4M3: StochasticCodec = {
  bits: 19,
  random: ({ word, isFirst }) => isFirst ? word >>> 13 : word & 0x7ffff,
  round(code, change, random) {
    const value = Math.fround(decodeE4m3Finite(code) + change);
    if (Number.isNaN(value)) return FP8_NAN;
    const magnitude = Math.min(Math.abs(value), E4M3.max);
    const exponent = Math.max(-6, Math.floor(Math.log2(magnitude)));
    // Counted in 2^-19 of a step, to nearest, ties to even, as the adder of f32 rounds.
    const fixed = roundHalfEven(magnitude * 2 ** (22 - exponent));
    const steps = Math.floor((fixed + random) / 2 ** 19);
    return (value < 0 || Object.is(value, -0) ? 0x80 : 0) | (steps + 8 * (exponent + 6));
  },
};

/** Kernels decode the NaN code as 480. */
function decodeE4m3Finite(code: number): number {
  return (code & 0x7f) === FP8_NAN ? (code & 0x80 ? -480 : 480) : fp8DecodeTable(E4M3)[code];
}

/** int8: the floor of the f32 sum of the change and a random number between 0 and 1; saturated at ±127. */
export const STOCHASTIC_INT8: StochasticCodec = {
  bits: 22,
  random: ({ word, isFirst }) => (isFirst ? word >>> 10 : (word & 0xffff) * 64 + (word >>> 26)),
  round(code, change, random) {
    const value = (code << 24 >> 24) + Math.floor(Math.fround(change + (random + 0.5) / 2 ** 22));
    return Math.min(Math.max(value, -127), 127) & 0xff;
  },
};

/** What an update must know of the format of a weight. */
export interface UpdateCodec {
  /** The largest magnitude. */
  readonly max: number;
  /** The values of all codes. */
  readonly values: Float32Array;
  /** The code of an f32, rounded to nearest. */
  readonly encode: (value: number) => number;
  readonly stochastic: StochasticCodec;
  /** The bits of f32 that a coefficient keeps: so few that its product with a value is exact. */
  readonly coefficientMask: number;
}

/** By the names of the formats. */
export const UPDATE_CODECS: Readonly<Record<string, UpdateCodec>> = {
  e4m3: {
    max: E4M3.max,
    values: fp8DecodeTable(E4M3),
    encode: (value) => encodeFp8(value, E4M3),
    stochastic: STOCHASTIC_E4M3,
    coefficientMask: 0xfffffff0, // 20 bits and 4
  },
  int8: {
    max: 127,
    values: int8DecodeTable(),
    encode: (value) => encodeInt8Array(Float32Array.of(value))[0],
    stochastic: STOCHASTIC_INT8,
    coefficientMask: 0xffffff80, // 17 bits and 7
  },
};

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
