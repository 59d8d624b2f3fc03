/** FALQON with A trained as well: its gradient, its update, and what both add up to. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { layoutOf, type Matrix, unpitched } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { tensorKey } from "../../../src/kernels/falqon/rounding.ts";
import type { LinearSpec } from "../../../src/layers/linear_spec.ts";
import { submitOnce } from "../../../src/gpu/submit_once.ts";
import { Model } from "../../../src/inference/model.ts";
import { Parameters } from "../../../src/layers/parameters.ts";
import { sequenceArrays, writeTokens } from "../../../src/model/token_buffers.ts";
import { withFolder } from "../../support/io.ts";
import { writeTinyModel } from "../../support/tiny_model.ts";
import { falqon } from "../../../src/methods/falqon/falqon.ts";
import type { FalqonLayers } from "../../../src/methods/falqon/layers.ts";
import type { FalqonLinear } from "../../../src/methods/falqon/linear.ts";
import type { FalqonOptions } from "../../../src/methods/falqon/settings.ts";
import { type FormatName, FORMATS } from "../../../src/numerics/formats.ts";
import { orthonormalizeRows } from "../../../src/numerics/linear_algebra.ts";
import { drawKey } from "../../../src/numerics/random_key.ts";
import { relativeError } from "../../oracle/compare.ts";
import { type CodedWeight, updateProduct } from "../../oracle/falqon_update.ts";
import { matmulNN, matmulNT, matmulTN } from "../../oracle/matmul.ts";
import { rotate } from "../../oracle/rotation.ts";
import { dot } from "../../oracle/vector.ts";
import { device, expectAllFreed } from "../../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomWeights } from "../../support/linear_weights.ts";
import { fromPanels } from "../../support/panels.ts";
import { randomGenerator, randomValues } from "../../support/random.ts";

/** Two parts of odd sizes with a part between that has no adapter; a rank that is no multiple of 4. */
const INPUTS = 44;
const RANK = 5;
const C = 2; // alpha / rank
const spec: LinearSpec = {
  name: "layers.0.three",
  inFeatures: INPUTS,
  width: 96,
  parts: [
    { module: "first.q_proj", kind: "q_proj", rows: 37, start: 0 },
    { module: "second.k_proj", kind: "k_proj", rows: 13, start: 48 },
    { module: "third.v_proj", kind: "v_proj", rows: 21, start: 64 },
  ],
};
const { source } = randomWeights(spec);

/** Every format with and without rotation, and FP8 with one scale for a matrix. */
const CASES: FalqonOptions[] = [
  { format: "fp8", rotation: false },
  { format: "fp8", rotation: true },
  { format: "fp8", scaleGranularity: "tensor" },
  { format: "int8", rotation: false },
  { format: "int8", rotation: true },
];
const TYPES = { fp8: ["e4m3", "e5m2"], int8: ["int8", "int8"] } as const;

/** Counts the steps of all tests: stochastic rounding draws other numbers in each. */
const state = new StepState(device, { beta1: 0, beta2: 0 });
let steps = 0;
function beginStep(): number {
  state.begin({ step: ++steps, learningRate: 0, targetCount: 1 });
  return steps;
}

/** A merged linear on the GPU whose A and B are trained. */
async function build(options: FalqonOptions) {
  const parameters = new Parameters(device);
  const layers = falqon({
    rank: RANK,
    alpha: C * RANK,
    updateRule: "stochastic",
    trainA: true,
    targetModules: ["q_proj", "v_proj"],
    ...options,
  }).build({
    device,
    linears: [spec],
    parameters,
    random: randomGenerator(7),
    restoring: false,
  }) as FalqonLayers;
  const linear = layers.linear(spec) as FalqonLinear;
  parameters.allocate({ gradients: true, moments: false });
  layers.reserve(16);
  linear.reserve(16);
  await linear.load(source);
  const a = parameters.list.find(({ name }) => name === `${spec.name}.falqon_A`)!;
  const bs = linear.updates.map(({ b }) => b);
  const free = () => {
    linear.free();
    layers.free();
    parameters[Symbol.dispose]();
  };
  return { parameters, layers, linear, a, bs, free };
}

