/**
 * LoRA's A from the gradient of the untrained model, in f32: what FALQON's gradient initialisation
 * does, for the same recipe without 8 bits, and with more data or a better factorisation.
 *
 * @module
 */

import type { Model } from "../../src/inference/model.ts";
import type { Batch } from "../../src/data/types.ts";
import { internalDevice } from "../../src/gpu/public_device.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Matrix } from "../../src/gpu/buffers.ts";
import type { PeftAdapter } from "../../src/io/peft.ts";
import { outFeaturesOf } from "../../src/layers/row_order.ts";
import { full } from "../../src/methods/full.ts";
import { CROSS_ENTROPY } from "../../src/model/loss.ts";
import { TrainingStep } from "../../src/model/training_step.ts";
import {
  gramMatrices,
  leadingDirections,
  randomMatrix,
  sketchRows,
} from "../../src/methods/falqon/adapter_init.ts";
import { orthonormal, Scope } from "../../src/methods/falqon/temporary_matrices.ts";
import { Random } from "../../src/numerics/random.ts";

/** Options of {@linkcode gradientAdapter}. */
export interface GradientStart {
  rank: number;
  alpha: number;
  seed: number;
  /** Passes over a gradient besides the first; three find its singular vectors. */
  passes: number;
}

/**
 * The leading right singular vectors of every weight's gradient as A, and a zero B. The model's
 * network on the GPU is replaced.
 *
 * @param batches The gradient is the sum over their targets.
 */
export async function gradientAdapter(
  model: Model,
  batches: readonly Batch[],
  { rank, alpha, seed, passes }: GradientStart,
): Promise<PeftAdapter> {
  const random = new Random(seed);
  const uniform = () => random.uniform();
  const network = await model.adapt(full(), { random: uniform, gradients: true });
  const rows = batches[0].rows * batches[0].sequenceLength;
  const options = { loss: CROSS_ENTROPY, optimizer: null, checkpointing: false };
  using step = await TrainingStep.create(network, rows, options);
  for (const [i, batch] of batches.entries()) {
    await step.begin({ step: i + 1, learningRate: 0, targetCount: batch.targetCount });
    step.accumulate(batch);
  }
  const device = internalDevice(model.device);
  const tensors: PeftAdapter["tensors"] = new Map();
  for (const linear of network.linears()) {
    const { inFeatures, parts } = linear.spec;
    for (const [index, part] of parts.entries()) {
      const outFeatures = outFeaturesOf(part);
      const values = await linear.readGradient!(index);
      const A = await directions(device, values, outFeatures, inFeatures, rank, passes, uniform);
      const B = new Float32Array(outFeatures * rank);
      tensors.set(part.module, { A, B, inFeatures, outFeatures });
    }
  }
  const parts = network.linears().flatMap(({ spec }) => spec.parts);
  const targetModules = [...new Set(parts.map(({ kind }) => kind))];
  return { config: { rank, alpha, targetModules, useRslora: false }, tensors };
}

/** The leading right singular vectors of a matrix [rows, cols], as rows of norm 1/√3. */
async function directions(
  device: Device,
  values: Float32Array<ArrayBuffer>,
  rows: number,
  cols: number,
  rank: number,
  passes: number,
  random: () => number,
): Promise<Float32Array<ArrayBuffer>> {
  const scope = new Scope(device);
  const gradient = scope.matrix(rows, cols);
  const width = sketchRows(rank, rows, cols);
  let left: Matrix = await randomMatrix(device, width, rows, 1, random);
  let right: Matrix | null = null;
  let found: Matrix | null = null;
  try {
    device.writeMatrix(gradient, values);
    for (let pass = 0;; pass++) {
      right = scope.matrix(width, cols);
      await scope.multiply({ layout: "nn", a: left, b: gradient, out: right });
      if (pass === passes) break;
      const basis = (await orthonormal(scope, right))!;
      const next = scope.matrix(width, rows);
      await scope.multiply({ layout: "nt", a: basis, b: gradient, out: next });
      device.free(left);
      scope.free(basis, right);
      left = scope.keep((await orthonormal(scope, next))!);
      scope.free(next);
    }
    const [gram] = await gramMatrices(device, [right]);
    found = (await leadingDirections(device, right, gram, rank))!;
    return await device.readMatrix(found);
  } finally {
    device.free(left, found);
    scope.close();
  }
}
