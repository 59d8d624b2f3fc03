/** The biases of a linear layer under every method. */

import { assert, assertEquals } from "@std/assert";
import type { ElementType } from "../../src/gpu/buffers.ts";
import { loadBias } from "../../src/layers/bias.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import type { Method } from "../../src/layers/method.ts";
import { Parameters } from "../../src/layers/parameters.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { full } from "../../src/methods/full.ts";
import { fp8Lora, int8Lora, lora, qlora, torchaoStyle } from "../../src/methods/lora/lora.ts";
import { columnSums } from "../oracle/linear.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../support/gpu.ts";
import { randomWeights } from "../support/linear_weights.ts";
import { randomGenerator, randomValues } from "../support/random.ts";

const INPUTS = 44;
/** Parts of odd sizes, one without a bias; adapters on two of them. */
const spec: LinearSpec = {
  outputFactor: 0.5,
  name: "layers.0.qkv",
  inFeatures: INPUTS,
  width: 80,
  parts: [
    { module: "q_proj", kind: "q_proj", rows: 37, start: 0, bias: true },
    { module: "k_proj", kind: "k_proj", rows: 7, start: 48 },
    { module: "v_proj", kind: "v_proj", rows: 9, start: 64, bias: true },
  ],
};

const { source: weights } = randomWeights(spec);
const biases = new Map([
  ["q_proj.bias", randomValues(37, 8, 5)],
  ["v_proj.bias", randomValues(9, 9, 5)],
]);
const source: typeof weights = {
  ...weights,
  rows: (name, ...range) =>
    biases.has(name) ? Promise.resolve(biases.get(name)!.slice()) : weights.rows(name, ...range),
};
/** The biases by columns; every row of the output gets them times its factor. */
const added = new Float32Array(spec.width);
added.set(biases.get("q_proj.bias")!, 0);
added.set(biases.get("v_proj.bias")!, 64);

const adapters = { rank: 5, targetModules: ["q_proj", "k_proj"] };
const METHODS: Record<string, Method> = {
  "f32": frozen("f32"),
  "f16": frozen("f16"),
  "fp8": frozen("fp8"),
  "int8": frozen("int8"),
  "nf4": frozen("nf4"),
  "falqon": falqon(adapters),
  "falqon, both factors": falqon({ ...adapters, updateRule: "stochastic", trainA: true }),
  "falqon in int8": falqon({ ...adapters, format: "int8", updateRule: "requantize" }),
  "falqon with pending rows": falqon({ ...adapters, topK: 3 }),
  "falqon, one scale a matrix": falqon({
    ...adapters,
    updateRule: "accumulate",
    scaleGranularity: "tensor",
  }),
  "falqon, paper": falqon({ ...adapters, updateRule: "paper" }),
  "lora": lora(adapters),
  "qlora": qlora(adapters),
  "int8-lora": int8Lora(adapters),
  "fp8-lora": fp8Lora(adapters),
  "torchao-style": torchaoStyle(adapters),
  "full": full(),
};

async function build(method: Method) {
  const parameters = new Parameters(device);
  const random = randomGenerator(7);
  const layers = method.build({ device, linears: [spec], parameters, random, restoring: false });
  const linear = layers.linear(spec);
  if (parameters.list.length > 0) parameters.allocate({ gradients: true, moments: false });
  layers.reserve(16);
  linear.reserve(16);
  await linear.load(source);
  await loadBias(device, linear, source);
  await layers.refresh?.();
  return { layers, linear, parameters };
}

Deno.test("under every method an output is that without biases plus these, in f32 and in f16", async () => {
  const usual = device.tuning;
  device.tuning = { ...usual, f16Storage: { activations: true, gradients: false } };
  try {
    for (const [name, method] of Object.entries(METHODS)) {
      const { layers, linear } = await build(method);
      const types = new Set<ElementType>(["f32", linear.preferredOutputType]);
      for (const rows of [13, 1]) {
        const input = uploadMatrix(device, randomValues(rows * INPUTS, 1, 3), rows, INPUTS).matrix;
        for (const type of types) {
          const run = async (withAddend: boolean) => {
            const output = device.matrix(rows, spec.width, type, "output");
            const addend = poisoned(device, rows, spec.width);
            await runOnce(device, (program) =>
              linear.forward(program, {
                input,
                codes: null,
                output,
                ...(withAddend && { addend }),
              }));
            const raw = await device.read(output);
            return Float64Array.from(
              type === "f16" ? new Float16Array(raw) : new Float32Array(raw),
            );
          };
          const withAddend = type === "f32" && rows > 1;
          device.write(linear.bias!.value(), added);
          const got = await run(withAddend);
          device.write(linear.bias!.value(), new Float32Array(spec.width));
          const without = await run(withAddend);
          const want = without.map((value, i) => value + 0.5 * added[i % spec.width]);
          const difference = relativeError(got, want);
          const what = `${name} of ${rows} rows in ${type}: ${difference}`;
          assert(difference < (type === "f16" ? 1e-3 : 1e-6), what);
          const untouched = (_: number, i: number) => added[i % spec.width] === 0;
          assertEquals(got.filter(untouched), without.filter(untouched), what);
        }
      }
      linear.free();
      layers.free();
    }
  } finally {
    device.tuning = usual;
  }
});

Deno.test("biases are trained by full alone: by the column sums of the gradient, and not decayed", async () => {
  const rows = 13;
  const inside = (column: number) =>
    spec.parts.some(({ start, rows }) => column >= start && column < start + rows);
  const g = randomValues(rows * spec.width, 2)
    .map((value, i) => inside(i % spec.width) ? value : 0);
  const input = uploadMatrix(device, randomValues(rows * INPUTS, 1, 3), rows, INPUTS).matrix;
  for (const [name, method] of Object.entries(METHODS)) {
    const { layers, linear, parameters } = await build(method);
    const isTrained = parameters.list.find(({ name }) => name === "layers.0.qkv.bias");
    assertEquals(isTrained !== undefined, name === "full", name);
    if (!isTrained) {
      assertEquals(linear.bias!.gradient, null, name);
      linear.free();
      layers.free();
      continue;
    }
    assertEquals([isTrained.rows, isTrained.cols, isTrained.decay], [1, spec.width, false]);
    const { matrix: dOutput, exact } = uploadMatrix(device, g, rows, spec.width);
    const dInput = poisoned(device, rows, INPUTS);
    await runOnce(device, (program) => {
      for (let step = 0; step < 2; step++) {
        linear.backward(program, { dOutput, codes: null, input, dInput });
      }
    });
    const sums = columnSums(exact, rows);
    // Two passes, and the factor.
    const want = sums.map((sum, c) => added[c] === 0 ? 0 : sum);
    const got = await device.readMatrix(isTrained.gradient);
    assert(relativeError(got, want) < 1e-6);
    assertEquals(
      got.filter((_, c) => added[c] === 0),
      new Float32Array(spec.width).filter((_, c) => added[c] === 0),
    );
  }
});