type Built = Awaited<ReturnType<typeof build>>;

/** The codes of a matrix by rows, padding left out. */
async function readCodes(matrix: Matrix): Promise<Uint8Array> {
  return codesOf(matrix, await device.read(matrix));
}

function codesOf(matrix: Matrix, stored: ArrayBuffer): Uint8Array {
  const bytes = new Uint8Array(stored);
  const rows = layoutOf(matrix.type) === "panels" ? fromPanels(bytes, matrix) : bytes;
  return rows.slice(0, matrix.rows * matrix.pitch).filter((_, i) => i % matrix.pitch < matrix.cols);
}

/** What codes stand for, their rows divided by their scales. */
function decoded(codes: Uint8Array, scales: ArrayLike<number>, cols: number, type: FormatName) {
  const values = FORMATS[type].codec!.values();
  return Float64Array.from(codes, (code, i) => values[code] / scales[Math.floor(i / cols)]);
}

/** Adds a step of an optimizer to A and B, which leaves its change in their gradients; returns them all. */
async function move({ a, bs }: Built, seed: number, size = 0.02) {
  const moved = [];
  const parameters = [a, ...bs];
  const stored = await device.readAll(parameters.map(({ value }) => value));
  for (const [i, parameter] of parameters.entries()) {
    const { rows, cols } = parameter;
    const of = parameter === a ? size / 4 : size;
    const change = randomValues(rows * cols, seed + i, of).map((v, at) =>
      parameter === a && Math.floor(at / cols) % 16 >= RANK ? 0 : v
    );
    const before = unpitched(new Float32Array(stored[i]), rows, cols, parameter.value.pitch);
    const after = before.map((v, at) => v + change[at]);
    const exact = after.map((v, at) => v - before[at]);
    device.writeMatrix(parameter.value, after);
    device.writeMatrix(parameter.gradient, exact);
    moved.push({ before, after, change: exact });
  }
  return moved;
}

Deno.test("an adapter made from the error lies in the same space as the weight, rotated or not", async () => {
  const { weights } = randomWeights(spec);
  for (const trainA of [false, true]) {
    for (const rotation of [false, true]) {
      const built = await build({ format: "int8", rotation, trainA, init: "melded", headroom: 1 });
      const { linear } = built;
      const scales = new Float32Array(await device.read(linear.scales));
      const values = decoded(await readCodes(linear.weight), scales, INPUTS, "int8");
      const { part: { start, rows }, start: aStart } = linear.layout.parts[0];
      const original = rotate(weights[0], linear.rotation);
      const error = original.map((v, i) => values[start * INPUTS + i] - v);
      const aRow = spec.width + aStart;
      const basis = values.slice(aRow * INPUTS, (aRow + RANK) * INPUTS);
      orthonormalizeRows(basis, RANK);
      const along = matmulNT(error, basis, rows, RANK, INPUTS);
      const share = dot(along, 0, along, 0, along.length) / dot(error, 0, error, 0, error.length);
      // Five directions of 44 hold 11 % of noise, its five leading ones a third.
      assert(share > 0.25, `trainA ${trainA}, rotation ${rotation}: ${share}`);
      built.free();
    }
  }
});

