/**
 * The two 8-bit floating-point formats of FP8 training and their exact codec.
 *
 * Encoding works on the bits of the f32 value with 32-bit unsigned integer
 * operations only: it is the definition that kernels must match bit for bit
 * (wgsl/shared/fp8.wgsl, which lets the adder round), free of rounding modes,
 * denormal flushing and fused multiply-add.
 *
 * @example Round an array to e4m3 and back
 * ```ts
 * import { decodeFp8Array, E4M3, encodeFp8Array } from "@falqon/webgpu/fp8";
 *
 * const codes = encodeFp8Array(new Float32Array([0.1, -3, 1000]), E4M3);
 * console.log(decodeFp8Array(codes, E4M3)); // [0.1015625, -3, 448]
 * ```
 *
 * @module
 */

/** The layout of an 8-bit float: sign, then exponent, then mantissa. */
export interface Fp8Format {
  /** Short name: `e4m3` (the `fn` variant of OCP OFP8, without infinities) or `e5m2`. */
  readonly name: "e4m3" | "e5m2";
  /** Number of stored mantissa bits. */
  readonly mantissaBits: number;
  /** The exponent field of the value 1. */
  readonly exponentBias: number;
  /** The largest finite value; quantisation scales map the largest magnitude to it. */
  readonly max: number;
  /** The code of {@linkcode Fp8Format.max}; larger magnitude codes are infinity or NaN. */
  readonly maxCode: number;
  /** The code of +∞, or `undefined` where the format has none. */
  readonly infinityCode: number | undefined;
}

/** e4m3fn, for weights and activations: max 448, smallest step 2⁻⁹, NaN 0x7f and 0xff. */
export const E4M3: Fp8Format = {
  name: "e4m3",
  mantissaBits: 3,
  exponentBias: 7,
  max: 448,
  maxCode: 0x7e,
  infinityCode: undefined,
};

/** e5m2, for gradients: max 57344, smallest step 2⁻¹⁶, ±∞ 0x7c and 0xfc, NaN above them. */
export const E5M2: Fp8Format = {
  name: "e5m2",
  mantissaBits: 2,
  exponentBias: 15,
  max: 57344,
  maxCode: 0x7b,
  infinityCode: 0x7c,
};

/** The code every NaN is encoded to, in both formats. */
export const FP8_NAN = 0x7f;

const F32_INFINITY = 0x7f800000;
const F32_BIAS = 127;

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/**
 * Encodes one value: rounded to f32, then to the nearest representable value,
 * ties to the even code. Finite values beyond the maximum and ±∞ saturate to ±max,
 * ±0 keeps its sign.
 *
 * NaN becomes {@linkcode FP8_NAN} whatever its sign, since neither JavaScript nor
 * WGSL promises to keep the sign of a NaN.
 *
 * @param x The value.
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns The code, 0 to 255.
 */
export function encodeFp8(x: number, format: Fp8Format): number {
  scratch[0] = x;
  return encodeFp8Bits(scratchBits[0], format);
}

/**
 * {@linkcode encodeFp8} on the 32 bits of an f32.
 *
 * @param bits The f32's bits as an unsigned integer.
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns The code, 0 to 255.
 */
export function encodeFp8Bits(bits: number, format: Fp8Format): number {
  const sign = (bits >>> 24) & 0x80;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > F32_INFINITY) return FP8_NAN;

  const { mantissaBits, exponentBias, maxCode } = format;
  const rebias = (F32_BIAS - exponentBias) << mantissaBits;
  const shift = 23 - mantissaBits;
  if (magnitude >= (maxCode + rebias) << shift) return sign | maxCode;

  // Exponent and mantissa are rounded as one integer: a mantissa that overflows carries into
  // the exponent, which is what rounding up to the next power of two means.
  const minNormal = (rebias + (1 << mantissaBits)) << shift;
  if (magnitude >= minNormal) return sign | (roundShift(magnitude, shift) - rebias);

  // Subnormal codes count steps of 2^(1 - bias - mantissaBits). Beyond a shift of 25 the result
  // stays 0, which also covers f32 subnormals, whose implicit bit is wrongly set here.
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const exponent = magnitude >>> 23;
  return sign |
    roundShift(significand, Math.min(F32_BIAS - exponentBias + 1 + shift - exponent, 25));
}

/** `value >> shift`, rounded to nearest with ties to even. */
function roundShift(value: number, shift: number): number {
  const odd = (value >>> shift) & 1;
  return (value + (1 << (shift - 1)) - 1 + odd) >>> shift;
}

/**
 * Decodes one code. Exact: every FP8 value is an f32.
 *
 * @param code The code, 0 to 255.
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns The value, which may be -0, ±∞ (e5m2) or NaN.
 */
export function decodeFp8(code: number, format: Fp8Format): number {
  const sign = code & 0x80 ? -1 : 1;
  const magnitude = code & 0x7f;
  if (magnitude > format.maxCode) return magnitude === format.infinityCode ? sign * Infinity : NaN;

  const { mantissaBits, exponentBias } = format;
  const exponent = magnitude >>> mantissaBits;
  const mantissa = magnitude & ((1 << mantissaBits) - 1);
  const implicit = exponent > 0 ? 1 << mantissaBits : 0;
  const power = Math.max(exponent, 1) - exponentBias - mantissaBits;
  return sign * (implicit + mantissa) * 2 ** power;
}

/**
 * Encodes an array, element by element, as {@linkcode encodeFp8} does.
 *
 * @param values The f32 values.
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns One code per value.
 */
export function encodeFp8Array(
  values: Float32Array,
  format: Fp8Format,
): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const codes = new Uint8Array(values.length);
  for (let i = 0; i < bits.length; i++) codes[i] = encodeFp8Bits(bits[i], format);
  return codes;
}

/**
 * Decodes an array by table lookup.
 *
 * @param codes The codes.
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns One f32 per code.
 */
export function decodeFp8Array(
  codes: Uint8Array,
  format: Fp8Format,
): Float32Array<ArrayBuffer> {
  const table = fp8DecodeTable(format);
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) values[i] = table[codes[i]];
  return values;
}

const tables = new Map<Fp8Format, Float32Array<ArrayBuffer>>();

/**
 * The values of all 256 codes, computed once per format.
 *
 * @param format {@linkcode E4M3} or {@linkcode E5M2}.
 * @returns 256 f32 values; do not modify.
 */
export function fp8DecodeTable(format: Fp8Format): Float32Array<ArrayBuffer> {
  let table = tables.get(format);
  if (!table) {
    table = Float32Array.from({ length: 256 }, (_, code) => decodeFp8(code, format));
    tables.set(format, table);
  }
  return table;
}
