import { assertAlmostEquals, assertEquals } from "@std/assert";
import { attention, attentionBackward, type AttentionShape } from "./attention.ts";
import { embed, embedBackward } from "./embedding.ts";
import { crossEntropy, IGNORED_LABEL, shiftLabels } from "./loss.ts";
import { matmulNN, matmulNT, matmulTN } from "./matmul.ts";
import { rmsNorm, rmsNormBackward } from "./norm.ts";
import { applyRope, applyRopeBackward } from "./rope.ts";
import { swiglu, swigluBackward } from "./swiglu.ts";
import { dot } from "./vector.ts";
import { assertGradient } from "../support/gradient.ts";
import { randomNormal } from "../support/random.ts";

/** A scalar that depends on every output: its gradient in `y` is `weights`. */
function weighted(y: Float64Array, weights: Float64Array): number {
  return dot(y, 0, weights, 0, y.length);
}

Deno.test("the three matrix products agree with the definition", () => {
  const a = Float64Array.of(1, 2, 3, 4, 5, 6); // [2, 3]
  const b = Float64Array.of(1, 0, -1, 2, 1, 0, 3, 5, 7, 1, 1, 1); // [4, 3]
  const bT = Float64Array.of(1, 2, 3, 1, 0, 1, 5, 1, -1, 0, 7, 1); // [3, 4]
  const aT = Float64Array.of(1, 4, 2, 5, 3, 6); // [3, 2]
  const expected = Float64Array.of(-2, 4, 34, 6, -2, 13, 79, 15);
  assertEquals(matmulNT(a, b, 2, 4, 3), expected);
  assertEquals(matmulNN(a, bT, 2, 4, 3), expected);
  assertEquals(matmulTN(aT, bT, 2, 4, 3), expected);
});

Deno.test("rmsNorm scales rows to unit mean square, and its gradients are right", () => {
  const x = randomNormal(3 * 5, 1);
  const weight = randomNormal(5, 2);
  const eps = 1e-2;
  const y = rmsNorm(Float64Array.of(3, 4), Float64Array.of(1, 2), 0);
  assertAlmostEquals(y[0], 3 / Math.sqrt(12.5));
  assertAlmostEquals(y[1], 8 / Math.sqrt(12.5));

  const dy = randomNormal(15, 3);
  const loss = () => weighted(rmsNorm(x, weight, eps), dy);
  const { dx, dWeight } = rmsNormBackward(dy, x, weight, eps);
  assertGradient(loss, x, dx, "dx");
  assertGradient(loss, weight, dWeight, "dWeight");
});

Deno.test("applyRope turns planes (i, i + half) of every head by position · frequency", () => {
  const x = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8); // one token, two heads of 4
  const y = applyRope(x, [3], [0.5, 0.1]);
  for (const head of [0, 4]) {
    for (const [i, angle] of [[0, 1.5], [1, 0.3]]) {
      const [re, im] = [x[head + i], x[head + i + 2]];
      assertAlmostEquals(y[head + i], re * Math.cos(angle) - im * Math.sin(angle));
      assertAlmostEquals(y[head + i + 2], im * Math.cos(angle) + re * Math.sin(angle));
    }
  }
  const back = applyRopeBackward(y, [3], [0.5, 0.1]);
  back.forEach((value, i) => assertAlmostEquals(value, x[i], 1e-14));
});

const shape: AttentionShape = {
  numHeads: 6,
  numKeyValueHeads: 2,
  headDim: 3,
  documentStart: [0, 0, 0, 3, 3, 5, 5],
};

Deno.test("attention equals a softmax over the visible keys, written out", () => {
  const q = randomNormal(7 * 18, 1);
  const k = randomNormal(7 * 6, 2);
  const v = randomNormal(7 * 6, 3);
  const { out, logSumExp } = attention(q, k, v, shape);
  for (let t = 0; t < 7; t++) {
    for (let head = 0; head < 6; head++) {
      const kvHead = head < 3 ? 0 : 1;
      const visible = [0, 1, 2, 3, 4, 5, 6].filter((j) => j <= t && j >= shape.documentStart[t]);
      const weights = visible.map((j) =>
        Math.exp(dot(q, t * 18 + head * 3, k, j * 6 + kvHead * 3, 3) / Math.sqrt(3))
      );
      const total = weights.reduce((a, b) => a + b);
      assertAlmostEquals(logSumExp[t * 6 + head], Math.log(total), 1e-12);
      for (let d = 0; d < 3; d++) {
        const mean = visible.reduce((s, j, n) => s + weights[n] * v[j * 6 + kvHead * 3 + d], 0);
        assertAlmostEquals(out[t * 18 + head * 3 + d], mean / total, 1e-12);
      }
    }
  }
});

Deno.test("attention stays finite with scores far beyond exp's range", () => {
  const one = { numHeads: 1, numKeyValueHeads: 1, headDim: 1, documentStart: [0, 0] };
  const { out } = attention(
    Float64Array.of(1, 1),
    Float64Array.of(3000, 2000),
    Float64Array.of(7, 9),
    one,
  );
  assertEquals([...out], [7, 7]);
});

