import { doraLinear } from "./dora.ts";
import { dot } from "./vector.ts";
import { assertGradient } from "../support/gradient.ts";
import { randomNormal } from "../support/random.ts";

Deno.test("a DoRA layer's gradients are right by differences, its norms being constants", () => {
  const [rows, inputs, outputs, rank] = [4, 5, 3, 2];
  const x = randomNormal(rows * inputs, 1);
  const weight = randomNormal(outputs * inputs, 2);
  const adapter = {
    a: randomNormal(rank * inputs, 3),
    b: randomNormal(outputs * rank, 4),
    magnitude: randomNormal(outputs, 6),
    scaling: 1.5,
  };
  const mask = Float64Array.from(x, (_, i) => i % 3 === 0 ? 0 : 1.5);
  const norms = Float64Array.of(1.2, 0.7, 2.5);
  const dy = randomNormal(rows * outputs, 5);
  const run = () => doraLinear(x, weight, adapter, rows, mask, norms);
  const { dA, dB, dMagnitude, dx } = run().backward(dy);
  const loss = () => dot(run().y, 0, dy, 0, dy.length);
  assertGradient(loss, x, dx, "dx");
  assertGradient(loss, adapter.a, dA, "dA");
  assertGradient(loss, adapter.b, dB, "dB");
  assertGradient(loss, adapter.magnitude, dMagnitude, "dm");
});
