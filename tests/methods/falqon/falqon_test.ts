import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError } from "../../../src/errors.ts";
import { type Device, requestDevice } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { F16_MATRIX, supportsMatrix } from "../../../src/gpu/subgroup_matrix.ts";
import { falqon } from "../../../src/methods/falqon/falqon.ts";
import type { FalqonLayers } from "../../../src/methods/falqon/layers.ts";
import type { FalqonOptions } from "../../../src/methods/falqon/settings.ts";
import { meldedAdapter, randomAdapter } from "../../../src/methods/falqon/adapter_init.ts";
import type { FalqonUpdate } from "../../../src/methods/falqon/update.ts";
import type { FalqonLinear } from "../../../src/methods/falqon/linear.ts";
import type { LinearSpec } from "../../../src/layers/linear_spec.ts";
import { layoutOf, type Matrix, unpitched } from "../../../src/gpu/buffers.ts";
import { tensorKey } from "../../../src/kernels/falqon/rounding.ts";
import { drawKey } from "../../../src/numerics/random_key.ts";
import { CODE_FORMATS, type CodeFormat, formatOf } from "../../../src/numerics/formats.ts";
import { decodeCodes } from "../../oracle/codes.ts";
import { Parameters } from "../../../src/layers/parameters.ts";
import { relativeError } from "../../oracle/compare.ts";
import {
  type CodedWeight,
  updateAccumulate,
  updatePaper,
  updateRequantize,
  type UpdateStatistics,
  updateStochastic,
} from "../../oracle/falqon_update.ts";
import type { RoundingStream } from "../../oracle/falqon_rounding.ts";
import { E4M3, E5M2, type Fp8Format } from "../../../src/numerics/fp8.ts";
import { rotateValues } from "../../../src/numerics/hadamard.ts";
import { roundedToInt8 } from "../../oracle/int8_rounding.ts";
import { matmulNN, matmulNT, matmulTN } from "../../oracle/matmul.ts";
import { dequantize, quantize } from "../../oracle/quantize.ts";
import { orthonormalizeRows } from "../../../src/numerics/linear_algebra.ts";
import { truncatedSvd } from "../../oracle/svd.ts";
import { device } from "../../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { fromPanels } from "../../support/panels.ts";
import { randomWeights } from "../../support/linear_weights.ts";
import { randomGenerator, randomValues } from "../../support/random.ts";

/** Two parts of odd sizes, rank not a multiple of 4 nor of 16. */
const INPUTS = 44;
const RANK = 5;
const spec: LinearSpec = {
  name: "layers.0.pair",
  inFeatures: INPUTS,
  width: 64,
  parts: [
    { module: "first.q_proj", kind: "q_proj", rows: 37, start: 0 },
    { module: "second.k_proj", kind: "k_proj", rows: 7, start: 48 },
  ],
};

const { source } = randomWeights(spec);

/** Counts the steps of all tests: stochastic rounding draws other numbers in each. */
const state = new StepState(device, { beta1: 0, beta2: 0 });
let steps = 0;
function beginStep(): number {
  state.begin({ step: ++steps, learningRate: 0, targetCount: 1 });
  return steps;
}

