/**
 * Checks a row kernel on some rows of a large matrix.
 *
 * @module
 */

import { layoutOf, type Matrix, PANEL, rowsOf } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { rowsFromPanels } from "../../src/kernels/rows/copy_codes.ts";
import type { QuantizedGradient } from "../../src/kernels/rows/quantize.ts";
import { E4M3, E5M2, encodeFp8Array, type Fp8Format } from "../../src/numerics/fp8.ts";
import { encodeInt8Array, INT8_MAX } from "../../src/numerics/int8.ts";
import { relativeError } from "../../tests/oracle/compare.ts";
import { halfScale, largestMagnitude, quantizationScale } from "../../tests/oracle/quantize.ts";

/** The errors of a kernel over some rows. */
export interface RowErrors {
  /** Share of codes that differ from the CPU's for the same f32 values and the kernel's scale. */
  wrongCodes?: number;
  /** Of f32 or f16 results, relative to the oracle in f64. */
  error?: number;
}

/** The formats that the row kernels write. */
export type CodeType = "e4m3" | "e5m2" | "f16" | "int8";

/** How the CPU makes the scale of a row of a format, and codes as numbers. */
interface CodesOnCpu {
  scaleOf(amax: number): number;
  encode(scaled: Float32Array): number[];
  decodedBy(bytes: ArrayBuffer): ArrayLike<number>;
}

const ofFp8 = (format: Fp8Format): CodesOnCpu => ({
  scaleOf: (amax) => quantizationScale(amax, format),
  encode: (scaled) => [...encodeFp8Array(scaled, format)],
  decodedBy: (bytes) => new Uint8Array(bytes),
});

const CODES: Readonly<Record<CodeType, CodesOnCpu>> = {
  e4m3: ofFp8(E4M3),
  e5m2: ofFp8(E5M2),
  f16: {
    scaleOf: halfScale,
    encode: (scaled) => [...scaled].map(Math.f16round),
    decodedBy: (bytes) => new Float16Array(bytes),
  },
  int8: {
    scaleOf: (amax) => Math.fround(INT8_MAX / amax),
    encode: (scaled) => [...encodeInt8Array(scaled)],
    decodedBy: (bytes) => new Uint8Array(bytes),
  },
};

/** Compares codes and scales with the CPU's for the same f32 values. */
export async function checkCodes(
  device: Device,
  { codes, scales, columnScales }: QuantizedGradient,
  values: Matrix,
): Promise<RowErrors> {
  const { scaleOf, encode, decodedBy } = CODES[codes.type as CodeType];
  const gotScales = new Float32Array(await device.read(scales));
  const divisors = columnScales && new Float32Array(await device.read(columnScales));
  const sampled = sampledRows(values);
  let wrong = 0;
  for (const row of sampled) {
    const x = Float32Array.from(
      await readRow(device, values, row),
      (v, i) => divisors ? v / divisors[i] : v,
    );
    const scale = scaleOf(largestMagnitude(x));
    if (!(Math.abs(gotScales[row] / scale - 1) < 1e-6)) {
      throw new Error(`The scale of row ${row} is ${gotScales[row]}, not ${scale}`);
    }
    const got = decodedBy(await readCodes(device, codes, row));
    const want = encode(x.map((v) => v * gotScales[row]));
    wrong += want.filter((code, i) => code !== got[i]).length;
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

/** The bytes of a row of codes, in whichever layout they are. */
async function readCodes(device: Device, codes: Matrix, row: number): Promise<ArrayBuffer> {
  if (layoutOf(codes.type) === "rows") return await device.read(rowsOf(codes, row, 1));
  const first = row - row % PANEL.rows;
  const panels = await device.read(rowsOf(codes, first, row - first + 1));
  return rowsFromPanels(new Uint8Array(panels), codes, row - first, 1).buffer;
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
