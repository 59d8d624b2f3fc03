/**
 * Values that no host would give for indices. Importing this makes kernels tell of every index out of range.
 *
 * @module
 */

import "./check_bounds.ts";
import "./guard_pages.ts";
import type { Matrix, Vector } from "../../src/gpu/buffers.ts";
import { device } from "./device.ts";
import { uploadMatrix, uploadVector } from "./gpu.ts";
import { randomValues } from "./random.ts";

/** Around a length, around the signs, at the ends. */
export function hostile(length: number): number[] {
  return [
    ...[0, 1, length - 1, length, length + 1, 2 * length],
    ...[
      2 ** 16,
      2 ** 20,
      2 ** 30 - 1,
      2 ** 30,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32 - length,
      2 ** 32 - 1,
    ],
  ];
}

/** Uploads numbers as u32. */
export function u32s(values: readonly number[]): Vector {
  return uploadVector(device, Uint32Array.from(values)).vector;
}

/** Uploads a random matrix. */
export function matrixOf(rows: number, cols: number, seed: number): Matrix {
  return uploadMatrix(device, randomValues(rows * cols, seed), rows, cols).matrix;
}
