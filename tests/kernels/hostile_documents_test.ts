/**
 * Bounds of documents that fit no stream: attention and delta nets form no index out of range from them. What the tests of
 * hostile indices say holds here too.
 */

import { hostile, matrixOf, u32s } from "../support/hostile.ts";
import { columnsOf, type Vector } from "../../src/gpu/buffers.ts";
import { attentionBackward, attentionForward } from "../../src/kernels/attention/attention.ts";
import { attentionHalfBackward, attentionHalfForward } from "../../src/kernels/attention/half.ts";
import { uploadRopeFrequencies } from "../../src/kernels/attention/rope_angles.ts";
import { deltaConv, deltaConvBackward } from "../../src/kernels/delta_net/conv.ts";
import { deltaRule, deltaRuleBackward } from "../../src/kernels/delta_net/rule.ts";
import { channelsOf } from "../../src/kernels/delta_net/shapes.ts";
import { mergedOf } from "../support/delta_net_cases.ts";
import { device } from "../support/device.ts";
import { filled, runOnce, uploadMatrix, uploadVector } from "../support/gpu.ts";
import { randomValues } from "../support/random.ts";
import { slowTest } from "../support/slow.ts";

/** Bounds of documents that fit no stream: for every pair of hostile values, a few tokens have it. */
function hostileDocuments(tokens: number): Vector {
  const values = hostile(tokens);
  const bounds = Array.from({ length: tokens }, (_, t) => [
    values[t % values.length],
    values[Math.floor(t / values.length + 5 * t) % values.length],
  ]).flat();
  return u32s(bounds);
}

/** Runs attention of f32 or f16 and its gradients over documents that do not fit. */
async function attend(
  type: "f32" | "f16",
  forward: typeof attentionForward,
  backward: typeof attentionBackward,
): Promise<void> {
  const [tokens, headDim, heads] = [150, 16, 2];
  const wide = heads * headDim;
  const documents = hostileDocuments(tokens);
  const positions = u32s(Array.from({ length: tokens }, (_, t) => hostile(tokens)[t % 14]));
  const frequencies = uploadRopeFrequencies(device, new Float32Array(headDim / 2).fill(0.5));
  const values = randomValues(tokens * 3 * wide, 6);
  const { matrix: qkv } = uploadMatrix(device, values, tokens, 3 * wide, type);
  const [q, k, v] = [0, 1, 2].map((i) => columnsOf(qkv, i * wide, wide));
  const output = device.matrix(tokens, wide, type, "output");
  const logSumExp = filled(device, tokens, heads, 0);
  const gradients = filled(device, tokens, 3 * wide, 0);
  const [dQ, dK, dV] = [0, 1, 2].map((i) => columnsOf(gradients, i * wide, wide));
  const common = { q, k, v, documents, output, logSumExp, heads, kvHeads: heads, headDim };
  const dOutput = matrixOf(tokens, wide, 7);
  const rotation = { positions, frequencies };
  await runOnce(device, (program) => {
    forward(program, common);
    backward(program, { ...common, dOutput, rotation, dQ, dK, dV });
  });
}

// Drivers of CPUs compile these with their checks for half a minute.
slowTest(
  "document bounds: attention and its gradients stay inside of their operands",
  () => attend("f32", attentionForward, attentionBackward),
);

slowTest("document bounds: attention in f16 stays inside of its operands", async () => {
  if (device.hasF16) await attend("f16", attentionHalfForward, attentionHalfBackward);
});

Deno.test("document bounds: delta nets and their gradients stay inside of their operands", async () => {
  const heads = { keyHeads: 1, keyDim: 8, valueHeads: 2, valueDim: 12 };
  const width = 4;
  const { tokens, columns, matrix, dMerged } = mergedOf({ heads, width, lengths: [75] });
  const documents = hostileDocuments(tokens);
  const channels = channelsOf(heads);
  const weight = uploadVector(device, randomValues(channels * width, 2)).vector;
  const dWeight = device.vector(channels * width, "f32", "gradient");
  const operands = { heads, width, merged: matrix, columns, weight };
  const qkv = matrixOf(tokens, channels, 4);
  const gates = matrixOf(tokens, 2 * heads.valueHeads, 5);
  const values = heads.valueHeads * heads.valueDim;
  const [output, dOutput] = [8, 9].map((seed) => matrixOf(tokens, values, seed));
  const dQkv = device.matrix(tokens, channels, "f32", "gradient");
  const dGates = device.matrix(tokens, 2 * heads.valueHeads, "f32", "gradient of gates");
  await runOnce(device, (program) => {
    deltaConv(program, {
      ...operands,
      before: { documents },
      output: matrixOf(tokens, channels, 6),
    });
    deltaConvBackward(program, {
      ...operands,
      documents,
      d: matrixOf(tokens, channels, 7),
      dMerged,
      dWeight,
    });
    deltaRule(program, { heads, qkv, gates, from: { documents }, output });
    deltaRuleBackward(program, { heads, qkv, gates, documents, dOutput, dQkv, dGates });
  });
});