Deno.test("the gradient of A is (c·G·B)ᵀ·x, and in the first step zero", async () => {
  const tokens = 9;
  const x = uploadMatrix(device, randomValues(tokens * INPUTS, 21), tokens, INPUTS);
  const inPart = (column: number) =>
    spec.parts.some(({ start, rows }) => column >= start && column < start + rows);
  const gradient = randomValues(tokens * spec.width, 22, 1e-4)
    .map((v, i) => inPart(i % spec.width) ? v : 0);
  const dy = uploadMatrix(device, gradient, tokens, spec.width);
  const asUsual = device.tuning;
  for (const gradients of [false, true]) {
    device.tuning = { ...asUsual, f16Storage: { activations: gradients, gradients } };
    for (const options of CASES) {
      const label = `${JSON.stringify(options)}, f16 ${gradients}`;
      const built = await build(options);
      const { layers, linear, a, bs } = built;
      const { backwardReadsInput, backwardReadsCodes } = linear;
      const perMatrix = options.scaleGranularity === "tensor";
      assertEquals([backwardReadsInput, backwardReadsCodes], [perMatrix, true]);
      const pass = async (needsInputGradient: boolean) => {
        const output = poisoned(device, tokens, spec.width);
        const dInput = needsInputGradient ? poisoned(device, tokens, INPUTS) : null;
        await runOnce(device, (program) => {
          program.clear(a.gradient);
          linear.forward(program, { input: x.matrix, codes: null, output });
          linear.backward(program, { dOutput: dy.matrix, codes: null, input: x.matrix, dInput });
        });
        return await device.readMatrix(a.gradient);
      };
      assert((await pass(true)).every((v) => v === 0), `${label}: B is zero`);
      await move(built, 50, 0.05);
      await runOnce(device, (program) => layers.update(program, state));
      const got = await pass(true);
      assertEquals(await pass(false), got, "without a gradient of the input");

      // G as it was rounded: columns divided by the scales of W, rows multiplied by their own.
      const [type, ofGradient] = TYPES[options.format!];
      const { codes, scales } = linear.shared.gradient.rows(tokens, spec.width);
      const ofG = new Float32Array(await device.read(scales));
      const g = decoded(await readCodes(codes), ofG, spec.width, ofGradient);
      // And x, which is then rotated back.
      const input = linear.shared.input.rows(tokens, INPUTS);
      const ofX = new Float32Array(await device.read(input.scales));
      const roundedX = rotate(
        decoded(await readCodes(input.codes), ofX, INPUTS, type),
        linear.rotation,
      );
      const ofW = new Float32Array(await device.read(linear.scales));
      const want = new Float64Array(got.length);
      const plain = new Float64Array(got.length);
      for (const [i, { part, start }] of linear.layout.parts.entries()) {
        const b = await device.readMatrix(bs[i].value);
        const scaled = b.map((v, at) => v * ofW[part.start + Math.floor(at / RANK)]);
        const largest = scaled.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        const scale = Math.fround(FORMATS[type].max / largest);
        const { codec } = FORMATS[type];
        const rounded = decoded(
          codec.encode(scaled.map((v) => v * scale)),
          [scale],
          Infinity,
          type,
        );
        const column = (of: ArrayLike<number>) =>
          Float64Array.from(
            { length: tokens * part.rows },
            (_, at) => of[Math.floor(at / part.rows) * spec.width + part.start + at % part.rows],
          );
        const into = (to: Float64Array, g: Float64Array, b: Float64Array, x: Float64Array) => {
          const low = matmulNN(g, b, tokens, RANK, part.rows);
          const dA = matmulTN(low, x, RANK, INPUTS, tokens);
          dA.forEach((v, at) => to[start * INPUTS + at] = C * v);
        };
        into(want, column(g), rounded, roundedX);
        into(plain, column(dy.exact), Float64Array.from(b), x.exact);
      }
      const error = relativeError(got, want);
      assert(error < (gradients ? 1e-3 : 1e-5), `${label}: off by ${error} of what was rounded`);
      const rounding = relativeError(got, plain);
      assert(rounding < (options.format === "fp8" ? 0.12 : 0.02), `${label}: off by ${rounding}`);
      built.free();
    }
  }
  device.tuning = asUsual;
});

