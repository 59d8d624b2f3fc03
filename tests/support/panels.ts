/** Int8 codes in panels, written and read without the code that the package does it with. */

import type { Matrix } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Codes } from "../oracle/int8_product.ts";
import { randomGenerator } from "./random.ts";

/** Where the byte of row r and column c is. */
export function placeOf(r: number, c: number, cols: number): number {
  return ((r >> 7) * Math.ceil(cols / 64) + (c >> 6)) * 8192 + (r & 127) * 64 + (c & 63);
}

/** Codes of one byte in rows as panels, with `rest` in the rows behind the last. */
export function toPanels(
  codes: ArrayLike<number>,
  cols: number,
  rest = 99,
): Uint8Array<ArrayBuffer> {
  const rows = codes.length / cols;
  const stored = Math.ceil(rows / 128) * 128;
  const bytes = new Uint8Array(stored * Math.ceil(cols / 64) * 64);
  for (let r = 0; r < stored; r++) {
    for (let c = 0; c < cols; c++) {
      bytes[placeOf(r, c, cols)] = r < rows ? codes[r * cols + c] : rest;
    }
  }
  return bytes;
}

/** The bytes of a matrix in panels by rows, its padding columns included. */
export function fromPanels(
  bytes: Uint8Array,
  { rows, cols, pitch }: Pick<Matrix, "rows" | "cols" | "pitch">,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    { length: rows * pitch },
    (_, i) => bytes[placeOf(Math.floor(i / pitch), i % pitch, cols)],
  );
}

/** Codes from -127 to 127, each as likely. */
export function randomCodes(rows: number, cols: number, seed: number): Codes {
  const uniform = randomGenerator(seed);
  const values = Int8Array.from({ length: rows * cols }, () => Math.floor(uniform() * 255) - 127);
  return { values, rows, cols };
}

/** Uploads codes; rows behind the last hold what must not count. */
export function uploadCodes(device: Device, { values, rows, cols }: Codes): Matrix {
  const matrix = device.matrix(rows, cols, "int8", "test codes");
  device.write(matrix, toPanels(values, cols));
  return matrix;
}
