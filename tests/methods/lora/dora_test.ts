/** DoRA, rsLoRA and dropout in a layer, against the twins, and on each base against LoRA itself. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../../src/errors.ts";
import { fp8Lora, int8Lora, lora, qlora } from "../../../src/methods/lora/lora.ts";
import type { AdapterOptions } from "../../../src/methods/lora/settings.ts";
import type { LoraLayers } from "../../../src/methods/lora/layers.ts";
import type { LoraLinear } from "../../../src/methods/lora/linear.ts";
import type { Method } from "../../../src/layers/method.ts";
import type { LinearSpec } from "../../../src/layers/linear_spec.ts";
import { Parameters } from "../../../src/layers/parameters.ts";
import { relativeError } from "../../oracle/compare.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { doraLinear, dropoutMask, rowNorms } from "../../oracle/dora.ts";
import { device } from "../../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomWeights } from "../../support/linear_weights.ts";
import { randomGenerator, randomValues } from "../../support/random.ts";

const [INPUTS, RANK, ALPHA, ROWS] = [44, 5, 10, 13];
const spec: LinearSpec = {
  name: "layers.0.qkv",
  inFeatures: INPUTS,
  width: 80,
  outputFactor: 0.5,
  parts: [
    { module: "first.q_proj", kind: "q_proj", rows: 37, start: 0 },
    { module: "second.k_proj", kind: "k_proj", rows: 7, start: 48 },
    { module: "third.v_proj", kind: "v_proj", rows: 9, start: 64 },
  ],
};
const { weights, source } = randomWeights(spec);
const options = { rank: RANK, alpha: ALPHA, targetModules: ["q_proj", "k_proj"] };

/** A layer whose first two parts have adapters, B not zero. */
async function build(method: Method) {
  const parameters = new Parameters(device);
  const random = randomGenerator(7);
  const context = { device, linears: [spec], parameters, random, restoring: false };
  const layers = method.build(context) as LoraLayers;
  const linear = layers.linear(spec) as LoraLinear;
  parameters.allocate({ gradients: true, moments: false });
  layers.reserve(16);
  linear.reserve(16);
  await linear.load(source);
  await layers.refresh();
  const parameter = (name: string) => parameters.list.find((it) => it.name === name)!;
  const a = new Float32Array(32 * INPUTS);
  for (const i of [0, 1]) a.set(randomValues(RANK * INPUTS, 20 + i, 0.2), 16 * i * INPUTS);
  const fresh = await device.readMatrix(parameter("layers.0.qkv.lora_A").value);
  device.writeMatrix(parameter("layers.0.qkv.lora_A").value, a);
  const parts = ["first.q_proj", "second.k_proj"].map((module, i) => {
    const { rows } = spec.parts[i];
    const b = randomValues(rows * RANK, 30 + i, 0.1);
    device.writeMatrix(parameter(`${module}.lora_B`).value, b);
    return { module, rows, start: spec.parts[i].start, b };
  });
  return { layers, linear, a, parts, parameter, fresh };
}

const x = randomValues(ROWS * INPUTS, 40, 3);
const g = randomValues(ROWS * spec.width, 41, 1e-2);
g.forEach((_, i) => {
  const column = i % spec.width;
  if (!spec.parts.some(({ start, rows }) => column >= start && column < start + rows)) g[i] = 0;
});

async function run(layers: LoraLayers, linear: LoraLinear, training: boolean) {
  const input = uploadMatrix(device, x, ROWS, INPUTS).matrix;
  const dOutput = uploadMatrix(device, g, ROWS, spec.width).matrix;
  const output = poisoned(device, ROWS, spec.width);
  const dInput = poisoned(device, ROWS, INPUTS);
  await runOnce(device, (program) => {
    if (training) layers.beginMicroStep(program);
    linear.forward(program, { input, codes: null, output, training });
    if (training) linear.backward(program, { dOutput, codes: null, input, dInput });
  });
  return { y: await device.readMatrix(output), dx: await device.readMatrix(dInput) };
}

