/**
 * The memory-bound kernels of a step, to be measured: rotary embedding, cross-entropy, embedding,
 * optimizer.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix, rowsOf, type Vector } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { adamW } from "../../src/kernels/optimizer/adamw.ts";
import { crossEntropy } from "../../src/kernels/rows/cross_entropy.ts";
import { embed } from "../../src/kernels/rows/embedding.ts";
import { gradNorm } from "../../src/kernels/optimizer/grad_norm.ts";
import { rope } from "../../src/kernels/attention/rope.ts";
import { uploadRopeFrequencies } from "../../src/kernels/attention/rope_angles.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { relativeError } from "../../tests/oracle/compare.ts";
import { crossEntropy as crossEntropyOnCpu } from "../../tests/oracle/loss.ts";
import { AdamW } from "../../tests/oracle/optimizer.ts";
import { applyRope } from "../../tests/oracle/rope.ts";
import { readRow } from "./row_checks.ts";
import { type BenchCase, fillNormal, normalElements, type StepSizes } from "./update_cases.ts";

const BETAS = { beta1: 0.9, beta2: 0.999 };

/**
 * Queries and keys of a step, rotated in place. Errors are relative, of sampled tokens, against
 * f64.
 */
export async function ropeCase(
  device: Device,
  { tokens, hidden, heads }: StepSizes,
): Promise<BenchCase> {
  const qkv = device.matrix(tokens, 3 * hidden, "f32", "qkv");
  await fillNormal(device, qkv, 1, 1);
  const headDim = hidden / heads;
  const positions = device.vector(tokens, "u32", "positions");
  device.write(positions, Uint32Array.from({ length: tokens }, (_, t) => t % 512));
  const inverses = Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 10_000 ** (-2 * i / headDim),
  );
  const frequencies = uploadRopeFrequencies(device, inverses);
  return {
    name: "rope",
    flops: 0,
    bytes: 2 * 4 * tokens * 2 * hidden,
    tolerance: 1e-6,
    record: (program) =>
      rope(program, { qkv, positions, frequencies, heads, kvHeads: heads, headDim }),
    async check() {
      let worst = 0;
      for (const token of [0, tokens >> 1, tokens - 1]) {
        const before = Float64Array.from(normalElements(1, 1, token * 3 * hidden, 2 * hidden));
        const want = applyRope(before, [token % 512], inverses);
        const got = (await readRow(device, qkv, token)).subarray(0, 2 * hidden);
        worst = Math.max(worst, relativeError(got, want));
      }
      return worst;
    },
    free: () => device.free(qkv, positions, frequencies),
  };
}

/**
 * A chunk of logits, with the gradient in their place or as f16 codes. Errors as for rope; of codes
 * their rounding.
 */
export async function crossEntropyCase(
  device: Device,
  { vocab }: StepSizes,
  rows: number,
  codesType: "f16" | null,
): Promise<BenchCase> {
  const logits = device.matrix(rows, vocab, "f32", "logits");
  await fillNormal(device, logits, 1, 3);
  const labels = Int32Array.from({ length: rows }, (_, r) => r % 5 === 1 ? -100 : r * 7919 % vocab);
  const targets = device.vector(rows, "i32", "targets");
  device.write(targets, labels);
  const rowLoss = device.vector(rows, "f32", "losses");
  const state = new StepState(device, BETAS);
  state.begin({ step: 1, learningRate: 0, targetCount: rows });
  const quantized = codesType
    ? {
      codes: device.matrix(rows, vocab, codesType, "gradient codes"),
      scales: device.vector(rows, "f32", "scales"),
    }
    : undefined;
  return {
    name: `cross-entropy ${rows}×${vocab}${codesType ? ` → ${codesType}` : ""}`,
    flops: 0,
    bytes: rows * vocab * (4 + ELEMENT_BYTES[codesType ?? "f32"]),
    tolerance: codesType ? 5e-4 : 1e-5,
    record: (program) => crossEntropy(program, { logits, targets, rowLoss, state, quantized }),
    async check() {
      const losses = new Float32Array(await device.read(rowLoss));
      let worst = 0;
      for (const row of [0, 1, rows >> 1, rows - 1]) {
        const exact = Float64Array.from(normalElements(1, 3, row * vocab, vocab));
        const { lossSum, dLogits } = crossEntropyOnCpu(exact, [labels[row]], 1 / rows);
        const got = quantized
          ? await decodedRow(device, quantized, row)
          : await readRow(device, logits, row);
        const lossError = Math.abs(losses[row] - lossSum) / Math.max(lossSum, 1);
        worst = Math.max(worst, relativeError(got, dLogits), lossError);
      }
      return worst;
    },
    free() {
      device.free(logits, targets, rowLoss, quantized?.codes, quantized?.scales);
      state[Symbol.dispose]();
    },
  };
}

