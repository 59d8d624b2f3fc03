/**
 * The codec of 8-bit integers with a scale: what wgsl/shared/int8.wgsl does, on the CPU.
 *
 * @module
 */

/** The largest magnitude that is encoded: -128 has no counterpart, and would bias what is rounded. */
export const INT8_MAX = 127;

/**
 * Encodes f32 values as two's complement bytes: rounded to the nearest integer, ties to the even
 * one; magnitudes above {@linkcode INT8_MAX} saturate, and NaN becomes 0.
 */
export function encodeInt8Array(values: Float32Array): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) codes[i] = roundToEven(values[i]);
  return codes;
}

/** The values of all 256 codes; do not modify. */
export function int8DecodeTable(): Float32Array<ArrayBuffer> {
  return TABLE;
}

const TABLE = Float32Array.from({ length: 256 }, (_, code) => (code << 24) >> 24);

/** Between 2²³ and 2²⁴ floats are the integers: rounding a sum to one rounds its small summand. */
const INTEGERS = 1.5 * 2 ** 23;

function roundToEven(value: number): number {
  const limited = Math.min(INT8_MAX, Math.max(-INT8_MAX, value));
  return Math.fround(limited + INTEGERS) - INTEGERS;
}
