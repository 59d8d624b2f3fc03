import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { adamW } from "../../../src/kernels/optimizer/adamw.ts";
import { gradNorm } from "../../../src/kernels/optimizer/grad_norm.ts";
import { recordMetrics } from "../../../src/kernels/optimizer/metrics.ts";
import { addSum } from "../../../src/kernels/rows/sum.ts";
import { LOSS_SUM_INDEX, METRICS_CAPACITY, StepState } from "../../../src/gpu/step_state.ts";
import { relativeError } from "../../oracle/compare.ts";
import { AdamW, clipGradNorm } from "../../oracle/optimizer.ts";
import { device } from "../../support/device.ts";
import { readVector, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const BETAS = { beta1: 0.9, beta2: 0.999 };
const EPS = 1e-8;

interface Settings {
  maxNorm: number;
  weightDecay: number;
  decayEnd?: number;
  changes?: boolean;
}

/** The end of a training step on a vector of `length` parameters. */
function optimizer(device: Device, length: number, { maxNorm, ...rest }: Settings) {
  const state = new StepState(device, BETAS);
  const values = uploadVector(device, randomValues(length, 1));
  const gradients = device.vector(length, "f32", "gradients");
  const firstMoment = device.vector(length, "f32", "first moment");
  const secondMoment = device.vector(length, "f32", "second moment");
  const program = new Program(device);
  gradNorm(program, { gradients: [gradients], maxNorm, state });
  adamW(program, {
    values: values.vector,
    gradients,
    firstMoment,
    secondMoment,
    eps: EPS,
    ...rest,
    state,
  });
  recordMetrics(program, state);
  return { state, values, gradients, firstMoment, secondMoment, program };
}

Deno.test("adamW with clipping and a decay boundary follows the oracle over several steps", async () => {
  for (const [length, decayEnd] of [[1, 1], [37, 18], [3000, 2049]]) {
    const weightDecay = 0.1;
    const maxNorm = 0.5;
    const gpu = optimizer(device, length, { maxNorm, weightDecay, decayEnd });
    using program = await gpu.program.prepare();
    const oracle = new AdamW(length);
    const parameters = gpu.values.exact.slice();
    const undecayed = new AdamW(length);
    const tail = gpu.values.exact.slice();
    const norms: number[] = [];
    for (let step = 1; step <= 6; step++) {
      // The third gradient is small, so that it is not clipped.
      const gradient = randomValues(length, 10 + step, step === 3 ? 1e-4 : 2);
      const learningRate = 0.01 * step;
      const exact = Float64Array.from(gradient);
      norms.push(clipGradNorm([exact], maxNorm));
      const options = { learningRate, ...BETAS, eps: EPS, weightDecay };
      oracle.update(parameters, exact, options);
      undecayed.update(tail, exact, { ...options, weightDecay: 0 });
      gpu.state.begin({ step, learningRate, targetCount: 7 });
      device.write(gpu.gradients, gradient);
      program.run();
    }
    const want = parameters.map((v, i) => i < decayEnd ? v : tail[i]);
    const checks: [string, Float32Array, Float64Array][] = [
      ["values", await readVector(device, gpu.values.vector), want],
      ["first moment", await readVector(device, gpu.firstMoment), oracle.firstMoment],
      ["second moment", await readVector(device, gpu.secondMoment), oracle.secondMoment],
    ];
    for (const [name, got, expected] of checks) {
      const error = relativeError(got, expected);
      assert(error < 1e-6, `${name} of ${length}: error ${error}`);
    }
    const metrics = await gpu.state.takeMetrics();
    assertEquals(
      metrics.map((m) => [m.step, m.targetCount, m.finite]),
      norms.map((_, i) => [i + 1, 7, true]),
    );
    metrics.forEach(({ gradNorm, clip, learningRate }, i) => {
      assertAlmostEquals(gradNorm / norms[i], 1, 1e-6);
      assertAlmostEquals(clip, Math.min(1, maxNorm / (norms[i] + 1e-6)), 1e-6);
      assertAlmostEquals(learningRate, 0.01 * (i + 1), 1e-8);
    });
  }
});

Deno.test("gradNorm of a long vector, without clipping", async () => {
  const length = 1_500_001; // more than the workgroups reach in one stride
  const gpu = optimizer(device, length, { maxNorm: 0, weightDecay: 0 });
  using program = await gpu.program.prepare();
  const gradient = randomValues(length, 2);
  device.write(gpu.gradients, gradient);
  gpu.state.begin({ step: 5, learningRate: 0, targetCount: 1 });
  program.run();
  const [metrics] = await gpu.state.takeMetrics();
  const want = clipGradNorm([Float64Array.from(gradient)], Infinity);
  assertAlmostEquals(metrics.gradNorm / want, 1, 1e-6);
  assertEquals(metrics.clip, 1);
  assertEquals(metrics.step, 5);
});

Deno.test("a gradient that is not finite leaves parameters and moments alone and is reported", async () => {
  const length = 21;
  const gpu = optimizer(device, length, { maxNorm: 1, weightDecay: 0.1 });
  using program = await gpu.program.prepare();
  const held = [gpu.values.vector, gpu.firstMoment, gpu.secondMoment];
  const read = () => Promise.all(held.map((vector) => readVector(device, vector)));
  let step = 1;
  const run = async (poison: number) => {
    const gradient = randomValues(length, 3);
    gradient[length - 1] = poison;
    device.write(gpu.gradients, gradient);
    gpu.state.begin({ step: step++, learningRate: 0.1, targetCount: 1 });
    program.run();
    const [metrics] = await gpu.state.takeMetrics();
    return metrics.finite;
  };
  assertEquals(await run(1), true);
  const good = await read();
  for (const poison of [NaN, Infinity, -Infinity, 1e30]) {
    assertEquals(await run(poison), false, `gradient with ${poison}`);
    assertEquals(await read(), good);
  }
  assertEquals(await run(1), true);
  const next = await read();
  next.forEach((values, i) => assert(relativeError(values, good[i]) > 0));
});

Deno.test("the gradient norm of several vectors is that of all their elements", async () => {
  for (const lengths of [[1, 1], [37, 3000, 5], [20000, 64]]) {
    using state = new StepState(device, BETAS);
    using program = new Program(device);
    const all = lengths.map((length, i) => uploadVector(device, randomValues(length, 20 + i, 2)));
    gradNorm(program, { gradients: all.map(({ vector }) => vector), maxNorm: 0.5, state });
    recordMetrics(program, state);
    await program.prepare();
    state.begin({ step: 1, learningRate: 0, targetCount: 1 });
    program.run();
    const [{ gradNorm: norm }] = await state.takeMetrics();
    const want = Math.sqrt(
      all.flatMap(({ exact }) => [...exact]).reduce((sum, g) => sum + g * g, 0),
    );
    assert(Math.abs(norm / want - 1) < 1e-6, `${lengths}: ${norm} and ${want}`);
  }
});

Deno.test("adamW can leave in the gradients what it changed values by", async () => {
  const length = 37;
  const [plain, changing] = [false, true].map((changes) =>
    optimizer(device, length, { maxNorm: 0.5, weightDecay: 0.1, changes })
  );
  for (const { program } of [plain, changing]) await program.prepare();
  for (let step = 1; step <= 4; step++) {
    const gradient = randomValues(length, 10 + step, 2);
    if (step === 3) gradient[0] = NaN;
    const before = await readVector(device, changing.values.vector);
    for (const { state, gradients, program } of [plain, changing]) {
      state.begin({ step, learningRate: 0.01, targetCount: 1 });
      device.write(gradients, gradient);
      program.run();
    }
    const after = await readVector(device, changing.values.vector);
    assertEquals(after, await readVector(device, plain.values.vector));
    const change = after.map((value, i) => value - before[i]);
    assertEquals(await readVector(device, changing.gradients), change, `step ${step}`);
    assertEquals(change.some((x) => x !== 0), step !== 3);
  }
  for (const { program, state } of [plain, changing]) {
    program[Symbol.dispose]();
    state[Symbol.dispose]();
  }
});

Deno.test("the ring of metrics keeps every step's loss across its end", async () => {
  using state = new StepState(device, BETAS);
  using program = new Program(device);
  const losses = device.vector(2, "f32", "losses");
  program.clear(state.results);
  addSum(program, { values: losses, out: state.results, index: LOSS_SUM_INDEX });
  addSum(program, { values: losses, out: state.results, index: LOSS_SUM_INDEX });
  recordMetrics(program, state);
  await program.prepare();
  assertEquals(await state.takeMetrics(), []);
  const first = 500;
  const seen: number[][] = [];
  for (let step = first; step < first + METRICS_CAPACITY + 100; step++) {
    state.begin({ step, learningRate: 1, targetCount: 2 });
    device.write(losses, new Float32Array([step, 0.5]));
    program.run();
    if (step % 200 === 0) {
      for (const m of await state.takeMetrics()) seen.push([m.step, m.lossSum]);
    }
  }
  for (const m of await state.takeMetrics()) seen.push([m.step, m.lossSum]);
  assertEquals(
    seen,
    Array.from({ length: METRICS_CAPACITY + 100 }, (_, i) => [first + i, 2 * (first + i) + 1]),
  );
});

Deno.test("StepState refuses steps out of order and metrics that would be lost", async () => {
  using state = new StepState(device, BETAS);
  const begin = (step: number) => state.begin({ step, learningRate: 1, targetCount: 1 });
  assertThrows(() => begin(0), RangeError, "Cannot start step 0");
  assertThrows(() => begin(1.5), RangeError, "Cannot start step 1.5");
  for (let step = 3; step < 3 + METRICS_CAPACITY; step++) begin(step);
  assertThrows(() => begin(3), RangeError, "Cannot start step 3");
  assertThrows(
    () => begin(3 + METRICS_CAPACITY),
    RangeError,
    "the metrics since step 3 were not taken",
  );
  assertEquals(await state.takeMetrics(), []); // no program ran
});

Deno.test("adamW and gradNorm refuse vectors that do not fit", () => {
  using program = new Program(device);
  using state = new StepState(device, BETAS);
  const vector = (length: number) => device.vector(length, "f32", "vector");
  assertThrows(
    () =>
      adamW(program, {
        values: vector(8),
        gradients: vector(8),
        firstMoment: vector(9),
        secondMoment: vector(8),
        eps: EPS,
        weightDecay: 0,
        state,
      }),
    RangeError,
    "adamW: firstMoment has 9 elements, not 8",
  );
  assertThrows(
    () => gradNorm(program, { gradients: [{ ...vector(8), type: "f16" }], maxNorm: 1, state }),
    TypeError,
    "gradNorm: gradients is f16, not f32",
  );
});
