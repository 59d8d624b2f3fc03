/**
 * The products of rank r around FALQON's weight update, to be measured: dB, and the update itself.
 *
 * @module
 */

import { columnsOf, type Matrix, rowsOf, type Vector } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { E4M3 } from "../../src/fp8/codec.ts";
import { updateRows, type UpdateTile } from "../../src/kernels/falqon.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { quantize } from "../../src/kernels/quantize.ts";
import { randomNormal } from "../../src/kernels/random.ts";
import { skinnyGradient, type SkinnyVariant } from "../../src/kernels/skinny.ts";
import { updateFactors, updateRequantize } from "../../src/reference/falqon_update.ts";
import { normalValues } from "../../src/reference/random.ts";
import { relativeError } from "../../tests/support/gpu.ts";

/** Something to measure. */
export interface BenchCase {
  name: string;
  /** Floating-point operations; 0 where memory is the limit. */
  flops: number;
  /** Bytes that must move. */
  bytes: number;
  /** The largest error that passes. */
  tolerance: number;
  record(program: Program): void;
  /** How wrong the result of the first run is; see the case. */
  check(): Promise<number>;
  free(): void;
}

/** Sizes of a step. */
export interface StepSizes {
  tokens: number;
  hidden: number;
  ffn: number;
  heads: number;
  vocab: number;
  rank: number;
  layers: number;
}

/** Fills a matrix by normal numbers with sequence `low`: element i is `normalElement(low, i, deviation)`. */
export async function fillNormal(
  device: Device,
  out: Matrix,
  low: number,
  deviation: number,
): Promise<void> {
  using program = new Program(device);
  randomNormal(program, { key: { low, high: 0 }, mean: 0, deviation, out });
  (await program.prepare()).run();
}

/** Elements of what {@linkcode fillNormal} made. */
export function normalElements(
  low: number,
  deviation: number,
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  return normalValues({ low, high: 0 }, { mean: 0, deviation }, first, count);
}

const [LOW_A, LOW_B, LOW_W] = [1, 2, 3];

/** Tiles of the update to compare; the first is the default. */
export const UPDATE_TILES: readonly (UpdateTile | undefined)[] = [
  undefined,
  { BM: 128, BN: 64, BK: 16, TM: 8, TN: 8 },
  { BM: 128, BN: 128, BK: 16, TM: 8, TN: 8 },
  { BM: 64, BN: 128, BK: 8, TM: 8, TN: 8 },
  { BM: 128, BN: 128, BK: 8, TM: 8, TN: 8 },
  { BM: 128, BN: 128, BK: 32, TM: 8, TN: 8 },
  { BM: 64, BN: 64, BK: 16, TM: 8, TN: 8 },
  { BM: 64, BN: 128, BK: 16, TM: 8, TN: 4 },
  { BM: 64, BN: 256, BK: 16, TM: 8, TN: 8 },
  { BM: 128, BN: 128, BK: 16, TM: 8, TN: 16 },
];