for (const dropout of [0, 0.4]) {
  for (const rslora of [false, true]) {
    Deno.test(`DoRA in f32 with dropout ${dropout}, rslora ${rslora}: output and gradients are the twin's`, async () => {
      const method = lora({ ...options, dora: true, dropout, rslora });
      const { layers, linear, a, parts, parameter } = await build(method);
      const magnitudes = parts.map(({ module, rows }, i) => {
        const values = randomValues(rows, 50 + i);
        device.writeMatrix(parameter(`${module}.lora_magnitude_vector`).value, values);
        return values;
      });
      await runOnce(device, (program) => layers.update(program));
      const { y, dx } = await run(layers, linear, true);
      const state = layers.state().get("dropout");
      const [micro, low, high] = state ? new Uint32Array(await device.read(state)) : [0, 0, 0];
      assertEquals(micro, dropout > 0 ? 1 : 0);
      const mask = dropoutMask({ micro, low, high, tensor: 0, rate: dropout }, x.length);
      const want = new Float64Array(ROWS * INPUTS);
      const [exactX, dy] = [Float64Array.from(x), Float64Array.from(g, (v) => 0.5 * v)];
      const near = (got: ArrayLike<number>, wanted: Float64Array, what: string) => {
        const error = relativeError(got, wanted);
        assert(error < 2e-6, `${what}: ${error}`);
      };
      const dA = new Float64Array(a.length);
      for (const [i, { module, rows, start, b }] of parts.entries()) {
        const adapter = {
          a: Float64Array.from(a.subarray(16 * i * INPUTS, (16 * i + RANK) * INPUTS)),
          b: Float64Array.from(b),
          magnitude: Float64Array.from(magnitudes[i]),
          scaling: ALPHA / (rslora ? Math.sqrt(RANK) : RANK),
        };
        const twin = doraLinear(exactX, Float64Array.from(weights[i]), adapter, ROWS, mask);
        const block = { column: start, cols: rows };
        near(takeColumns(Float64Array.from(y), spec.width, block), twin.y.map((v) => 0.5 * v), "y");
        const back = twin.backward(takeColumns(dy, spec.width, block));
        back.dx.forEach((value, at) => want[at] += value);
        dA.set(back.dA, 16 * i * INPUTS);
        near(await device.readMatrix(parameter(`${module}.lora_B`).gradient), back.dB, "dB");
        const { gradient } = parameter(`${module}.lora_magnitude_vector`);
        near(await device.readMatrix(gradient), back.dMagnitude, "dm");
        const norms = rowNorms(Float64Array.from(await linear.readWeight(i)), INPUTS);
        near(norms, Float64Array.from(magnitudes[i], Math.abs), "norms of the merged weight");
      }
      near(await device.readMatrix(parameter("layers.0.qkv.lora_A").gradient), dA, "dA");
      const last = { column: 64, cols: 9 };
      const frozen = { a: new Float64Array(INPUTS), b: new Float64Array(9), scaling: 0 };
      const weight = Float64Array.from(weights[2]);
      const magnitude = rowNorms(weight, INPUTS);
      doraLinear(exactX, weight, { ...frozen, magnitude }, ROWS)
        .backward(takeColumns(dy, spec.width, last)).dx.forEach((value, at) => want[at] += value);
      near(dx, want, "dx");
      linear.free();
      layers.free();
    });
  }
}

const BASES: Record<string, [(options: AdapterOptions) => Method, number]> = {
  f32: [lora, 1e-6],
  f16: [(options) => lora({ ...options, base: "f16" }), 1e-5],
  fp8: [fp8Lora, 1e-5],
  int8: [int8Lora, 1e-5],
  nf4: [qlora, 1e-5],
};

Deno.test("on every base a new DoRA changes nothing, and a trained one scales the rows of LoRA's output", async () => {
  for (const [name, [method, tolerance]] of Object.entries(BASES)) {
    const plain = await build(method(options));
    const dora = await build(method({ ...options, dora: true }));
    assertEquals(dora.fresh, plain.fresh, name);
    // Fresh magnitudes are the norms of the weight as products see it.
    for (const [i, { module, rows }] of dora.parts.entries()) {
      const { value } = dora.parameter(`${module}.lora_magnitude_vector`);
      const stored = Float64Array.from((await plain.linear.readWeight(i)).length ? weights[i] : []);
      const got = await device.readMatrix(value);
      const error = relativeError(got, rowNorms(stored, INPUTS));
      assert(error < (name === "nf4" ? 0.2 : 0.05), `${name}: ${error}`);
      device.writeMatrix(value, randomValues(rows, 60 + i));
    }
    for (const { layers } of [plain, dora]) {
      await runOnce(device, (program) => layers.update(program));
    }
    const [lora, scaled] = [
      await run(plain.layers, plain.linear, false),
      await run(dora.layers, dora.linear, false),
    ];
    const want = Float64Array.from(lora.y);
    for (const [i, { rows, start }] of dora.parts.entries()) {
      const norms = rowNorms(Float64Array.from(await plain.linear.readWeight(i)), INPUTS);
      const magnitudes = randomValues(rows, 60 + i);
      for (let at = 0; at < want.length; at++) {
        const row = at % spec.width - start;
        if (row >= 0 && row < rows) want[at] *= magnitudes[row] / norms[row];
      }
    }
    const error = relativeError(scaled.y, want);
    assert(error < tolerance, `${name}: ${error}`);
    for (const { linear, layers } of [plain, dora]) {
      linear.free();
      layers.free();
    }
  }
});

Deno.test("dropout is for training, and out of range is refused", async () => {
  for (const [name, [method]] of Object.entries(BASES)) {
    const plain = await build(method(options));
    const dropping = await build(method({ ...options, dropout: 0.5 }));
    for (const { layers } of [plain, dropping]) {
      await runOnce(device, (program) => layers.update(program));
    }
    const evaluated = (await run(dropping.layers, dropping.linear, false)).y;
    assertEquals(evaluated, (await run(plain.layers, plain.linear, false)).y, name);
    const first = (await run(dropping.layers, dropping.linear, true)).y;
    const second = (await run(dropping.layers, dropping.linear, true)).y;
    assert(relativeError(first, Float64Array.from(evaluated)) > 0.001, name);
    assert(relativeError(first, Float64Array.from(second)) > 0.001, name);
    for (const { linear, layers } of [plain, dropping]) {
      linear.free();
      layers.free();
    }
  }
  for (const dropout of [1, -0.1, NaN]) {
    assertThrows(() => lora({ dropout }), OptionError, "from 0 to below 1");
  }
});