Deno.test("an update writes what a step changed B·A by, and the codes of A follow", async () => {
  for (const options of CASES) {
    const label = JSON.stringify(options);
    const built = await build(options);
    const { layers, linear } = built;
    for (const update of linear.updates) update.count();
    const [type] = TYPES[options.format!];
    const merged = async () => ({
      codes: await readCodes(linear.weight),
      scales: new Float32Array(await device.read(linear.scales)),
    });
    const key = drawKey(randomGenerator(7)); // the first numbers that the method drew
    for (let number = 1; number <= 4; number++) {
      const [a, ...bs] = await move(built, 100 * number, number === 3 ? 0.2 : 0.02);
      const before = await merged();
      const step = beginStep();
      await runOnce(device, (program) => layers.update(program, state));
      const after = await merged();
      const width = linear.layout.width;
      const rowsOf = ({ codes, scales }: typeof after, first: number, count: number) => ({
        codes: codes.slice(first * INPUTS, (first + count) * INPUTS),
        scales: scales.slice(first, first + count),
      });
      // A~ and ΔA~ are roundings of A and ΔA, rotated.
      for (const [i, exact] of [a.after, a.change].entries()) {
        const { codes, scales } = rowsOf(after, spec.width + i * width, width);
        const error = relativeError(
          decoded(codes, scales, INPUTS, type),
          rotate(exact, linear.rotation),
        );
        assert(error > 0 && error < (type === "e4m3" ? 0.04 : 0.01), `${label}: ${error}`);
      }
      const want = before.codes.slice();
      want.set(after.codes.subarray(spec.width * INPUTS), spec.width * INPUTS);
      for (const [i, { part, start }] of linear.layout.parts.entries()) {
        const [w] = [rowsOf(before, part.start, part.rows)];
        const factors = [0, width].map((from) => rowsOf(after, spec.width + from + start, RANK));
        const weight: CodedWeight = {
          codes: Uint8Array.of(...w.codes, ...factors.flatMap(({ codes }) => [...codes])),
          scales: Float32Array.of(...w.scales, ...factors.flatMap(({ scales }) => [...scales])),
          outputs: part.rows,
          inputs: INPUTS,
          rank: 2 * RANK,
          format: { name: type },
        };
        const rounding = { key: tensorKey(key, i), step: step };
        const done = updateProduct(weight, bs[i].after, bs[i].change, C, rounding);
        want.set(weight.codes.subarray(0, part.rows * INPUTS), part.start * INPUTS);
        const counts = await linear.updates[i].counts();
        assertAlmostEquals(counts.codesChanged, done.codesChanged, 2, label);
        assertAlmostEquals(counts.intendedSquared / done.intendedSquared, 1, 1e-4, label);
        assert(done.codesChanged > 20);
      }
      const wrong = after.codes.filter((code, at) => code !== want[at]).length;
      assert(wrong <= 2, `${label}: ${wrong} codes are not those of the transcription`);
    }
    built.free();
  }
});

Deno.test("over many steps the weight comes to hold c·B·A", async () => {
  for (const options of [CASES[0], CASES[4]]) {
    const label = JSON.stringify(options);
    const built = await build({ ...options, headroom: 2 });
    const { layers, linear } = built;
    const [type] = TYPES[options.format!];
    const weight = async () => {
      const [codes, scales] = await device.readAll([linear.weight, linear.scales]);
      return decoded(codesOf(linear.weight, codes), new Float32Array(scales), INPUTS, type);
    };
    const first = await weight();
    using program = new Program(device);
    layers.update(program, state);
    await program.prepare();
    const asked = new Float64Array(spec.width * INPUTS);
    let last = await move(built, 0, 0);
    for (let number = 1; number <= 50; number++) {
      last = await move(built, 10 * number, 0.02);
      beginStep();
      program.run();
      const now = await weight();
      for (const [i, { part, start }] of linear.layout.parts.entries()) {
        const { after, change: moved } = last[1 + i];
        const old = after.map((v, at) => v - moved[at]);
        for (const [j, factor] of [moved, old].entries()) {
          const row = spec.width + j * linear.layout.width + start;
          const right = now.slice(row * INPUTS, (row + RANK) * INPUTS);
          matmulNN(Float64Array.from(factor), right, part.rows, INPUTS, RANK)
            .forEach((v, at) => asked[part.start * INPUTS + at] += C * v);
        }
      }
    }
    const now = await weight();
    const [a, ...bs] = last;
    const rotated = rotate(a.after, linear.rotation);
    for (const [i, { part, start }] of linear.layout.parts.entries()) {
      const share = (of: Float64Array) =>
        of.subarray(part.start * INPUTS, (part.start + part.rows) * INPUTS);
      const right = rotated.slice(start * INPUTS, (start + RANK) * INPUTS);
      const want = matmulNN(Float64Array.from(bs[i].after), right, part.rows, INPUTS, RANK)
        .map((v) => C * v);
      const got = share(now).map((v, at) => v - share(first)[at]);
      const drift = relativeError(share(asked), want);
      const arrived = dot(got, 0, want, 0, want.length) / dot(want, 0, want, 0, want.length);
      assert(
        drift < (type === "e4m3" ? 0.04 : 0.01),
        `${label}: what was asked is off by ${drift}`,
      );
      // Rounding at random is right on average: within five deviations of the mean.
      const deviation = relativeError(got, want) / Math.sqrt(got.length);
      assertAlmostEquals(arrived, 1, 5 * deviation, label);
      assert(5 * deviation < 0.4, `${label}: noise is ${deviation}`);
    }
    built.free();
  }
});

