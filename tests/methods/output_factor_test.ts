/** Linear layers whose output has a factor, under every method: Granite scales its branches so. */

import { assert, assertEquals } from "@std/assert";
import { falqon, fp8Lora, full, int8Lora, lora, qlora, torchaoStyle } from "../../mod.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import type { Method } from "../../src/layers/method.ts";
import { Parameters } from "../../src/layers/parameters.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../support/gpu.ts";
import { randomWeights } from "../support/linear_weights.ts";
import { randomGenerator, randomValues } from "../support/random.ts";

const INPUTS = 44;
const ROWS = 13;
const RANK = 5;
/** A power of two: a method that rounds, rounds the same. */
const FACTOR = 0.25;
const SPEC: LinearSpec = {
  name: "layers.0.o",
  inFeatures: INPUTS,
  width: 48,
  parts: [{ module: "first.o_proj", kind: "o_proj", rows: 37, start: 0 }],
};
const { source } = randomWeights(SPEC);

const falqons = (["fp8", "int8"] as const).flatMap((format) =>
  ([
    { updateRule: "paper", topK: 3 },
    { updateRule: "accumulate", topK: 4 },
    { updateRule: "requantize" },
    { updateRule: "requantize", topK: 2 },
    { updateRule: "stochastic" },
    { updateRule: "stochastic", trainA: true },
    { updateRule: "requantize", scaleGranularity: "tensor" },
  ] as const).map((options): [string, Method] => [
    `falqon ${format} ${JSON.stringify(options)}`,
    falqon({ rank: RANK, format, ...options }),
  ])
);
const METHODS: [string, Method][] = [
  ["full", full()],
  ["lora", lora({ rank: RANK })],
  ["lora in f16", lora({ rank: RANK, base: "f16" })],
  ["lora-fa", lora({ rank: RANK, trainA: false })],
  ["fp8-lora", fp8Lora({ rank: RANK })],
  ["int8-lora", int8Lora({ rank: RANK })],
  ["torchao-style", torchaoStyle({ rank: RANK })],
  ["qlora", qlora({ rank: RANK })],
  ["frozen fp8", frozen("fp8")],
  ["frozen int8", frozen("int8")],
  ...falqons,
];

/** Output, output with an addend, gradient of the input, and gradients of the parameters. */
async function passes(method: Method, outputFactor?: number): Promise<Float32Array[]> {
  const parameters = new Parameters(device);
  const random = randomGenerator(7);
  const layers = method.build({
    device,
    linears: [SPEC],
    parameters,
    random,
    restoring: false,
  });
  const linear = layers.linear({ ...SPEC, outputFactor });
  if (parameters.list.length > 0) parameters.allocate({ gradients: true, moments: false });
  layers.reserve(16);
  linear.reserve(16);
  await linear.load(source);
  // What an optimizer would make of B, which begins at zero; a part of it is written, a part pending.
  for (const b of parameters.list) {
    const { name, rows, cols } = b;
    if (!name.endsWith("_B")) continue;
    const values = randomValues(rows * cols, 3, 0.05);
    device.writeMatrix(b.value, values);
    if (parameters.needsChanges) device.writeMatrix(b.gradient, values);
  }
  await layers.refresh?.();
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  state.begin({ step: 1, learningRate: 0, targetCount: 1 });
  await runOnce(device, (program) => layers.update?.(program, state));
  for (const { gradient } of parameters.list) {
    await runOnce(device, (program) => program.clear(gradient));
  }

  const input = uploadMatrix(device, randomValues(ROWS * INPUTS, 1, 3), ROWS, INPUTS).matrix;
  // Columns behind the part belong to nothing and are zero.
  const outputs = (seed: number, size: number) => {
    const values = randomValues(ROWS * 48, seed, size).map((v, i) => i % 48 < 37 ? v : 0);
    return uploadMatrix(device, values, ROWS, 48).matrix;
  };
  const [dOutput, addend] = [outputs(2, 1e-3), outputs(4, 1)];
  const [output, sum] = [0, 1].map(() => poisoned(device, ROWS, 48));
  const dInput = poisoned(device, ROWS, INPUTS);
  await runOnce(device, (program) => {
    linear.forward(program, { input, codes: null, output: sum, addend });
    linear.forward(program, { input, codes: null, output });
    linear.backward(program, { dOutput, codes: null, input, dInput });
  });
  const added = await device.readMatrix(addend);
  const joined = (await device.readMatrix(sum)).map((v, i) => v - added[i]);
  const results = [await device.readMatrix(output), joined, await device.readMatrix(dInput)];
  for (const { gradient } of parameters.list) results.push(await device.readMatrix(gradient));
  linear.free();
  layers.free();
  parameters[Symbol.dispose]();
  return results;
}

Deno.test("the factor of a layer's output multiplies its output and its gradients under every method", async () => {
  for (const [name, method] of METHODS) {
    const plain = await passes(method);
    const scaled = await passes(method, FACTOR);
    assertEquals(scaled.length, plain.length);
    for (const [i, got] of scaled.entries()) {
      const want = plain[i].map((v) => FACTOR * v);
      assert(want.some((v) => v !== 0), `${name}: result ${i} is zero`);
      const error = relativeError(got, want);
      assert(error < 1e-5, `${name}: result ${i} is off by ${error}`);
    }
  }
});

Deno.test("the factor is none of the weight", async () => {
  for (const method of [full(), lora({ rank: RANK }), falqon({ rank: RANK })]) {
    const read = async (outputFactor?: number) => {
      const parameters = new Parameters(device);
      const random = randomGenerator(7);
      const layers = method.build({
        device,
        linears: [SPEC],
        parameters,
        random,
        restoring: false,
      });
      const linear = layers.linear({ ...SPEC, outputFactor });
      parameters.allocate({ gradients: true, moments: false });
      await linear.load(source);
      for (const b of parameters.list) {
        const { name, rows, cols } = b;
        if (name.endsWith("lora_B")) device.writeMatrix(b.value, randomValues(rows * cols, 3));
      }
      const weight = await linear.readWeight(0);
      linear.free();
      layers.free();
      parameters[Symbol.dispose]();
      return weight;
    };
    assertEquals(await read(0.22), await read(), method.name);
  }
});
