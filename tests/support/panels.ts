/** Int8 codes in panels, written and read without the code that the package does it with. */

import type { Matrix } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Codes } from "../oracle/int8_product.ts";
import { randomGenerator } from "./random.ts";

/** Where the byte of row r and column c is. */
function placeOf(r: number, c: number, cols: number): number {
  return ((r >> 7) * Math.ceil(cols / 64) + (c >> 6)) * 8192 + (r & 127) * 64 + (c & 63);
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
  const bytes = new Int8Array(matrix.size).fill(0);
  for (let r = 0; r < Math.ceil(rows / 128) * 128; r++) {
    for (let c = 0; c < cols; c++) {
      bytes[placeOf(r, c, cols)] = r < rows ? values[r * cols + c] : 99;
    }
  }
  device.write(matrix, bytes);
  return matrix;
}
