/**
 * The low-rank products of FALQON's weight update, to be measured: dB, and the update itself.
 *
 * @module
 */

import {
  columnsOf,
  ELEMENT_BYTES,
  layoutOf,
  type Matrix,
  rowsOf,
  type Vector,
} from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { updateRows, type UpdateTile } from "../../src/kernels/falqon/falqon.ts";
import { fitsUpdateTensor, type UpdateTensorTile } from "../../src/kernels/falqon/tensor.ts";
import { gemm } from "../../src/kernels/gemm/gemm.ts";
import { copyCodes, rowsFromPanels } from "../../src/kernels/rows/copy_codes.ts";
import { quantize } from "../../src/kernels/rows/quantize.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { F16_MATRIX, supportsMatrix } from "../../src/gpu/subgroup_matrix.ts";
import { randomNormal } from "../../src/kernels/rows/random.ts";
import { lowRankGradient, type LowRankVariant } from "../../src/kernels/gemm/low_rank_gradient.ts";
import {
  lowRankGradientTensor,
  type LowRankTensorVariant,
  recordGradientScale,
  scaleOfF16Gradient,
} from "../../src/kernels/gemm/low_rank_gradient_tensor.ts";
import { relativeError } from "../../tests/oracle/compare.ts";
import {
  updateFactors,
  updateRequantize,
  updateStochastic,
} from "../../tests/oracle/falqon_update.ts";
import { normalValues } from "../../tests/oracle/random.ts";

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
  /** The error of the first run's result; see the case. */
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

/**
 * Fills a matrix with normal numbers with sequence `low`: element i is `normalElement(low, i,
 * deviation)`.
 */
export async function fillNormal(
  device: Device,
  out: Matrix,
  low: number,
  deviation: number,
): Promise<void> {
  await submitOnce(
    device,
    (program) => randomNormal(program, { key: { low, high: 0 }, mean: 0, deviation, out }),
  );
}

/** Elements of a matrix that {@linkcode fillNormal} filled. */
export function normalElements(
  low: number,
  deviation: number,
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  return normalValues({ low, high: 0 }, { mean: 0, deviation }, first, count);
}

const [LOW_A, LOW_B, LOW_W] = [1, 2, 3];

/** Tiles of an update to compare on a device: those that it has workgroup memory for. */
export function updateTiles(
  device: Device,
  { rank }: StepSizes,
  { rule }: UpdateWay,
): (UpdateTile | UpdateTensorTile)[] {
  const exact = [
    { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 },
    { BM: 128, BN: 128, BK: 16, TM: 8, TN: 8 },
    { BM: 64, BN: 64, BK: 16, TM: 8, TN: 8 },
    { BM: 64, BN: 128, BK: 16, TM: 8, TN: 4 },
    { BM: 64, BN: 128, BK: 32, TM: 8, TN: 8 },
  ];
  const matrix = [
    { subgroups: 4, columns: 32, steps: 16 },
    { subgroups: 4, columns: 32, steps: 8 },
    { subgroups: 4, columns: 32, steps: 32 },
    { subgroups: 4, columns: 32, steps: 64 },
    { subgroups: 4, columns: 64, steps: 8 },
    { subgroups: 2, columns: 32, steps: 2 },
    { subgroups: 2, columns: 32, steps: 4 },
    { subgroups: 2, columns: 32, steps: 8 },
    { subgroups: 2, columns: 32, steps: 16 },
    { subgroups: 2, columns: 64, steps: 16 },
    { subgroups: 6, columns: 32, steps: 32 },
    { subgroups: 8, columns: 32, steps: 16 },
    { subgroups: 8, columns: 32, steps: 32 },
  ];
  if (!supportsMatrix(device, F16_MATRIX)) return exact;
  const sets = rule === "stochastic" ? 2 : 1;
  return [...matrix.filter((tile) => fitsUpdateTensor(device, tile, rank, sets)), exact[0]];
}

/** The updates that are measured: the rule, and the format of the weight. */
export interface UpdateWay {
  /** `nearest` and `rounded` start from a reference, as requantize does; `stochastic` recovers it. */
  rule: "nearest" | "rounded" | "stochastic";
  type: "e4m3" | "int8";
}

/** Every way. */
export const UPDATE_WAYS: readonly UpdateWay[] = (["e4m3", "int8"] as const).flatMap((type) =>
  (["nearest", "rounded", "stochastic"] as const).map((rule) => ({ rule, type }))
);

/** Places of codes in the order of their values. */
function ordinal(code: number, type: UpdateWay["type"]): number {
  if (type === "int8") return code << 24 >> 24;
  return code < 128 ? code : 128 - code;
}

const KEY = { low: 1, high: 2 };

/**
 * An update of all rows of a linear [outputs, inputs]. The error is the share of wrong codes in
 * sampled rows: 0, or on tensor cores, which add in another order, a few that differ by one; 1 if
 * one differs by more.
 */
