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
  return Uint8Array.from(values, (value) => roundToEven(value) & 0xff);
}

/** The values of all 256 codes; do not modify. */
export function int8DecodeTable(): Float32Array<ArrayBuffer> {
  return TABLE;
}

const TABLE = Float32Array.from({ length: 256 }, (_, code) => (code << 24) >> 24);

function roundToEven(value: number): number {
  const limited = Math.min(INT8_MAX, Math.max(-INT8_MAX, value));
  const below = Math.floor(limited);
  const rest = limited - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}
