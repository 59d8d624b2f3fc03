/**
 * Codes of one byte as numbers, by the table of their format.
 *
 * @module
 */

import { codecOf, type NumberFormat } from "../../src/numerics/formats.ts";

/**
 * Decodes codes of one byte, unscaled.
 *
 * @throws {TypeError} for a format without a codec.
 */
export function decodeCodes(format: NumberFormat, codes: Uint8Array): Float32Array<ArrayBuffer> {
  const table = codecOf(format).values();
  return Float32Array.from(codes, (code) => table[code]);
}