Deno.test("attention's gradients are right across documents and shared key heads", () => {
  const q = randomNormal(7 * 18, 4);
  const k = randomNormal(7 * 6, 5);
  const v = randomNormal(7 * 6, 6);
  const dOut = randomNormal(7 * 18, 7);
  const loss = () => weighted(attention(q, k, v, shape).out, dOut);
  const { dq, dk, dv } = attentionBackward(dOut, q, k, v, attention(q, k, v, shape), shape);
  assertGradient(loss, q, dq, "dq");
  assertGradient(loss, k, dk, "dk");
  assertGradient(loss, v, dv, "dv");
});

Deno.test("attention's gradients go back through the cap of scaled scores", () => {
  const capped = { ...shape, scale: 1.3, softCap: 0.8 };
  const q = randomNormal(7 * 18, 4);
  const k = randomNormal(7 * 6, 5);
  const v = randomNormal(7 * 6, 6);
  const dOut = randomNormal(7 * 18, 7);
  const loss = () => weighted(attention(q, k, v, capped).out, dOut);
  const output = attention(q, k, v, capped);
  const { dq, dk, dv } = attentionBackward(dOut, q, k, v, output, capped);
  assertGradient(loss, q, dq, "dq");
  assertGradient(loss, k, dk, "dk");
  assertGradient(loss, v, dv, "dv");
});

Deno.test("attention's gradients go back through the rotation of queries and keys", () => {
  const rotation = { positions: [0, 1, 2, 0, 1, 5, 900], inverseFrequencies: [0.7] };
  const heads = { ...shape, headDim: 2 };
  const turned = (x: Float64Array) => applyRope(x, rotation.positions, rotation.inverseFrequencies);
  const q = randomNormal(7 * 12, 4);
  const k = randomNormal(7 * 4, 5);
  const v = randomNormal(7 * 4, 6);
  const dOut = randomNormal(7 * 12, 7);
  const output = () => attention(turned(q), turned(k), v, heads);
  const loss = () => weighted(output().out, dOut);
  const [q1, k1] = [turned(q), turned(k)];
  const { dq, dk, dv } = attentionBackward(dOut, q1, k1, v, output(), heads, rotation);
  assertGradient(loss, q, dq, "dq");
  assertGradient(loss, k, dk, "dk");
  assertGradient(loss, v, dv, "dv");
});

Deno.test("swiglu's gradients are right", () => {
  const gate = randomNormal(9, 1);
  const up = randomNormal(9, 2);
  const dy = randomNormal(9, 3);
  assertAlmostEquals(swiglu(Float64Array.of(1), Float64Array.of(2))[0], 2 / (1 + Math.exp(-1)));
  // Of 1 in the form with tanh; the exact one is 0.841345.
  const gelu = swiglu(Float64Array.of(1), Float64Array.of(1), "geluTanh")[0];
  assertAlmostEquals(gelu, 0.841192, 1e-6);
  for (const activation of ["silu", "geluTanh"] as const) {
    const loss = () => weighted(swiglu(gate, up, activation), dy);
    const { dGate, dUp } = swigluBackward(dy, gate, up, activation);
    assertGradient(loss, gate, dGate, `dGate of ${activation}`);
    assertGradient(loss, up, dUp, `dUp of ${activation}`);
  }
});

Deno.test("shiftLabels gives the next token's label and crosses no document", () => {
  assertEquals(
    [...shiftLabels([10, 11, 12, 20, 21, -100], [0, 0, 0, 3, 3, 3])],
    [11, 12, IGNORED_LABEL, 21, IGNORED_LABEL, IGNORED_LABEL],
  );
});

Deno.test("crossEntropy ignores −100, scales its gradient and stays finite", () => {
  const logits = randomNormal(4 * 5, 1);
  const targets = [2, IGNORED_LABEL, 4, 0];
  const { lossSum, count, dLogits } = crossEntropy(logits, targets, 1 / 3);
  assertEquals(count, 3);
  let expected = 0;
  for (const t of [0, 2, 3]) {
    const row = [...logits.subarray(t * 5, t * 5 + 5)].map(Math.exp);
    expected -= Math.log(row[targets[t]] / row.reduce((a, b) => a + b));
  }
  assertAlmostEquals(lossSum, expected, 1e-12);
  assertEquals([...dLogits.subarray(5, 10)], [0, 0, 0, 0, 0]);
  assertGradient(() => crossEntropy(logits, targets, 1).lossSum / 3, logits, dLogits, "dLogits");
  assertEquals(crossEntropy(Float64Array.of(5000, 0), [1], 1).lossSum, 5000);
});

Deno.test("embed looks rows up and embedBackward adds repeated ids", () => {
  const table = Float64Array.of(1, 2, 3, 4, 5, 6);
  assertEquals([...embed(table, [2, 0, 2], 2)], [5, 6, 1, 2, 5, 6]);
  const dTable = new Float64Array(6);
  embedBackward(dTable, Float64Array.of(1, 2, 3, 4, 10, 20), [2, 0, 2], 2);
  assertEquals([...dTable], [3, 4, 0, 0, 11, 22]);
});
