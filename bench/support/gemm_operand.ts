/**
 * Operands of products to be measured, in the layout that a kernel takes.
 *
 * @module
 */

import { type ElementType, layoutOf, type Matrix } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { formatOf } from "../../src/numerics/formats.ts";
import { decodeCodes } from "../../tests/oracle/codes.ts";

/** A matrix of test data, and the values of its elements. */
export interface GemmOperand {
  matrix: Matrix;
  value: (row: number, column: number) => number;
}

/**
 * Normal values, the largest about the type's maximum where it has codes, repeated with a prime
 * period.
 */
export function operand(
  device: Device,
  rows: number,
  cols: number,
  type: ElementType,
  seed: number,
): GemmOperand {
  const matrix = device.matrix(rows, cols, type, "operand");
  const period = 1_000_003;
  const format = formatOf(type);
  const largest = format.codec ? format.max : 4.5;
  let state = seed;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const normal = () =>
    Math.sqrt(-2 * Math.log(uniform() + 1e-12)) * Math.cos(2 * Math.PI * uniform());
  const values = Float32Array.from({ length: period }, () => normal() * largest / 4.5);
  const codes = format.codec?.encode(values);
  const encoded = codes ?? (type === "f32" ? values : Float16Array.from(values));
  const worth = Float64Array.from(codes ? decodeCodes(format, codes) : encoded);
  const elements = matrix.size / format.bytes;
  const data = new (encoded.constructor as Float32ArrayConstructor)(elements);
  for (let at = 0; at < elements; at += period) {
    data.set(encoded.subarray(0, Math.min(period, elements - at)) as Float32Array, at);
  }
  const place = layoutOf(type) === "rows"
    ? (row: number, column: number) => row * matrix.pitch + column
    : (row: number, column: number) =>
      ((row >> 7) * (matrix.pitch >> 6) + (column >> 6)) * 8192 + (row & 127) * 64 + (column & 63);
  for (let column = cols; column < matrix.pitch; column++) {
    for (let row = 0; row < rows; row++) data[place(row, column)] = 0;
  }
  device.write(matrix, data);
  return { matrix, value: (row, column) => worth[place(row, column) % period] };
}
