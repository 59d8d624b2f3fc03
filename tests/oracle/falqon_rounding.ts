/**
 * Stochastic rounding to the codes of a format: the twin of `wgsl/falqon/falqon_rounding.wgsl` and of the rounding in
 * `falqon_row.wgsl`, the same to the bit.
 *
 * @module
 */

import { E4M3, encodeFp8, FP8_NAN, fp8DecodeTable } from "../../src/numerics/fp8.ts";
import { encodeInt8Array, int8DecodeTable } from "../../src/numerics/int8.ts";
import type { RandomKey } from "../../src/numerics/random_key.ts";

/** Which thresholds an update has: those of one step of one tensor. */
export interface RoundingStream {
  /** The key of the tensor. */
  readonly key: RandomKey;
  /** Number of the step where codes change in place; null from a reference, where thresholds stay. */
  readonly step: number | null;
  /** Which rows of the tensor the weight's are; by default all. */
  readonly rows?: readonly number[];
}

/** The 32 bits of the eight columns with this index. */
function roundingWord({ low, high }: RandomKey, index: number): number {
  let z = (index + low) | 0;
  z = (Math.imul(z ^ (z >>> 16), 0x21f0aaad) + high) | 0;
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/** 2^32 over the golden ratio: by so much of their range thresholds go on from step to step. */
const GOLDEN = 0x9e3779b9;

/** What a word, or its upper part, is multiplied by for each of four columns. */
const FACTORS = [0xcdc041d9, 0x6427d34d, 0x963451df, 0xca9560a7];

/**
 * The threshold of an element, an integer of so many bits.
 *
 * @param cols Columns of the tensor.
 * @param bits At most 23.
 */
export function threshold(
  { key, step, rows }: RoundingStream,
  row: number,
  col: number,
  cols: number,
  bits: number,
): number {
  const word = roundingWord(key, (rows?.[row] ?? row) * Math.ceil(cols / 8) + (col >> 3));
  const own = Math.imul(col & 4 ? word >>> 9 : word, FACTORS[col & 3]);
  const turn = step === null ? 0 : Math.imul(step, GOLDEN) >>> (32 - bits);
  return (own + turn) & (2 ** bits - 1);
}

/** How a format rounds stochastically. */
export interface StochasticCodec {
  /** How many bits a threshold has. */
  readonly bits: number;
  /** The code of `decode(code) + change`, both f32, for a {@linkcode threshold}. */
  readonly round: (code: number, change: number, threshold: number) => number;
  /** The code that `round` made this one from, by the same change and threshold. */
  readonly origin: (code: number, change: number, threshold: number) => number;
}

/** e4m3: one of the two neighbours of the f32 sum, saturated; NaN stays NaN. */
export const STOCHASTIC_E4M3: StochasticCodec = {
  bits: 19,
  round(code, change, threshold) {
    const value = Math.fround(decodeE4m3Finite(code) + change);
    if (Number.isNaN(value)) return FP8_NAN;
    const magnitude = Math.min(Math.abs(value), E4M3.max);
    const exponent = Math.max(-6, Math.floor(Math.log2(magnitude)));
    // Counted in 2^-19 of a step, to nearest, ties to even, as the adder of f32 rounds.
    const fixed = roundHalfEven(magnitude * 2 ** (22 - exponent));
    const steps = Math.floor((fixed + threshold) / 2 ** 19);
    return (value < 0 || Object.is(value, -0) ? 0x80 : 0) | (steps + 8 * (exponent + 6));
  },
  origin(code, change, threshold) {
    // The middle of what is rounded to the code, as a place among codes, in 2^-20; a code is worth what it decodes to, and
    // places between two codes what lies as far between their values.
    const place = 2 ** 20 * (code & 0x7f) + 2 ** 19 - 2 * threshold - 1;
    const eighth = Math.floor(place / 2 ** 23);
    const middle = eighth < 1
      ? place * 2 ** -29
      : 2 ** (eighth - 7) * (1 + (place - 2 ** 23 * eighth) / 2 ** 23);
    return encodeFp8(Math.fround((code & 0x80 ? -middle : middle) - change), E4M3);
  },
};

/** Kernels decode the NaN code as 480. */
function decodeE4m3Finite(code: number): number {
  return (code & 0x7f) === FP8_NAN ? (code & 0x80 ? -480 : 480) : fp8DecodeTable(E4M3)[code];
}

/**
 * int8: the f32 sum of the change and a number between -1/2 and 1/2, made of the upper 22 bits of the threshold, is added to
 * the code and rounded, as the adder of f32 rounds where a code c is 1 + (c - 127) · 2^-24; saturated at ±127.
 */
export const STOCHASTIC_INT8: StochasticCodec = {
  bits: 23,
  round(code, change, threshold) {
    const drawn = Math.fround(change + ((threshold >>> 1) + 0.5) / 2 ** 22 - 0.5);
    const sum = Math.fround(1 + ((code << 24 >> 24) - 127 + drawn) / 2 ** 24);
    return saturatedCode(sum);
  },
  origin(code, change, threshold) {
    const drawn = Math.fround(change + ((threshold >>> 1) + 0.5) / 2 ** 22 - 0.5);
    return saturatedCode(Math.fround(1 + ((code << 24 >> 24) - 127 - drawn) / 2 ** 24));
  },
};

/** The code c of 1 + (c - 127) · 2^-24. */
function saturatedCode(sum: number): number {
  return Math.max(127 + (Math.min(sum, 1) - 1) * 2 ** 24, -127) & 0xff;
}

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