/** A merged linear on the GPU, with its parameters. */
async function build(device: Device, options: FalqonOptions) {
  const parameters = new Parameters(device);
  const method = falqon({ rank: RANK, alpha: 10, ...options });
  const layers = method.build({
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
  return { parameters, layers, linear };
}

/** The bytes of the merged weight by rows, padding included. */
async function readBytes(device: Device, { weight }: FalqonLinear): Promise<Uint8Array> {
  return bytesOf(weight, await device.read(weight));
}

function bytesOf(weight: Matrix, stored: ArrayBuffer): Uint8Array {
  const bytes = new Uint8Array(stored);
  return layoutOf(weight.type) === "panels" ? fromPanels(bytes, weight) : bytes;
}

/** A part's codes, among the bytes of the merged weight: those of W, then of A. */
function codesOfPart(linear: FalqonLinear, bytes: Uint8Array, index: number) {
  const { pitch } = linear.weight;
  const rows = rowsOfPart(linear, index);
  const codes = new Uint8Array(rows.length * INPUTS);
  rows.forEach((r, i) => codes.set(bytes.subarray(r * pitch, r * pitch + INPUTS), i * INPUTS));
  return codes;
}

function rowsOfPart(linear: FalqonLinear, index: number): number[] {
  const { part, start } = linear.layout.parts[index];
  return [
    ...Array.from({ length: part.rows }, (_, i) => part.start + i),
    ...Array.from({ length: RANK }, (_, j) => spec.width + start + j),
  ];
}

/** The parts' weights as the reference has them, from the bytes of the merged weight. */
async function readParts(
  device: Device,
  linear: FalqonLinear,
  bytes: Uint8Array,
): Promise<CodedWeight[]> {
  const all = new Float32Array(await device.read(linear.scales));
  return linear.layout.parts.map(({ part }, i) => ({
    codes: codesOfPart(linear, bytes, i),
    scales: Float32Array.from(rowsOfPart(linear, i), (r) => all[r]),
    format: { name: linear.weight.type },
    outputs: part.rows,
    inputs: INPUTS,
    rank: RANK,
  }));
}

for (
  const [format, scaling, steps] of [
    ["fp8", "row", 20],
    ["fp8", "tensor", 6],
    ["int8", "row", 12],
    ["int8", "tensor", 6],
  ] as const
) {
  Deno.test(`every update rule of FALQON in ${format} with ${scaling} scales is bit-equal to its CPU transcription over ${steps} steps`, async () => {
    const cases: [FalqonOptions, (w: CodedWeight, s: RuleState) => UpdateStatistics][] = [
      [{ updateRule: "paper", topK: 3 }, (w, s) => updatePaper(w, s.b, 3)],
      [{ updateRule: "accumulate", topK: 4 }, (w, s) => updateAccumulate(w, s.b, 4)],
      [{ updateRule: "requantize" }, (w, s) => updateRequantize(w, s.reference, s.b, s.flushed, 2)],
      [
        { updateRule: "requantize", topK: 2 },
        (w, s) => updateRequantize(w, s.reference, s.b, s.flushed, 2, 2),
      ],
      [
        { updateRule: "requantize", rounding: "stochastic" },
        (w, s) => updateRequantize(w, s.reference, s.b, s.flushed, 2, Infinity, s.rounding),
      ],
      [{ updateRule: "stochastic" }, (w, s) => updateStochastic(w, s.b, s.change, 2, s.rounding)],
    ];
    for (const [options, rule] of cases) {
      const label = JSON.stringify(options);
      const { parameters, layers, linear } = await build(device, {
        ...options,
        format,
        scaleGranularity: scaling,
      });
      for (const update of linear.updates) update.count();
      using program = new Program(device);
      layers.update(program, state);
      await program.prepare();
      const before = await readBytes(device, linear);
      const parts = await readParts(device, linear, before);
      const runKey = drawKey(randomGenerator(7)); // the first numbers that the method drew
      const states = parts.map(({ codes, outputs }, i) => ({
        rounding: { key: tensorKey(runKey, i), step: 0 },
        reference: codes.slice(0, outputs * INPUTS),
        b: new Float32Array(outputs * RANK),
        change: new Float32Array(),
        flushed: new Float32Array(outputs * RANK),
      }));
      let changed = 0;
      for (let step = 0; step < steps; step++) {
        const number = beginStep();
        for (const [i, update] of linear.updates.entries()) {
          const { b, rounding } = states[i];
          rounding.step = number;
          const before = b.slice();
          // What an optimizer would add; large enough at times to saturate codes.
          const delta = randomValues(b.length, 100 + 2 * step + i, step % 5 === 0 ? 0.4 : 0.02);
          b.forEach((value, at) => b[at] = Math.fround(value + delta[at]));
          states[i].change = b.map((value, at) => value - before[at]);
          device.writeMatrix(update.b.value, Float32Array.from(b));
          device.writeMatrix(update.b.gradient, states[i].change);
        }
        program.run();
        const bs = linear.updates.map((update) => update.b.value);
        const [stored, ...values] = await device.readAll([linear.weight, ...bs]);
        const bytes = bytesOf(linear.weight, stored);
        for (const [i, update] of linear.updates.entries()) {
          const want = rule(parts[i], states[i]);
          const got = codesOfPart(linear, bytes, i);
          assertEquals(got, parts[i].codes, `${label}: step ${step}, part ${i}`);
          if (step % 5 === 2) await checkCounts(update, want, label);
          const { rows, cols, pitch } = bs[i];
          const b = unpitched(new Float32Array(values[i]), rows, cols, pitch);
          assert(relativeError(b, states[i].b) < 1e-4, `${label}: B of step ${step}`);
          states[i].b.set(b); // accumulate's residue differs by rounding
          changed += want.codesChanged;
        }
      }
      assert(changed > 0, label);
      // Nothing outside the parts' rows was touched, A least of all.
      const after = await readBytes(device, linear);
      const { pitch } = linear.weight;
      const owned = (row: number) =>
        spec.parts.some(({ start, rows }) => row >= start && row < start + rows);
      for (let row = 0; row < linear.weight.rows; row++) {
        if (owned(row)) continue;
        const range = [row * pitch, (row + 1) * pitch] as const;
        assertEquals(after.subarray(...range), before.subarray(...range));
      }
      linear.free();
      layers.free();
      parameters[Symbol.dispose]();
    }
  });
}

async function checkCounts(update: FalqonUpdate, want: UpdateStatistics, label: string) {
  const counts = await update.counts();
  assertEquals([counts.codesChanged, counts.clamps], [want.codesChanged, want.clamps], label);
  assertAlmostEquals(counts.intendedSquared / want.intendedSquared, 1, 1e-4, label);
  const off = Math.abs(counts.realizedDotIntended - want.realizedDotIntended);
  assert(off <= 1e-4 * want.intendedSquared, `${label}: ⟨R, U⟩ is off by ${off}`);
}

interface RuleState {
  rounding: RoundingStream;
  reference: Uint8Array;
  b: Float32Array;
  change: Float32Array<ArrayBuffer>;
  flushed: Float32Array;
}

/** The whole merged weight as plain numbers [width + adapters, inputs], by codes and by value. */
async function readMerged(device: Device, linear: FalqonLinear) {
  const { rows, pitch } = linear.weight;
  const padded = await readBytes(device, linear);
  const table = linear.shared.formats.input.codec!.values();
  const units = Float64Array.from(
    { length: rows * INPUTS },
    (_, i) => table[padded[Math.floor(i / INPUTS) * pitch + i % INPUTS]],
  );
  const scales = new Float32Array(await device.read(linear.scales)).subarray(0, rows);
  return { rows, scales, units, values: units.map((v, i) => v / scales[Math.floor(i / INPUTS)]) };
}

/** What the operands of a layer's products are rounded to. */
const ROUNDINGS: Record<CodeFormat, Record<"input" | "gradient", typeof roundedToInt8>> = {
  fp8: { input: roundedToFp8(E4M3), gradient: roundedToFp8(E5M2) },
  int8: { input: roundedToInt8, gradient: roundedToInt8 },
};

function roundedToFp8(format: Fp8Format): typeof roundedToInt8 {
  return (x, columns, granularity = "row") =>
    Float64Array.from(dequantize(quantize(x, columns, format, granularity)));
}

/** Columns `start` to `start + count` of a matrix of `width` columns. */
function columns(values: ArrayLike<number>, width: number, start: number, count: number) {
  return Float64Array.from(
    { length: values.length / width * count },
    (_, i) => values[Math.floor(i / count) * width + start + i % count],
  );
}

Deno.test("forward, dX and dB of FALQON equal their formulas in f64, rotated or not, pending rows included", async () => {
  const tokens = 9;
  const factor = 2; // alpha / rank
  const x = uploadMatrix(device, randomValues(tokens * INPUTS, 21), tokens, INPUTS);
  const inPart = (column: number) =>
    spec.parts.some(({ start, rows }) => column >= start && column < start + rows);
  /** Random values of the layer's width, zero between the parts as all activations are. */
  const random = (seed: number, scale: number) => {
    const values = randomValues(tokens * spec.width, seed, scale)
      .map((v, i) => inPart(i % spec.width) ? v : 0);
    return uploadMatrix(device, values, tokens, spec.width);
  };
  const dy = random(22, 0.01);
  const residual = random(23, 1);
  const cases: FalqonOptions[] = [
    { updateRule: "requantize" },
    { topK: 2 },
    { topK: 2, scaleGranularity: "tensor", rotation: true },
    { format: "int8", topK: 2 },
    {
      format: "int8",
      scaleGranularity: "tensor",
      rotation: false,
      updateRule: "requantize",
    },
  ];
  for (const options of cases) {
    const { parameters, layers, linear } = await build(device, options);
    const { format = "fp8", scaleGranularity: scaling = "row" } = options;
    assertEquals(linear.rotation, options.rotation ?? format === "int8" ? 4 : 1);
    for (const update of linear.updates) {
      device.writeMatrix(update.b.value, randomValues(update.b.rows * RANK, 50, 0.05));
    }
    await runOnce(device, (program) => layers.update(program, state));
    const output = poisoned(device, tokens, spec.width);
    const dInput = poisoned(device, tokens, INPUTS);
    await runOnce(device, (program) => {
      linear.forward(program, { input: x.matrix, codes: null, output, addend: residual.matrix });
      linear.backward(program, { dOutput: dy.matrix, codes: null, input: null, dInput });
    });

    const merged = await readMerged(device, linear);
    const rotated = rotateValues(Float32Array.from(x.exact), linear.rotation);
    const xq = ROUNDINGS[format].input(rotated, INPUTS, scaling);
    const product = matmulNT(xq, merged.values, tokens, merged.rows, INPUTS);
    const wantOutput = columns(product, merged.rows, 0, spec.width)
      .map((v, i) => v + residual.exact[i]);
    const gradients = new Float64Array(tokens * merged.rows);
    for (let t = 0; t < tokens; t++) {
      gradients.set(dy.exact.subarray(t * spec.width, (t + 1) * spec.width), t * merged.rows);
    }
    for (const [i, update] of linear.updates.entries()) {
      const { start, rows } = spec.parts[i];
      const low = columns(product, merged.rows, spec.width + linear.layout.parts[i].start, RANK);
      const g = columns(dy.exact, spec.width, start, rows);
      const wantB = matmulTN(g, low, rows, RANK, tokens).map((v) => factor * v);
      const error = relativeError(await device.readMatrix(update.b.gradient), wantB);
      const tolerance = supportsMatrix(device, F16_MATRIX) ? 5e-4 : 1e-5; // tensor cores take f16
      assert(error < tolerance, `dB: ${error}`);
      if (!update.pendingB) continue;
      const delta = Float64Array.from(await device.readMatrix(update.pendingB));
      assert(delta.some((v) => v !== 0), "some rows are pending");
      const beside = matmulNT(low, delta, tokens, rows, RANK);
      const through = matmulNN(g, delta, tokens, RANK, rows);
      for (let t = 0; t < tokens; t++) {
        for (let n = 0; n < rows; n++) {
          wantOutput[t * spec.width + start + n] += factor * beside[t * rows + n];
        }
        for (let j = 0; j < RANK; j++) {
          const column = spec.width + linear.layout.parts[i].start + j;
          gradients[t * merged.rows + column] = factor * through[t * RANK + j];
        }
      }
    }
    assert(relativeError(await device.readMatrix(output), wantOutput) < 1e-5, "output");
    const used = options.topK ? merged.rows : spec.width;
    assertEquals(linear.gradientWidth, used);
    const folded = Float32Array.from(
      columns(gradients, merged.rows, 0, used),
      (v, i) => Math.fround(v) / merged.scales[i % used],
    );
    const gq = ROUNDINGS[format].gradient(folded, used, scaling);
    const wantInput = matmulNN(gq, merged.units.subarray(0, used * INPUTS), tokens, INPUTS, used);
    const error = relativeError(await device.readMatrix(dInput), wantInput);
    // With pending rows the gradient that is quantised is itself a rounded product: a tie may fall the other way.
    assert(error < (options.topK ? 1e-2 : 1e-5), `dX, rotated as its input: ${error}`);
    linear.free();
    layers.free();
    parameters[Symbol.dispose]();
  }
});

Deno.test("scales of W leave room to grow under stochastic, those of A do not", async () => {
  for (const format of ["fp8", "int8"] as const) {
    const scales = async (options: FalqonOptions) => {
      const { linear } = await build(device, { format, init: "kaiming", ...options });
      const all = new Float32Array(await device.read(linear.scales));
      const parts = await readParts(device, linear, await readBytes(device, linear));
      const codesOfA = parts.flatMap(({ codes, outputs, inputs }) => [
        ...decodeCodes(formatOf(linear.weight.type), codes.slice(outputs * inputs)),
      ]);
      return {
        w: spec.parts.map(({ start }) => all[start]),
        a: Math.max(...codesOfA.map(Math.abs)),
      };
    };
    const plain = await scales({ updateRule: "requantize" });
    const { max } = format === "fp8" ? E4M3 : { max: 127 };
    for (const [options, headroom] of [[{}, 1.125], [{ headroom: 1.5 }, 1.5]] as const) {
      const { w, a } = await scales({ updateRule: "stochastic", ...options });
      w.forEach((scale, i) => assertAlmostEquals(plain.w[i] / scale, headroom, 1e-6));
      assertEquals(a, max);
    }
  }
});

Deno.test("writing all pending rows makes the codes the whole model", async () => {
  for (const format of CODE_FORMATS) {
    const [few, all] = [
      await build(device, { format, topK: 2 }),
      await build(device, { format, updateRule: "requantize" }),
    ];
    for (const { linear, layers } of [few, all]) {
      for (const update of linear.updates) {
        device.writeMatrix(update.b.value, randomValues(update.b.rows * RANK, 60, 0.05));
      }
      await runOnce(device, (program) => layers.update(program, state));
    }
    await runOnce(device, (program) => few.layers.flush(program));
    for (const index of spec.parts.keys()) {
      const [a, b] = [await few.linear.stored(index), await all.linear.stored(index)];
      assertEquals(a, b, format);
    }
    for (const { pendingB } of few.linear.updates) {
      assert((await device.readMatrix(pendingB!)).every((v) => v === 0));
    }
  }
});

Deno.test("the melded adapter spans the leading directions of the error", async () => {
  const [rows, cols, rank] = [60, 41, 6];
  // Decaying directions, so that the leading ones are well defined.
  const left = randomValues(rows * 30, 1);
  const right = randomValues(30 * cols, 2).map((v, i) => v * 0.7 ** Math.floor(i / cols));
  const exact = matmulNN(Float64Array.from(left), Float64Array.from(right), rows, cols, 30);
  const error = uploadMatrix(device, Float32Array.from(exact), rows, cols);
  const a = await meldedAdapter(device, error.matrix, rank, randomGenerator(3));
  const { s, v } = truncatedSvd(error.exact, rows, cols, rank, randomGenerator(4));
  const want = v.map((x, i) => x * Math.sqrt(s[Math.floor(i / cols)]));
  // Singular vectors are unique up to sign only; AᵀA is unique.
  const square = (m: Float64Array) => matmulTN(m, m, cols, cols, rank);
  assert(relativeError(square(Float64Array.from(a!)), square(want)) < 1e-3);
  const zero = device.matrix(rows, cols, "f32", "no error");
  assertEquals(await meldedAdapter(device, zero, rank, randomGenerator(5)), null);
});

for (const format of CODE_FORMATS) {
  Deno.test(`an adapter begun from gradients in ${format} spans the gradient of the weight that it saw`, async () => {
    const { layers, linear } = await build(device, { format, init: "gradient" });
    // Two passes of two tokens: the gradient Gᵀ·x of each part has rank 4, less than the adapter's 5.
    await layers.gradientInit!.begin(2, randomGenerator(9));
    assert(linear.backwardReadsInput && linear.backwardTakesF16Input);
    const total = spec.parts.map(({ rows }) => new Float64Array(rows * INPUTS));
    for (const [seed, type] of [[70, "f32"], [80, "f16"]] as const) {
      const x = uploadMatrix(device, randomValues(2 * INPUTS, seed), 2, INPUTS, type);
      const dy = uploadMatrix(device, randomValues(2 * spec.width, seed + 1), 2, spec.width);
      const output = poisoned(device, 2, spec.width);
      await runOnce(device, (program) => {
        linear.forward(program, { input: x.matrix, codes: null, output });
        linear.backward(program, {
          dOutput: dy.matrix,
          codes: null,
          input: x.matrix,
          dInput: null,
        });
      });
      spec.parts.forEach(({ start, rows }, i) => {
        const g = columns(dy.exact, spec.width, start, rows);
        const gradient = matmulTN(g, x.exact, rows, INPUTS, 2);
        total[i].forEach((v, at) => total[i][at] = v + gradient[at]);
      });
    }
    await layers.gradientInit!.end();
    assert(!linear.backwardReadsInput);
    const { values } = await readMerged(device, linear);
    for (const [i, { start }] of linear.layout.parts.entries()) {
      const first = (spec.width + start) * INPUTS;
      const stored = Float32Array.from(values.subarray(first, first + RANK * INPUTS));
      const a = Float64Array.from(rotateValues(stored, linear.rotation)); // rotated back
      // What is left of the gradient's rows beside the rows of A, which are rounded to codes.
      const basis = a.slice();
      orthonormalizeRows(basis, RANK);
      const { rows } = spec.parts[i];
      const inside = matmulNN(
        matmulNT(total[i], basis, rows, RANK, INPUTS),
        basis,
        rows,
        INPUTS,
        RANK,
      );
      assert(relativeError(inside, total[i]) < 0.1, "A misses a part of the gradient");
      const norm = Math.sqrt(a.subarray(0, INPUTS).reduce((sum, v) => sum + v * v, 0));
      assertAlmostEquals(norm, 1 / Math.sqrt(3), 0.05);
    }
  });
}

Deno.test("random adapters have rows of norm 1/√3, orthogonal on request", () => {
  const a = Float64Array.from(randomAdapter("random-orthogonal", 50, 40, 8, randomGenerator(1)));
  const gram = matmulNT(a, a, 8, 8, 40);
  gram.forEach((v, i) => assertAlmostEquals(v, i % 9 === 0 ? 1 / 3 : 0, 1e-6));
  const b = Float64Array.from(randomAdapter("kaiming", 500, 400, 8, randomGenerator(1)));
  assertAlmostEquals(matmulNT(b, b, 8, 8, 400)[0], 1 / 3, 0.05);
});

Deno.test("embedding and head are f16 where the GPU has it, or as asked, and norms are f32", async () => {
  for (const f16 of [true, false]) {
    using device = await requestDevice({ f16 });
    for (const denseType of [undefined, "f16", "f32"] as const) {
      const { layers } = await build(device, { denseType });
      const weights = [...layers.table("embedding", 300, 8).slabs, layers.dense("norm", 8)];
      const types = weights.map(({ value }) => value().type);
      assertEquals(types, [denseType ?? (device.hasF16 ? "f16" : "f32"), "f32"]);
    }
  }
});

Deno.test("options of FALQON out of range are refused with the value, the wish and the remedy", async () => {
  const refused: [FalqonOptions, string][] = [
    [{ scaling: "row" } as FalqonOptions, "it is called scaleGranularity now"],
    [{ rank: 0 }, "Cannot use rank 0: give a whole number from 1 to 1024"],
    [{ alpha: -1 }, "Cannot use alpha -1"],
    [{ topK: 0 }, "Cannot use topK 0: give a whole number of at least 1"],
    [{ updateRule: "paper", pending: true }, "Cannot use pending with the update rule paper"],
    [{ updateRule: "stochastic", topK: 3 }, "Cannot use topK 3 with stochastic rounding"],
    [{ rounding: "stochastic", topK: 3 }, "Cannot use topK 3 with stochastic rounding"],
    [
      { updateRule: "stochastic", pending: true },
      "Cannot use pending with the update rule stochastic",
    ],
    [
      { updateRule: "stochastic", rounding: "nearest" },
      "Cannot round to nearest with the update rule stochastic",
    ],
    [
      { updateRule: "paper", rounding: "stochastic" },
      "Cannot round stochastically with the update rule paper",
    ],
    [
      { trainA: true, updateRule: "requantize" },
      "Cannot use trainA with the update rule requantize, which writes B",
    ],
    [{ headroom: 0.5 }, "Cannot use headroom 0.5: give a finite number of at least 1"],
    [{ targetModules: [""] }, 'Cannot use "" in targetModules: give names of linear layers'],
    [{ denseType: "e4m3" as "f16" }, 'Cannot use denseType "e4m3": give one of f16, f32'],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => falqon(options), OptionError, message);
  }
  await assertRejects(
    () => build(device, { rank: 20 }),
    OptionError,
    "Cannot adapt a weight of 7×44 with rank 20",
  );
  await assertRejects(
    () => build(device, { targetModules: ["q_proj", "w_proj"] }),
    OptionError,
    'Cannot adapt "w_proj" as the linear layers of this model are q_proj, k_proj: choose from these, or all-linear',
  );
});