async function decodedRow(
  device: Device,
  { codes, scales }: { codes: Matrix; scales: Vector },
  row: number,
): Promise<Float64Array> {
  const scale = new Float32Array(await device.read(scales))[row];
  const values = new Float16Array(await device.read(rowsOf(codes, row, 1)));
  return Float64Array.from(values.subarray(0, codes.cols), (code) => code / scale);
}

/**
 * The embedding of a step, from an f16 table. The error is the share of elements that differ: 0.
 */
export async function embeddingCase(
  device: Device,
  { tokens, hidden, vocab }: StepSizes,
): Promise<BenchCase> {
  const table = device.matrix(vocab, hidden, "f16", "embedding table");
  await fillNormal(device, table, 1, 1);
  const ids = device.vector(tokens, "u32", "ids");
  const idOf = (token: number) => token * 7919 % vocab;
  device.write(ids, Uint32Array.from({ length: tokens }, (_, t) => idOf(t)));
  const output = device.matrix(tokens, hidden, "f32", "embedded tokens");
  return {
    name: `embedding ${tokens}×${hidden}, f16`,
    flops: 0,
    bytes: tokens * hidden * 6,
    tolerance: 0,
    record: (program) => embed(program, { ids, table, output }),
    async check() {
      let wrong = 0;
      for (const token of [0, tokens >> 1, tokens - 1]) {
        const want = new Float16Array(await device.read(rowsOf(table, idOf(token), 1)));
        const got = await readRow(device, output, token);
        wrong += got.filter((value, i) => value !== want[i]).length;
      }
      return wrong / (3 * hidden);
    },
    free: () => device.free(table, ids, output),
  };
}

/**
 * Norm, clipping and AdamW on the B of all linears. Errors: of the norm, and of the change of
 * sampled parameters.
 */
export async function optimizerCase(
  device: Device,
  { hidden, ffn, rank, layers }: StepSizes,
): Promise<BenchCase> {
  const length = layers * rank * (5 * hidden + 2 * ffn);
  const vector = (label: string): Matrix => device.matrix(1, length, "f32", label);
  const [values, gradients] = [vector("parameters"), vector("gradients")];
  const [firstMoment, secondMoment] = [vector("first moment"), vector("second moment")];
  await fillNormal(device, values, 1, 0.02);
  await fillNormal(device, gradients, 2, 0.5);
  const asVector = (matrix: Matrix): Vector => ({ ...matrix, length });
  const state = new StepState(device, BETAS);
  state.begin({ step: 1, learningRate: 1e-3, targetCount: 1 });
  const settings = { eps: 1e-8, weightDecay: 0.01 };
  const maxNorm = 1;
  return {
    name: `norm, clip, AdamW of ${(length / 1e6).toFixed(1)} M`,
    flops: 0,
    // The norm reads gradients once; AdamW reads four vectors and writes three.
    bytes: 4 * length * 8,
    tolerance: 1e-4,
    record(program) {
      gradNorm(program, { gradients: [asVector(gradients)], maxNorm, state });
      adamW(program, {
        values: asVector(values),
        gradients: asVector(gradients),
        firstMoment: asVector(firstMoment),
        secondMoment: asVector(secondMoment),
        ...settings,
        state,
      });
    },
    async check() {
      const { 1: norm, 2: clip } = new Float32Array(await device.read(state.results));
      let squares = 0;
      const chunk = 1 << 20;
      for (let at = 0; at < length; at += chunk) {
        const some = normalElements(2, 0.5, at, Math.min(chunk, length - at));
        squares += some.reduce((sum, g) => sum + g * g, 0);
      }
      const count = Math.min(4096, length);
      const oracle = new AdamW(count);
      const before = Float64Array.from(normalElements(1, 0.02, 0, count));
      const want = before.slice();
      const sampled = Float64Array.from(normalElements(2, 0.5, 0, count), (g) => g * clip);
      oracle.update(want, sampled, { learningRate: 1e-3, ...BETAS, ...settings });
      const read = await device.read({ ...values, size: 4 * count });
      const change = Array.from(new Float32Array(read), (v, i) => v - before[i]);
      return Math.max(
        Math.abs(norm / Math.sqrt(squares) - 1),
        relativeError(change, want.map((v, i) => v - before[i])),
      );
    },
    free() {
      device.free(values, gradients, firstMoment, secondMoment);
      state[Symbol.dispose]();
    },
  };
}