export async function updateCase(
  device: Device,
  { rank }: StepSizes,
  [outputs, inputs]: readonly [number, number],
  { rule, type }: UpdateWay,
  tile?: UpdateTile | UpdateTensorTile,
): Promise<BenchCase> {
  const weight = device.matrix(outputs + rank, inputs, type, "weight");
  const base = device.matrix(outputs, inputs, type, "reference codes");
  const b = device.matrix(outputs, rank, "f32", "B");
  const scales = device.vector(outputs + rank, "f32", "scales");
  const values = device.matrix(outputs + rank, inputs, "f32", "weight before quantisation");
  await fillNormal(device, values, LOW_W, 0.02);
  await fillNormal(device, b, LOW_B, 0.01);
  using made = new Program(device);
  quantize(made, { input: values, codes: weight, scales, granularity: "row" });
  copyCodes(made, { codes: weight, first: 0 }, { codes: base, first: 0 }, outputs);
  (await made.prepare()).run();
  const allScales = new Float32Array(await device.read(scales)).slice(0, outputs + rank);
  device.free(values);
  const factors = updateFactors({ scales: allScales, outputs }, 0.25);
  const rowFactors = uploaded(device, factors.rows);
  const columnFactors = uploaded(device, factors.columns);
  const state = new StepState(device, { beta1: 0, beta2: 0 });
  state.begin({ step: 1, learningRate: 0, targetCount: 1 });
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
    const bytes = new Uint8Array(await device.read(matrix));
    const codes = new Uint8Array(rows.length * inputs);
    rows.forEach((row, i) => {
      const found = layoutOf(type) === "panels"
        ? rowsFromPanels(bytes, matrix, row, 1)
        : bytes.subarray(row * matrix.pitch, row * matrix.pitch + inputs);
      codes.set(found, i * inputs);
    });
    return codes;
  };
  return {
    name: `update ${outputs}×${inputs} ${type} ${rule}${
      tile ? ` ${Object.values(tile).join("/")}` : ""
    }`,
    flops: 2 * outputs * inputs * rank,
    bytes: 2 * outputs * inputs,
    tolerance: supportsMatrix(device, F16_MATRIX) && !(tile && "BM" in tile) ? 1e-4 : 0,
    record: (program) =>
      updateRows(program, {
        part,
        base: rule === "stochastic" ? { change: b } : { codes: base, row: 0 },
        selection: null,
        rounding: rule === "nearest" ? undefined : { key: KEY, state },
        tile,
      }),
    async check() {
      const middle = outputs >> 1;
      // Factors are relative to row 0.
      const sampled = [0, 1, 15, 16, 63, 64, middle, middle + 5, outputs - 1];
      const frozen = await codesOf(base, sampled);
      const ofA = Array.from({ length: rank }, (_, j) => outputs + j);
      const written = await codesOf(weight, [...sampled, ...ofA]);
      const codes = written.slice();
      codes.set(frozen);
      const master = Float32Array.from(
        sampled.flatMap((row) => [...normalElements(LOW_B, 0.01, row * rank, rank)]),
      );
      const sample = {
        codes,
        scales: Float32Array.from([...sampled, ...ofA], (row) => allScales[row]),
        format: { name: type },
        outputs: sampled.length,
        inputs,
        rank,
      };
      const rounding = { key: KEY, step: 1, rows: sampled };
      if (rule === "stochastic") updateStochastic(sample, master, master, 0.25, rounding);
      else {
        const flushed = new Float32Array(master.length);
        const how = rule === "nearest" ? null : rounding;
        updateRequantize(sample, frozen, master, flushed, 0.25, Infinity, how);
      }
      const steps = Array.from(
        codes.subarray(0, frozen.length),
        (code, i) => Math.abs(ordinal(written[i], type) - ordinal(code, type)),
      );
      if (steps.some((step) => step > 1)) return 1;
      return steps.filter((step) => step > 0).length / steps.length;
    },
    free() {
      device.free(weight, base, b, scales, rowFactors, columnFactors);
      state[Symbol.dispose]();
    },
  };
}

/**
 * A way to compute dB: the general GEMM, or the low-rank kernel in f32 or on tensor cores, with a
 * variant of its tiles; there also from a gradient in f16, `scaled` like its codes.
 */
export type GradientWay =
  | { kernel: "gemm" }
  | { kernel: "low-rank"; variant: Partial<LowRankVariant> }
  | { kernel: "tensor"; variant: Partial<LowRankTensorVariant>; scaled?: boolean };

/** The ways that training uses. */
const GRADIENT_WAYS: readonly GradientWay[] = [
  { kernel: "gemm" },
  { kernel: "low-rank", variant: {} },
  { kernel: "tensor", variant: {} },
  { kernel: "tensor", variant: {}, scaled: true },
];