/** `requantize` of all rows of a linear [outputs, inputs]. The error is the share of wrong codes in sampled rows: 0. */
export async function updateCase(
  device: Device,
  { rank }: StepSizes,
  [outputs, inputs]: readonly [number, number],
  tile?: UpdateTile,
): Promise<BenchCase> {
  const weight = device.matrix(outputs + rank, inputs, "e4m3", "weight");
  const base = device.matrix(outputs, inputs, "e4m3", "reference codes");
  const b = device.matrix(outputs, rank, "f32", "B");
  const scales = device.vector(outputs + rank, "f32", "scales");
  const values = device.matrix(outputs + rank, inputs, "f32", "weight before quantisation");
  await fillNormal(device, values, LOW_W, 0.02);
  await fillNormal(device, b, LOW_B, 0.01);
  using made = new Program(device);
  quantize(made, { input: values, codes: weight, scales, granularity: "row" });
  made.copy(rowsOf(weight, 0, outputs), base);
  (await made.prepare()).run();
  const allScales = new Float32Array(await device.read(scales)).slice(0, outputs + rank);
  device.free(values);
  const factors = updateFactors({
    codes: new Uint8Array(),
    scales: allScales,
    format: E4M3,
    outputs,
    inputs,
    rank,
  }, 0.25);
  const rowFactors = uploaded(device, factors.rows);
  const columnFactors = uploaded(device, factors.columns);
  const part = {
    weight,
    wRow: 0,
    aRow: outputs,
    rows: outputs,
    rank,
    rowFactors,
    columnFactors,
    b,
  };
  const codesOf = async (matrix: Matrix, rows: number[]) => {
    const read = rows.map((row) => device.read(rowsOf(matrix, row, 1)));
    const bytes = await Promise.all(read);
    const codes = new Uint8Array(rows.length * inputs);
    bytes.forEach((row, i) => codes.set(new Uint8Array(row).subarray(0, inputs), i * inputs));
    return codes;
  };
  return {
    name: `update ${outputs}×${inputs}${tile ? ` ${Object.values(tile).join("/")}` : ""}`,
    flops: 2 * outputs * inputs * rank,
    bytes: 2 * outputs * inputs,
    tolerance: 0,
    record: (program) =>
      updateRows(program, { part, base: { codes: base, row: 0 }, selection: null, tile }),
    async check() {
      const sampled = [0, 1, outputs >> 1, (outputs >> 1) + 5, outputs - 1]; // factors are relative to row 0
      const frozen = await codesOf(base, sampled);
      const a = await codesOf(weight, Array.from({ length: rank }, (_, j) => outputs + j));
      const codes = new Uint8Array(frozen.length + a.length);
      codes.set(frozen);
      codes.set(a, frozen.length);
      const master = sampled.flatMap((row) => [...normalElements(LOW_B, 0.01, row * rank, rank)]);
      const scalesOf = [...sampled, ...Array.from({ length: rank }, (_, j) => outputs + j)]
        .map((row) => allScales[row]);
      const sample = {
        codes,
        scales: Float32Array.from(scalesOf),
        format: E4M3,
        outputs: sampled.length,
        inputs,
        rank,
      };
      const flushed = new Float32Array(master.length);
      updateRequantize(sample, frozen, Float32Array.from(master), flushed, 0.25);
      const got = await codesOf(weight, sampled);
      return got.filter((code, i) => code !== codes[i]).length / got.length;
    },
    free: () => device.free(weight, base, b, scales, rowFactors, columnFactors),
  };
}

/** Ways to make dB: the general product, and the special one with its default and other variants. */
export const GRADIENT_VARIANTS: readonly ("gemm" | Partial<SkinnyVariant>)[] = [
  "gemm",
  {},
  { splits: 4 },
  { splits: 8 },
  { splits: 12 },
  { splits: 24 },
  { BM: 64, BN: 64, BK: 16, TM: 8, TN: 4 },
  { BM: 128, BN: 64, BK: 8, TM: 8, TN: 8 },
  { BM: 128, BN: 64, BK: 32, TM: 8, TN: 8 },
  { BM: 256, BN: 64, BK: 16, TM: 16, TN: 8 },
];

/** dB = Gᵀ·low for a linear with `outputs`. The error is relative, over sampled rows, against f64. */
export async function gradientCase(
  device: Device,
  { tokens, rank }: StepSizes,
  outputs: number,
  variant: "gemm" | Partial<SkinnyVariant>,
): Promise<BenchCase> {
  const gradient = device.matrix(tokens, outputs, "f32", "gradient");
  const low = device.matrix(tokens, rank, "f32", "x·Aᵀ");
  const out = device.matrix(outputs, rank, "f32", "dB");
  await fillNormal(device, gradient, LOW_A, 1);
  await fillNormal(device, low, LOW_B, 1);
  const [a, b] = [columnsOf(gradient), columnsOf(low)];
  const name = variant === "gemm" ? variant : `skinny ${JSON.stringify(variant)}`;
  return {
    name: `dB ${outputs}×${rank} ${name}`,
    flops: 2 * outputs * rank * tokens,
    bytes: 4 * (tokens * (outputs + rank) + outputs * rank),
    tolerance: 1e-5,
    record: (program) =>
      variant === "gemm"
        ? gemm(program, { layout: "tn", a, b, out })
        : skinnyGradient(program, { a, b, out, variant }),
    async check() {
      const lowValues = normalElements(LOW_B, 1, 0, tokens * rank);
      let worst = 0;
      for (const row of [0, outputs >> 1, outputs - 1]) {
        const want = new Float64Array(rank);
        for (let t = 0; t < tokens; t++) {
          const [g] = normalElements(LOW_A, 1, t * outputs + row, 1);
          for (let j = 0; j < rank; j++) want[j] += g * lowValues[t * rank + j];
        }
        const got = new Float32Array(await device.read(rowsOf(out, row, 1))).subarray(0, rank);
        worst = Math.max(worst, relativeError(got, want));
      }
      return worst;
    },
    free: () => device.free(gradient, low, out),
  };
}

function uploaded(device: Device, values: Float32Array<ArrayBuffer>): Vector {
  const vector = device.vector(values.length, "f32", "factors");
  device.write(vector, values);
  return vector;
}