Deno.test("in a network the gradients of A and B agree on what growing both would do", () =>
  withFolder(async (folder) => {
    // ⟨A, dA⟩ = ⟨B, dB⟩ = c · tr(Bᵀ·Gᵀ·x·Aᵀ) for every part, if each layer gets its own x and G.
    await writeTinyModel(folder);
    const asUsual = device.tuning;
    const ids = Array.from({ length: 37 }, (_, i) => 3 + (i * i * 37) % 250);
    for (const [format, rotation] of [["int8", true], ["int8", false], ["fp8", false]] as const) {
      // The widest gradient in f16 or not; with that also everything computed once more.
      for (const checkpointing of [false, true]) {
        const f16Storage = { activations: checkpointing, gradients: checkpointing };
        device.tuning = { ...asUsual, f16Storage };
        await using _ = expectAllFreed();
        using model = await Model.load(folder, { device });
        const method = falqon({
          rank: RANK,
          format,
          rotation,
          updateRule: "stochastic",
          trainA: true,
        });
        const network = await model.adapt(method, { random: randomGenerator(1), gradients: true });
        network.reserve({ tokens: ids.length, training: true, checkpointing });
        writeTokens(device, network.tokens, sequenceArrays(ids, ids));
        const { list } = network.parameters;
        for (const [i, { name, rows, cols, value, gradient }] of list.entries()) {
          if (!name.endsWith("_B")) continue;
          const b = randomValues(rows * cols, i, 0.02);
          device.writeMatrix(value, b);
          device.writeMatrix(gradient, b); // from zero
        }
        using state = new StepState(device, { beta1: 0, beta2: 0 });
        state.begin({ step: 1, learningRate: 0, targetCount: ids.length - 1 });
        await submitOnce(device, (program) => {
          network.layers.update!(program, state);
          program.clear(network.parameters.gradients[0]);
          network.recordTraining(program, ids.length, state);
        });
        const views = list.flatMap(({ value, gradient }) => [value, gradient]);
        const stored = (await device.readAll(views)).map((bytes) => new Float32Array(bytes));
        const along = (name: string) => {
          const at = 2 * list.findIndex((parameter) => parameter.name === name);
          const [v, g] = [stored[at], stored[at + 1]].map((values) => Float64Array.from(values));
          return dot(v, 0, g, 0, v.length);
        };
        const [ofA, ofB]: number[][] = [[], []];
        for (const { spec } of network.linears()) {
          ofA.push(along(`${spec.name}.falqon_A`));
          const ofParts = spec.parts.map(({ module }) => along(`${module}.falqon_B`));
          ofB.push(ofParts.reduce((sum, v) => sum + v));
        }
        const error = relativeError(ofA, ofB);
        assert(error < (format === "int8" ? 0.03 : 0.08), `${format} ${rotation}: ${error}`);
      }
    }
    device.tuning = asUsual;
  }));
