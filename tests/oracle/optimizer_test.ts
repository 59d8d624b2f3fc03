import { assertAlmostEquals, assertEquals } from "@std/assert";
import { AdamW, clipGradNorm } from "./optimizer.ts";

Deno.test("AdamW takes the steps PyTorch documents, decay decoupled and applied first", () => {
  const optimizer = new AdamW(1);
  const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.5 };
  const p = Float64Array.of(2);
  optimizer.update(p, Float64Array.of(3), options);
  // First step: the corrected moments are g and g², so the step is the learning rate.
  const first = 2 * (1 - 0.1 * 0.5) - 0.1 * 3 / (3 + 1e-8);
  assertAlmostEquals(p[0], first, 1e-15);

  optimizer.update(p, Float64Array.of(-1), options);
  const mean = (0.9 * 0.1 * 3 + 0.1 * -1) / (1 - 0.9 ** 2);
  const square = (0.99 * 0.01 * 9 + 0.01 * 1) / (1 - 0.99 ** 2);
  assertAlmostEquals(p[0], first * 0.95 - 0.1 * mean / (Math.sqrt(square) + 1e-8), 1e-15);
  assertEquals(optimizer.step, 2);
});

Deno.test("clipGradNorm scales all arrays by one coefficient, and only down", () => {
  const gradients = [Float64Array.of(3, 0), Float64Array.of(4)];
  assertEquals(clipGradNorm(gradients, 10), 5);
  assertEquals(gradients, [Float64Array.of(3, 0), Float64Array.of(4)]);
  assertEquals(clipGradNorm(gradients, 1), 5);
  assertAlmostEquals(gradients[0][0], 3 / (5 + 1e-6), 1e-15);
  assertAlmostEquals(gradients[1][0], 4 / (5 + 1e-6), 1e-15);
});
