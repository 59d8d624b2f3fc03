/**
 * What any plan of a model must be, whatever its config said: sizes that can be counted, and factors that f32 holds.
 *
 * @module
 */

import { MAX_HEAD_DIM } from "../../../src/kernels/attention/shapes.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import type { AttentionPlan, ModelPlan, NormPlan } from "../../../src/model/plan.ts";
import { planTensorShapes } from "../../../src/model/plan_tensors.ts";
import { inverseFrequencies } from "../../oracle/rope.ts";
import { Nonsense } from "../frame/target.ts";

/** The smallest normal number of f32: GPUs may take smaller ones for 0. */
const SMALLEST = 2 ** -126;

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Nonsense(what);
}

function expectFactor(value: number, what: string): void {
  const size = Math.abs(Math.fround(value));
  expect(size >= SMALLEST && size < Infinity, `${what} is ${value}`);
}

function expectSize(value: number, what: string): void {
  expect(Number.isSafeInteger(value) && value >= 1, `${what} is ${value}`);
}

/**
 * Holds a config to what it must be.
 *
 * @throws {Nonsense} naming what it is not.
 */
export function expectSensible(config: ModelConfig): void {
  const { plan } = config;
  for (const name of ["vocabSize", "hiddenSize", "intermediateSize", "numLayers"] as const) {
    expectSize(config[name], name);
  }
  expect(config.numLayers === plan.layers.length && config.numLayers <= 1000, "numLayers");
  expectSize(config.maxPositionEmbeddings, "the context");
  expect(config.maxPositionEmbeddings < 2 ** 31, "positions beyond 32 bits");
  const ids = [config.bosTokenId, config.padTokenId, ...config.eosTokenIds];
  for (const id of ids) {
    const isId = id === null || (Number.isInteger(id) && id >= 0 && id < config.vocabSize);
    expect(isId, `a token id ${id}`);
  }
  expectCountable(plan);
  expectPlan(plan);
}

/** Bytes of weights, gradients and moments in f32 are exact. */
function expectCountable(plan: ModelPlan): void {
  let bytes = 0;
  for (const [name, shape] of planTensorShapes(plan)) {
    for (const size of shape) expectSize(size, `a size of ${name}`);
    bytes += 16 * shape.reduce((a, b) => a * b);
  }
  expect(bytes < 2 ** 53, `${bytes} bytes`);
}

function expectPlan({ embedding, head, layers, finalNorm, tokenInputs }: ModelPlan): void {
  expectFactor(embedding.scale, "the factor of the embedding");
  expectFactor(head.scale, "the factor of the logits");
  if (head.softCap !== null) expectFactor(head.softCap, "the cap of the logits");
  expectNorm(finalNorm);
  if (tokenInputs) expectFactor(tokenInputs.projection.scale, "the factor of a projection");
  for (const [i, { attention, deltaNet, mlp, norms, residualScale, tensors }] of layers.entries()) {
    expect((attention === null) !== (deltaNet === null), "one mixer");
    expectSize(mlp.width, "the width of an MLP");
    expect(["silu", "geluTanh"].includes(mlp.activation), `an activation ${mlp.activation}`);
    expectFactor(residualScale, "the factor of a branch");
    for (const norm of Object.values(norms)) if (norm) expectNorm(norm);
    for (const { rows, firstRow } of Object.values(tensors)) {
      expectSize(rows, "rows of a tensor");
      expect(firstRow >= 0, "a first row");
    }
    if (attention) expectAttention(attention, i);
    if (!deltaNet) continue;
    const { keyHeads, keyDim, valueHeads, valueDim, convWidth } = deltaNet;
    for (const size of [keyHeads, keyDim, valueHeads, valueDim, convWidth]) {
      expectSize(size, "a size of a delta net");
    }
    expect(valueHeads % keyHeads === 0, "value heads that share keys");
  }
}

function expectNorm({ eps }: NormPlan): void {
  expectFactor(eps, "eps");
  expect(eps <= 1, `eps ${eps}`);
}

function expectAttention(attention: AttentionPlan, layer: number): void {
  const { heads, kvHeads, headDim, scale, window, softCap, rope, qkNorm, sharedWith } = attention;
  for (const size of [heads, kvHeads]) expectSize(size, "a number of heads");
  expect(heads % kvHeads === 0, `${heads} heads share ${kvHeads}`);
  expect(headDim % 2 === 0 && headDim >= 8 && headDim <= MAX_HEAD_DIM, `heads of ${headDim}`);
  expectFactor(scale * (rope?.factor ?? 1) ** 2, "the factor of scores");
  if (window !== null) {
    expectSize(window, "a window");
    expect(window < 2 ** 31, `a window of ${window}`);
  }
  if (softCap !== null) expectFactor(softCap, "the cap of scores");
  if (qkNorm) expectNorm({ kind: "rms", weightOffset: 0, eps: qkNorm.eps, tensor: "" });
  if (sharedWith !== undefined) expect(sharedWith >= 0 && sharedWith < layer, "keys of a layer");
  if (!rope) return;
  expect(rope.rotatedDims <= headDim && rope.rotatedDims % 2 === 0, "turned components");
  if (rope.queryScale) expectFactor(rope.queryScale.beta, "beta");
  for (const long of [false, true]) {
    const frequencies = inverseFrequencies(rope, headDim, long);
    const turned = rope.scaling?.type === "proportional"
      ? rope.scaling.turnedPlanes
      : rope.rotatedDims / 2;
    for (const frequency of frequencies.slice(0, turned)) expectFactor(frequency, "a frequency");
  }
}
