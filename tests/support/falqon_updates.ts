/**
 * FALQON's updates in the tests of their kernels: a merged weight of random codes on the GPU and on the
 * CPU, steps that write it, and its codes afterwards.
 *
 * @module
 */

import { assert } from "@std/assert";
import { layoutOf, type Matrix } from "../../src/gpu/buffers.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import type { UpdateBase } from "../../src/kernels/falqon/adapted_part.ts";
import { updateRows, type UpdateRowsOptions } from "../../src/kernels/falqon/falqon.ts";
import { FORMATS } from "../../src/numerics/formats.ts";
import * as oracle from "../oracle/falqon_update.ts";
import { device } from "./device.ts";
import { runOnce, uploadMatrix, uploadVector } from "./gpu.ts";
import { fromPanels, toPanels } from "./panels.ts";
import { randomValues } from "./random.ts";

/** The formats of weights. */
export const TYPES = ["e4m3", "int8"] as const;

export const KEY = { low: 0xdeadbeef, high: 0x01234567 };

/** Shapes without a whole tile, and the first row of W in the merged weight. */
export const SHAPES = [
  { outputs: 139, inputs: 180, rank: 37, wRow: 16 },
  { outputs: 1, inputs: 20, rank: 1, wRow: 0 },
  { outputs: 5, inputs: 3, rank: 2, wRow: 3 },
];

/** Codes as a matrix on the GPU. */
export function uploadBytes(codes: Uint8Array, cols: number, type: typeof TYPES[number]): Matrix {
  const rows = codes.length / cols;
  const matrix = device.matrix(rows, cols, type, "test codes");
  if (layoutOf(type) === "panels") device.write(matrix, toPanels(codes, cols));
  else {
    const padded = new Uint8Array(rows * matrix.pitch);
    for (let r = 0; r < rows; r++) {
      padded.set(codes.subarray(r * cols, (r + 1) * cols), r * matrix.pitch);
    }
    device.write(matrix, padded);
  }
  return matrix;
}

/** Random codes of a merged weight on the GPU and on the CPU, what its rows start from, and B. */
export function makeUpdate(
  { outputs, inputs, rank, wRow }: typeof SHAPES[number],
  type: typeof TYPES[number] = "e4m3",
  deviation = 0.01,
) {
  const height = wRow + outputs + rank;
  const all = FORMATS[type].codec.encode(randomValues(height * inputs, 1, 100));
  const weight = uploadBytes(all, inputs, type);
  const codes = all.slice(wRow * inputs);
  const frozen = codes.slice(0, outputs * inputs);
  const base = { codes: uploadBytes(frozen, inputs, type), row: 0 };
  const b = randomValues(outputs * rank, 2, deviation);
  const scales = randomValues(outputs + rank, 3).map((v) => 1.5 + v);
  const merged = { codes, scales, format: { name: type }, outputs, inputs, rank };
  const factors = oracle.updateFactors(merged, 0.5);
  const part = {
    weight,
    wRow,
    aRow: wRow + outputs,
    rows: outputs,
    rank,
    rowFactors: uploadVector(device, factors.rows).vector,
    columnFactors: uploadVector(device, factors.columns).vector,
    b: uploadMatrix(device, b, outputs, rank).matrix,
  };
  return { merged, part, base, frozen, b };
}

export type Update = ReturnType<typeof makeUpdate>;

/** Runs an update as a step of some number. */
export async function runUpdate(
  { part }: Pick<Update, "part">,
  base: UpdateBase,
  step: number,
  tile: UpdateRowsOptions["tile"],
  key = KEY,
) {
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  state.begin({ step, learningRate: 0, targetCount: 1 });
  await runOnce(
    device,
    (program) =>
      updateRows(program, { part, base, selection: null, rounding: { key, state }, tile }),
  );
}

/** The codes from W's first row on, without padding, which must be zero unless a row is NaN. */
export async function readCodes(
  { part: { weight, wRow } }: Pick<Update, "part">,
  paddingIsZero = true,
) {
  const bytes = new Uint8Array(await device.read(weight));
  const whole = layoutOf(weight.type) === "panels" ? fromPanels(bytes, weight) : bytes;
  const padded = whole.subarray(wRow * weight.pitch);
  const isPadding = (i: number) => i % weight.pitch >= weight.cols;
  if (paddingIsZero) assert(padded.every((code, i) => !isPadding(i) || code === 0), "padding");
  return padded.filter((_, i) => i % weight.pitch < weight.cols);
}

/** Places of codes in the order of their values. */
export function ordinal(code: number, type: typeof TYPES[number]): number {
  if (type === "int8") return code << 24 >> 24;
  return code < 128 ? code : 128 - code;
}

/** Values of B after each of some steps, and what each changed it by, as f32. */
export function walk(length: number, steps: number, deviation: number) {
  let b = new Float32Array(length);
  return Array.from({ length: steps }, (_, i) => {
    const before = b;
    b = randomValues(length, 50 + i, deviation).map((v, at) => Math.fround(v + before[at]));
    return { b, change: b.map((v, at) => v - before[at]) };
  });
}