/** Tiles to compare. */
const GRADIENT_VARIANTS: readonly GradientWay[] = [
  ...[
    { splits: 4 },
    { splits: 8 },
    { splits: 12 },
    { splits: 24 },
    { BM: 64, BN: 64, BK: 16, TM: 8, TN: 4 },
    { BM: 128, BN: 64, BK: 8, TM: 8, TN: 8 },
    { BM: 128, BN: 64, BK: 32, TM: 8, TN: 8 },
    { BM: 256, BN: 64, BK: 16, TM: 16, TN: 8 },
  ].map((variant) => ({ kernel: "low-rank" as const, variant })),
  ...[
    { splitK: 256 },
    { splitK: 512 },
    { splitK: 1024 },
    { splitK: 2048 },
    { BK: 16, splitK: 512 },
    { BK: 16, splitK: 1024 },
    { BK: 16, splitK: 2048 },
    { BK: 64, splitK: 1024 },
    { BM: 64, splitK: 1024 },
    { BM: 64, splitK: 2048 },
    { BM: 256, BK: 16, splitK: 512 },
    { BM: 256, BK: 16, splitK: 1024 },
    { BM: 256, splitK: 1024 },
  ].flatMap((variant) =>
    [false, true].map((scaled) => ({ kernel: "tensor" as const, variant, scaled }))
  ),
];

/** The ways to compute dB that a device supports. */
export function gradientWays(device: Device, sweep: boolean): GradientWay[] {
  const ways = sweep ? [...GRADIENT_WAYS, ...GRADIENT_VARIANTS] : GRADIENT_WAYS;
  return ways.filter(({ kernel }) => kernel !== "tensor" || supportsMatrix(device, F16_MATRIX));
}

/** Elements of gradients are about this large. */
const GRADIENT_SIZE = 1e-6;

/**
 * dB = Gᵀ·low for a linear with `outputs`. The error is relative, over sampled rows, against f64:
 * on tensor cores that of two factors rounded to f16.
 */
export async function gradientCase(
  device: Device,
  { tokens, rank }: StepSizes,
  outputs: number,
  way: GradientWay,
): Promise<BenchCase> {
  const gradient = device.matrix(tokens, outputs, "f32", "gradient");
  const low = device.matrix(tokens, rank, "f32", "x·Aᵀ");
  const out = device.matrix(outputs, rank, "f32", "dB");
  await fillNormal(device, gradient, LOW_A, GRADIENT_SIZE);
  await fillNormal(device, low, LOW_B, 1);
  const codes = {
    codes: device.matrix(tokens, outputs, "e5m2", "gradient codes"),
    scales: device.vector(tokens, "f32", "gradient scales"),
    columnScales: uploaded(device, new Float32Array(gradient.pitch).fill(1000)),
  };
  const scaled = way.kernel === "tensor" && !!way.scaled;
  const f16Gradient = device.matrix(scaled ? tokens : 0, outputs, "f16", "scaled gradient");
  using made = new Program(device);
  quantize(made, { input: gradient, ...codes, granularity: "row" });
  if (scaled) {
    quantize(made, { input: gradient, ...codes, codes: f16Gradient, granularity: "given" });
  }
  (await made.prepare()).run();
  const a = scaled ? f16Gradient : gradient;
  const product = { a: columnsOf(a), b: columnsOf(low), out };
  const variant = way.kernel === "gemm" ? "" : ` ${JSON.stringify(way.variant)}`;
  return {
    name: `dB ${outputs}×${rank} ${way.kernel}${variant} of ${a.type}`,
    flops: 2 * outputs * rank * tokens,
    bytes: ELEMENT_BYTES[a.type] * tokens * outputs + 4 * rank * (tokens + outputs),
    tolerance: way.kernel === "tensor" ? 5e-4 : 1e-5,
    record(program) {
      if (way.kernel === "gemm") gemm(program, { layout: "tn", ...product });
      else if (way.kernel === "low-rank") lowRankGradient(program, { ...product, ...way });
      else {
        const range = scaled
          ? scaleOfF16Gradient(program, codes)
          : recordGradientScale(program, codes);
        lowRankGradientTensor(program, product, range, way.variant);
      }
    },
    async check() {
      const lowValues = normalElements(LOW_B, 1, 0, tokens * rank);
      let worst = 0;
      for (const row of [0, outputs >> 1, outputs - 1]) {
        const want = new Float64Array(rank);
        for (let t = 0; t < tokens; t++) {
          const [g] = normalElements(LOW_A, GRADIENT_SIZE, t * outputs + row, 1);
          for (let j = 0; j < rank; j++) want[j] += g * lowValues[t * rank + j];
        }
        const got = new Float32Array(await device.read(rowsOf(out, row, 1))).subarray(0, rank);
        worst = Math.max(worst, relativeError(got, want));
      }
      return worst;
    },
    free() {
      device.free(gradient, f16Gradient, low, out, codes.codes, codes.scales, codes.columnScales);
    },
  };
}

function uploaded(device: Device, values: Float32Array<ArrayBuffer>): Vector {
  const vector = device.vector(values.length, "f32", "factors");
  device.write(vector, values);
  return vector;
}
