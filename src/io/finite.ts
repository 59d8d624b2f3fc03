/**
 * Finds NaN and infinity in the bytes of tensors. No weight is ever one of them, and codes of 8 bits
 * would make numbers of them: int8 knows neither, and products take FP8's NaN for 480.
 *
 * Bytes are looked at as they are in the file, a word of 32 bits at a time, which is several times as
 * fast as the disk: an element is not finite where its bits without the sign are as large as its
 * dtype's infinity, or its first NaN.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { bytesPerElement, type DType, toFloat32 } from "./dtype.ts";
import type { TensorSource } from "./safetensors_writer.ts";

/** The least bits, the sign left out, of what is not finite. Other dtypes have only numbers. */
const LIMITS: Readonly<Partial<Record<DType, number>>> = {
  F32: 0x7f800000,
  F16: 0x7c00,
  BF16: 0x7f80,
  F8_E4M3: 0x7f,
  F8_E5M2: 0x7c,
};
/** The bits of the least BF16 value that f16 does not hold. */
const BF16_BEYOND_F16 = 0x4780;

/** An element that is none of the numbers it should be. */
export interface Outlier {
  /** Its place among the elements. */
  index: number;
  /** What it is, for people: `NaN`, `-Infinity`, `the code 0x7f, a NaN`. */
  shown: string;
}

/** The first element that is NaN or infinite; null if there is none. */
export function findNotFinite(bytes: Uint8Array<ArrayBuffer>, dtype: DType): Outlier | null {
  const limit = LIMITS[dtype];
  return limit === undefined ? null : found(bytes, dtype, limit);
}

/** The first BF16 element that is beyond f16, or not finite; null if there is none. */
export function findBeyondF16(bytes: Uint8Array<ArrayBuffer>): Outlier | null {
  return found(bytes, "BF16", BF16_BEYOND_F16);
}

/**
 * The same tensor to write, whose bytes are looked at first.
 *
 * @throws {ModelError} where they are asked for and not all of them are finite numbers.
 */
export function expectFinite(source: TensorSource): TensorSource {
  const { name, dtype } = source;
  const seen = (bytes: Uint8Array): Uint8Array => {
    const outlier = findNotFinite(bytes as Uint8Array<ArrayBuffer>, dtype);
    if (outlier) throw notWritable(name, outlier.shown, dtype);
    return bytes;
  };
  return {
    ...source,
    async *data() {
      const bytes = await source.data();
      if (bytes instanceof Uint8Array) yield seen(bytes);
      else for await (const chunk of bytes) yield seen(chunk);
    },
  };
}

/** The error for a tensor that is not written. */
export function notWritable(name: string, shown: string, dtype: string): ModelError {
  return new ModelError(
    `Cannot write "${name}" as ${dtype} as an element of it is ${shown}: weights must be finite ` +
      "numbers, so the training diverged or they leave the range of the dtype; use an earlier " +
      "checkpoint, or another dtype",
  );
}

function found(bytes: Uint8Array<ArrayBuffer>, dtype: DType, limit: number): Outlier | null {
  const size = bytesPerElement(dtype);
  const index = firstAtLeast(bytes, size, limit);
  if (index < 0) return null;
  const element = bytes.slice(index * size, (index + 1) * size);
  if (size > 1) return { index, shown: `${toFloat32(element, dtype)[0]}` };
  const kind = (element[0] & 0x7f) === LIMITS.F8_E5M2 && dtype === "F8_E5M2" ? "infinity" : "NaN";
  return { index, shown: `the code 0x${element[0].toString(16)}, ${kind}` };
}

/** Words that are looked at before what was found is asked for. */
const RUN = 4096;

/** The index of the first element of `size` bytes whose bits without the sign are `limit` or more; else −1. */
function firstAtLeast(bytes: Uint8Array<ArrayBuffer>, size: number, limit: number): number {
  // Views of words need an aligned offset; a tensor in a file may have any.
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Int32Array(buffer, byteOffset, length >>> 2);
  const ones = size === 4 ? 1 : size === 2 ? 0x00010001 : 0x01010101;
  const sign = 2 ** (8 * size - 1);
  const magnitude = (ones * (sign - 1)) | 0;
  const signs = (ones * sign) | 0;
  // Carries into the place of the sign, and no further, from the limit on.
  const addend = (ones * (sign - limit)) | 0;
  for (let start = 0; start < words.length; start += RUN) {
    const end = Math.min(start + RUN, words.length);
    let seen = 0;
    for (let i = start; i < end; i++) seen |= ((words[i] & magnitude) + addend) | 0;
    if ((seen & signs) === 0) continue;
    for (let i = start * 4 / size; i < end * 4 / size; i++) {
      if (isAtLeast(bytes, i, size, limit)) return i;
    }
  }
  for (let i = words.length * 4 / size; i < length / size; i++) {
    if (isAtLeast(bytes, i, size, limit)) return i;
  }
  return -1;
}

function isAtLeast(bytes: Uint8Array, index: number, size: number, limit: number): boolean {
  let bits = 0;
  for (let byte = size - 1; byte >= 0; byte--) bits = bits * 256 + bytes[index * size + byte];
  return bits % 2 ** (8 * size - 1) >= limit;
}
