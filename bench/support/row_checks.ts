/**
 * Checks a row kernel on some rows of a large matrix.
 *
 * @module
 */

import { type Matrix, rowsOf } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { E4M3, E5M2, encodeFp8 } from "../../src/numerics/fp8.ts";
import type { QuantizedGradient } from "../../src/kernels/rows/quantize.ts";
import { relativeError } from "../../tests/oracle/compare.ts";
import { halfScale, largestMagnitude, quantizationScale } from "../../tests/oracle/quantize.ts";

/** The errors of a kernel over some rows. */
export interface RowErrors {
  /** Share of codes that differ from the CPU's for the same f32 values and the kernel's scale. */
  wrongCodes?: number;
  /** Of f32 or f16 results, relative to the oracle in f64. */
  error?: number;
}

/** Compares codes and scales with the CPU's for the same f32 values. */
export async function checkCodes(
  device: Device,
  { codes, scales, columnScales }: QuantizedGradient,
  values: Matrix,
): Promise<RowErrors> {
  const format = codes.type === "e5m2" ? E5M2 : E4M3;
  const gotScales = new Float32Array(await device.read(scales));
  const divisors = columnScales && new Float32Array(await device.read(columnScales));
  const sampled = sampledRows(values);
  let wrong = 0;
  for (const row of sampled) {
    const x = Float32Array.from(
      await readRow(device, values, row),
      (v, i) => divisors ? v / divisors[i] : v,
    );
    const amax = largestMagnitude(x);
    const scale = codes.type === "f16" ? halfScale(amax) : quantizationScale(amax, format);
    if (!(Math.abs(gotScales[row] / scale - 1) < 1e-6)) {
      throw new Error(`The scale of row ${row} is ${gotScales[row]}, not ${scale}`);
    }
    const bytes = await device.read(rowsOf(codes, row, 1));
    const got = codes.type === "f16" ? new Float16Array(bytes) : new Uint8Array(bytes);
    x.forEach((v, i) => {
      const scaled = Math.fround(v * gotScales[row]);
      const want = codes.type === "f16" ? Math.f16round(scaled) : encodeFp8(scaled, format);
      wrong += Number(want !== got[i]);
    });
  }
  return { wrongCodes: wrong / codes.cols / sampled.length };
}

/** Compares rows of f32 or f16 with those of an oracle. */
export async function checkRows(
  device: Device,
  got: Matrix,
  want: (row: number) => Promise<Float64Array>,
): Promise<RowErrors> {
  let error = 0;
  for (const row of sampledRows(got)) {
    error = Math.max(error, relativeError(await readRow(device, got, row), await want(row)));
  }
  return { error };
}

/** A row of an f32 or f16 matrix. */
export async function readRow(device: Device, matrix: Matrix, row: number): Promise<Float64Array> {
  const bytes = await device.read(rowsOf(matrix, row, 1));
  const values = matrix.type === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
  return Float64Array.from(values.subarray(0, matrix.cols));
}

function sampledRows({ rows }: Matrix): number[] {
  return [...new Set([0, rows >> 1, rows - 1])];
}
