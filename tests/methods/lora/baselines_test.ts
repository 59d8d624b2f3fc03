import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { Dataset, Model, OptionError, readPeftAdapter, Trainer } from "../../../mod.ts";
import { FORMATS } from "../../../src/numerics/formats.ts";
import { E4M3, E5M2 } from "../../../src/numerics/fp8.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { F16_MATRIX, supportsMatrix } from "../../../src/gpu/subgroup_matrix.ts";
import { quantize as recordQuantize } from "../../../src/kernels/rows/quantize.ts";
import { frozenFp8, frozenInt8 } from "../../../src/methods/falqon/falqon.ts";
import { frozen } from "../../../src/methods/frozen.ts";
import { fp8Lora, int8Lora, lora, qlora, torchaoStyle } from "../../../src/methods/lora/lora.ts";
import type { AdapterOptions } from "../../../src/methods/lora/settings.ts";
import type { LoraLayers } from "../../../src/methods/lora/layers.ts";
import type { LoraLinear } from "../../../src/methods/lora/linear.ts";
import type { Method } from "../../../src/layers/method.ts";
import type { LinearSpec } from "../../../src/layers/linear_spec.ts";
import type { WeightSource } from "../../../src/layers/weight_source.ts";
import { rotateValues, rotationBlock } from "../../../src/numerics/hadamard.ts";
import { dequantizeNf4, quantizeNf4 } from "../../../src/numerics/nf4.ts";
import { Parameters } from "../../../src/layers/parameters.ts";
import { relativeError } from "../../oracle/compare.ts";
import { int8Scales, roundedToInt8 } from "../../oracle/int8_rounding.ts";
import { matmulNN, matmulNT, matmulTN } from "../../oracle/matmul.ts";
import { dequantize, quantize } from "../../oracle/quantize.ts";
import { device, expectAllFreed } from "../../support/device.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomWeights } from "../../support/linear_weights.ts";
import { withFolder } from "../../support/io.ts";
import { randomGenerator, randomValues } from "../../support/random.ts";
import { writeTinyModel } from "../../support/tiny_model.ts";

/** Two parts of odd sizes and one without an adapter; a rank that is not a multiple of 4 nor of 16. */
const INPUTS = 44;
const RANK = 5;
const ALPHA = 10;
const ROWS = 13;
const spec: LinearSpec = {
  name: "layers.0.qkv",
  inFeatures: INPUTS,
  width: 80,
  parts: [
    { module: "first.q_proj", kind: "q_proj", rows: 37, start: 0 },
    { module: "second.k_proj", kind: "k_proj", rows: 7, start: 48 },
    { module: "third.v_proj", kind: "v_proj", rows: 9, start: 64 },
  ],
};
const ADAPTED = 2;

const { weights, source } = randomWeights(spec);

/** A row-wise rounding, in f64. */
type Rounding = (values: ArrayLike<number>, cols: number) => Float64Array;

const exact: Rounding = (values) => Float64Array.from(values);

/** Each row times a power of two, rounded to f16, and back. */
const half: Rounding = (values, cols) => {
  const out = Float64Array.from(values);
  for (let first = 0; first < out.length; first += cols) {
    const row = out.subarray(first, first + cols);
    const amax = row.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const scale = amax > 0 ? 2 ** (4 - Math.floor(Math.log2(amax))) : 1;
    row.set(Float64Array.from(new Float16Array(row.map((v) => v * scale)), (v) => v / scale));
  }
  return out;
};

const e4m3: Rounding = (values, cols) =>
  dequantize(quantize(Float32Array.from(values), cols, E4M3, "row"));
const e5m2: Rounding = (values, cols) =>
  dequantize(quantize(Float32Array.from(values), cols, E5M2, "row"));

const int8: Rounding = (values, cols) => roundedToInt8(Float32Array.from(values), cols);

/** The same of rows that are rotated, and rotated back. */
const rotatedInt8: Rounding = (values, cols) =>
  Float64Array.from(rotated(int8(rotated(values, cols), cols), cols));

const rotated = (values: ArrayLike<number>, cols: number) =>
  rotateValues(Float32Array.from(values), rotationBlock(cols));

/** The scales that rotated int8 gives to the rows of a matrix. */
const rotatedScales = (values: ArrayLike<number>, cols: number) =>
  int8Scales(rotated(values, cols), cols);

/** The rounding of a gradient whose columns are divided by factors first, for a product that runs over these columns. */
const folded = (rounding: Rounding, factors: ArrayLike<number>): Rounding => (values, cols) => {
  const divided = Float32Array.from(values, (v, i) => Math.fround(v) / factors[i % cols]);
  return rounding(divided, cols).map((v, i) => v * factors[i % cols]);
};

/** The scales that e4m3 gives to the rows of a matrix. */
const rowScales = (values: ArrayLike<number>, cols: number) =>
  quantize(Float32Array.from(values), cols, E4M3, "row").scales;

/** What a method does to the operands of a layer. */
interface Emulation {
  method: (options: AdapterOptions) => Method;
  /** W as products see it. */
  weight: Rounding;
  /** x and G for the product with W; `scales` are those of W's rows. */
  input: Rounding;
  gradient: (scales: ArrayLike<number>) => Rounding;
  /** Default: those of e4m3. */
  scalesOf?: (values: ArrayLike<number>, cols: number) => ArrayLike<number>;
  /** The same for the adapter: x, x·Aᵀ; G; the gradient of x·Aᵀ, given the scales of A's rows; A; B. */
  adapterInput: Rounding;
  adapterGradient: Rounding;
  lowGradient: (scales: ArrayLike<number>) => Rounding;
  a: Rounding;
  b: Rounding;
  /** Bound of the relative Frobenius error: f32 sums, or here and there a code that they decide otherwise. */
  tolerance: number;
  forwardReadsF32: boolean;
}

const plainHalf: Rounding = (values) => Float64Array.from(Float16Array.from(values));
const always = (rounding: Rounding) => () => rounding;

const f16Adapter = {
  adapterInput: half,
  adapterGradient: half,
  lowGradient: always(half),
  a: plainHalf,
  b: plainHalf,
};

const EMULATIONS: Record<string, Emulation> = {
  "lora f32": {
    method: (options) => lora(options),
    weight: exact,
    input: exact,
    gradient: always(exact),
    adapterInput: exact,
    adapterGradient: exact,
    lowGradient: always(exact),
    a: exact,
    b: exact,
    tolerance: 1e-6,
    forwardReadsF32: true,
  },
  "lora f16": {
    method: (options) => lora({ ...options, base: "f16" }),
    weight: plainHalf,
    input: half,
    gradient: always(half),
    ...f16Adapter,
    tolerance: 1e-5,
    forwardReadsF32: false,
  },
  "fp8-lora": {
    method: fp8Lora,
    weight: e4m3,
    input: e4m3,
    gradient: (scales) => folded(e5m2, scales),
    ...f16Adapter,
    tolerance: 1e-5,
    forwardReadsF32: true,
  },
  "int8-lora": {
    method: int8Lora,
    weight: rotatedInt8,
    input: rotatedInt8,
    gradient: (scales) => folded(int8, scales),
    scalesOf: rotatedScales,
    ...f16Adapter,
    tolerance: 1e-5,
    forwardReadsF32: true,
  },
  "torchao-style": {
    method: torchaoStyle,
    weight: e4m3,
    input: e4m3,
    gradient: (scales) => folded(e5m2, scales),
    adapterInput: e4m3,
    adapterGradient: e5m2,
    lowGradient: (scales) => folded(e5m2, scales),
    a: e4m3,
    b: (values) => dequantize(quantize(Float32Array.from(values), RANK, E4M3, "tensor")),
    tolerance: 2e-3,
    forwardReadsF32: false,
  },
  "qlora": {
    method: qlora,
    weight: (values) => plainHalf(dequantizeNf4(quantizeNf4(Float32Array.from(values))), INPUTS),
    input: half,
    gradient: always(half),
    ...f16Adapter,
    tolerance: 1e-5,
    forwardReadsF32: false,
  },
};

/** A layer with adapters on its first two parts, B not zero. */
async function build(device: Device, method: Method) {
  const parameters = new Parameters(device);
  const random = randomGenerator(7);
  const layers = method.build({
    device,
    linears: [spec],
    parameters,
    random,
    restoring: false,
  }) as LoraLayers;
  const linear = layers.linear(spec) as LoraLinear;
  parameters.allocate({ gradients: true, moments: false });
  layers.reserve(16);
  linear.reserve(16);
  await linear.load(source);
  const [first, ...others] = parameters.list;
  // A's rows between the parts stay zero.
  const a = new Float32Array(first.rows * INPUTS);
  for (let part = 0; part < ADAPTED; part++) {
    a.set(randomValues(RANK * INPUTS, 20 + part, 0.2), 16 * part * INPUTS);
  }
  device.writeMatrix(first.value, a);
  const b = others.map(({ rows, value }, i) => {
    const values = randomValues(rows * RANK, 30 + i, 0.05);
    device.writeMatrix(value, values);
    return values;
  });
  await layers.refresh();
  return { layers, linear, a, b, gradients: parameters.list.map(({ gradient }) => gradient) };
}

/** Columns `first` to `first + count` of packed rows. */
function columns(values: ArrayLike<number>, cols: number, first: number, count: number) {
  const rows = values.length / cols;
  return Float64Array.from(
    { length: rows * count },
    (_, i) => values[Math.floor(i / count) * cols + first + i % count],
  );
}

/** What a layer computes, part by part, in f64 from rounded operands. */
function emulate(
  e: Emulation,
  { a, b, x, g }: {
    a: Float32Array;
    b: Float32Array[];
    x: Float32Array;
    g: Float32Array;
  },
) {
  const c = ALPHA / RANK;
  const merged = new Float32Array(spec.width * INPUTS);
  const w = new Float64Array(spec.width * INPUTS);
  spec.parts.forEach(({ start }, i) => {
    merged.set(weights[i], start * INPUTS);
    w.set(e.weight(weights[i], INPUTS), start * INPUTS);
  });
  const y = matmulNT(e.input(x, INPUTS), w, ROWS, spec.width, INPUTS);
  const gRounded = e.gradient((e.scalesOf ?? rowScales)(merged, INPUTS))(g, spec.width);
  const dX = matmulNN(gRounded, w, ROWS, INPUTS, spec.width);
  const width = 16 * ADAPTED;
  const aRounded = e.a(a, INPUTS);
  const low = matmulNT(e.adapterInput(x, INPUTS), aRounded, ROWS, width, INPUTS);
  const lowRounded = e.adapterInput(low, width);
  const gAdapter = e.adapterGradient(g, spec.width);
  const dLow = new Float64Array(ROWS * width);
  const dB: Float64Array[] = [];
  for (let i = 0; i < ADAPTED; i++) {
    const { rows, start } = spec.parts[i];
    const bRounded = e.b(b[i], RANK);
    const part = matmulNT(columns(lowRounded, width, 16 * i, RANK), bRounded, ROWS, rows, RANK);
    part.forEach((v, at) => y[Math.floor(at / rows) * spec.width + start + at % rows] += c * v);
    const gPart = columns(g, spec.width, start, rows);
    dB.push(matmulTN(gPart, columns(low, width, 16 * i, RANK), rows, RANK, ROWS).map((v) => c * v));
    const d = matmulNN(columns(gAdapter, spec.width, start, rows), bRounded, ROWS, RANK, rows);
    d.forEach((v, at) => dLow[Math.floor(at / RANK) * width + 16 * i + at % RANK] = c * v);
  }
  const dA = matmulTN(dLow, Float64Array.from(x), width, INPUTS, ROWS);
  const dLowRounded = e.lowGradient(rowScales(a, INPUTS))(dLow, width);
  matmulNN(dLowRounded, aRounded, ROWS, INPUTS, width).forEach((v, i) => dX[i] += v);
  return { y, dX, dA, dB };
}

Deno.test("forward and gradients of every LoRA are those of the rounded operands", async () => {
  const options = { rank: RANK, alpha: ALPHA, targetModules: ["q_proj", "k_proj"] };
  for (const [name, e] of Object.entries(EMULATIONS)) {
    const { layers, linear, a, b, gradients } = await build(device, e.method(options));
    assertEquals(linear.forwardReadsF32, e.forwardReadsF32, name);
    const x = randomValues(ROWS * INPUTS, 40, 3);
    const g = randomValues(ROWS * spec.width, 41, 1e-4);
    // Columns between the parts belong to nothing and are zero.
    g.forEach((_, i) => {
      const column = i % spec.width;
      if (!spec.parts.some(({ start, rows }) => column >= start && column < start + rows)) g[i] = 0;
    });
    const input = uploadMatrix(device, x, ROWS, INPUTS).matrix;
    const dOutput = uploadMatrix(device, g, ROWS, spec.width).matrix;
    const output = poisoned(device, ROWS, spec.width);
    const dInput = poisoned(device, ROWS, INPUTS);
    await runOnce(device, (program) => {
      linear.forward(program, { input, codes: null, output });
      linear.backward(program, { dOutput, codes: null, input, dInput });
    });
    const want = emulate(e, { a, b, x, g });
    const check = (
      got: Float32Array,
      wanted: Float64Array,
      what: string,
      tolerance = e.tolerance,
    ) => {
      const error = relativeError(got, wanted);
      assert(error < tolerance, `${name}, ${what}: ${error}`);
    };
    // Tensor cores take f16 where anything is rounded.
    const ofGradients = supportsMatrix(device, F16_MATRIX) && linear.shared.dxACodes
      ? Math.max(5e-4, e.tolerance)
      : e.tolerance;
    const y = await device.readMatrix(output);
    const dX = await device.readMatrix(dInput);
    check(y, want.y, "output");
    check(dX, want.dX, "gradient of the input");
    check(await device.readMatrix(gradients[0]), want.dA, "gradient of A", ofGradients);
    check(
      await device.readMatrix(gradients[1]),
      want.dB[0],
      "gradient of the first B",
      ofGradients,
    );
    check(
      await device.readMatrix(gradients[2]),
      want.dB[1],
      "gradient of the second B",
      ofGradients,
    );
    assertEquals(await paddingOf(device, dInput), 0, name);

    // The codes of a producer instead of the layer's own: the same bits, and the f32 input is not needed.
    const codes = linear.inputCodes(ROWS);
    const gCodes = linear.gradientCodes(ROWS);
    await runOnce(device, (program) => {
      if (codes) recordQuantize(program, { input, ...codes, granularity: "row" });
      linear.forward(program, { input: e.forwardReadsF32 ? input : null, codes, output });
      if (gCodes) recordQuantize(program, { input: dOutput, ...gCodes, granularity: "row" });
      linear.backward(program, { dOutput, codes: gCodes, input, dInput });
    });
    assertEquals(await device.readMatrix(output), y, name);
    assertEquals(await device.readMatrix(dInput), dX, name);

    // What products see of the weight, with the adapter's f32 values merged in.
    const weight = await linear.readWeight(1);
    const base = e.weight(weights[1], INPUTS);
    const update = matmulNN(
      Float64Array.from(b[1]),
      Float64Array.from(a.subarray(16 * INPUTS, (16 + RANK) * INPUTS)),
      7,
      INPUTS,
      RANK,
    );
    check(weight, base.map((v, i) => v + ALPHA / RANK * update[i]), "merged weight");
    check(await linear.readWeight(2), e.weight(weights[2], INPUTS), "weight without adapter");
    linear.free();
    layers.free();
  }
});

Deno.test("an optimizer's change of A and B reaches what products read", async () => {
  const input = uploadMatrix(device, randomValues(ROWS * INPUTS, 1), ROWS, INPUTS).matrix;
  for (const [name, { method }] of Object.entries(EMULATIONS)) {
    for (const trainA of [true, false]) {
      const parameters = new Parameters(device);
      const layers = method({ rank: RANK, trainA }).build({
        device,
        linears: [spec],
        parameters,
        random: randomGenerator(3),
        restoring: false,
      }) as LoraLayers;
      const linear = layers.linear(spec) as LoraLinear;
      parameters.allocate({ gradients: true, moments: false });
      layers.reserve(16);
      linear.reserve(16);
      await linear.load(source);
      await layers.refresh();
      const run = async () => {
        const output = poisoned(device, ROWS, spec.width);
        await runOnce(device, (program) => linear.forward(program, { input, codes: null, output }));
        return await device.readMatrix(output);
      };
      const untrained = await run(); // B is zero
      const b = parameters.list.find(({ name }) => name === "first.q_proj.lora_B")!;
      device.writeMatrix(b.value, randomValues(b.rows * RANK, 5));
      await runOnce(device, (program) => layers.update(program));
      const trained = await run();
      assert(relativeError(columns(trained, 80, 0, 37), columns(untrained, 80, 0, 37)) > 0.1, name);
      assertEquals(columns(trained, 80, 48, 32), columns(untrained, 80, 48, 32), name);
      assertEquals(linear.backwardReadsInput, trainA);
      assertEquals([...layers.state().keys()], trainA ? [] : ["layers.0.qkv.frozen_A"]);
      linear.free();
      layers.free();
    }
  }
});

Deno.test("an adapter trained on each base is saved, and evaluates as it did", () =>
  withFolder(async (folder) => {
    const modelFolder = join(folder, "model");
    await Deno.mkdir(modelFolder);
    await writeTinyModel(modelFolder);
    const rows = Array.from(
      { length: 24 },
      (_, i) => ({ text: i % 2 ? "ponmlkji" : "abcdefghijklmnop" }),
    );
    for (const [name, { method }] of Object.entries(EMULATIONS)) {
      await using _ = expectAllFreed();
      using model = await Model.load(modelFolder, { device });
      using trainer = await Trainer.create({
        model,
        method: method({ rank: RANK }),
        data: Dataset.from(rows),
        batchSize: 2,
        sequenceLength: 32,
        steps: 10,
        learningRate: 1e-2,
        seed: 1,
      });
      const before = (await trainer.evaluate(Dataset.from(rows))).loss;
      for await (const { loss } of trainer.run()) assert(Number.isFinite(loss), name);
      const after = (await trainer.evaluate(Dataset.from(rows))).loss;
      assert(after < before - 0.3, `${name}: ${before} to ${after}`);
      const greedy = { maxNewTokens: 4, temperature: 0 };
      const ids = await Array.fromAsync(model.generateIds("abcdef", greedy));
      assertEquals(ids.length, 4);

      const saved = join(folder, `adapter ${name}`);
      await trainer.save(saved);
      using other = await Model.load(modelFolder, { device });
      using again = await Trainer.create({
        model: other,
        method: method({ adapter: await readPeftAdapter(saved) }),
        data: Dataset.from(rows),
        batchSize: 2,
        sequenceLength: 32,
        steps: 1,
      });
      assertEquals((await again.evaluate(Dataset.from(rows))).loss, after, name);
      assertEquals(await Array.fromAsync(other.generateIds("abcdef", greedy)), ids, name);
    }
  }));

Deno.test("FP8 weights of a file are taken as they are, or decoded for the other bases", async () => {
  const stored = weights.map((values) => quantize(values, INPUTS, E4M3, "row"));
  const files: WeightSource = {
    rows: () => Promise.reject(new TypeError("The weights are stored in FP8")),
    codes(name) {
      const index = spec.parts.findIndex(({ module }) => name === `${module}.weight`);
      const { codes, scales } = stored[index];
      return Promise.resolve({
        format: FORMATS.e4m3,
        codes,
        grid: { scales: scales.map((scale) => 1 / scale), block: [1, INPUTS] },
        rotation: 1,
      });
    },
  };
  for (const [name, { method, weight }] of Object.entries(EMULATIONS)) {
    const parameters = new Parameters(device);
    const random = randomGenerator(7);
    const layers = method({ rank: RANK, targetModules: ["q_proj"] })
      .build({ device, linears: [spec], parameters, random, restoring: false });
    const linear = layers.linear(spec);
    parameters.allocate({ gradients: false, moments: false });
    await linear.load(files);
    const exactly = dequantize(stored[1]);
    const isE4m3 = ["fp8-lora", "torchao-style"].includes(name);
    const want = isE4m3 ? exactly : weight(exactly, INPUTS);
    const error = relativeError(await linear.readWeight(1), want);
    assert(error < 1e-6, `${name}: ${error}`);
    linear.free();
    layers.free();
  }
});

Deno.test("a frozen model of few bits is near the exact one, and with outliers nearest in rotated int8", () =>
  withFolder(async (folder) => {
    const outlier = (name: string, values: Float32Array) => {
      if (/layernorm/.test(name)) values[5] *= 40;
    };
    await writeTinyModel(folder, { config: { hidden_size: 64 }, edit: outlier });
    const ids = [1, 20, 30, 40, 50, 60];
    const logits = async (method: Method) => {
      using model = await Model.load(folder, { device });
      await model.use(method);
      return await model.logits(ids);
    };
    const want = await logits(frozen());
    const cases: [string, Method, number][] = [
      ["f16", frozen("f16"), 4e-3],
      ["rotated int8", frozenInt8(), 0.07],
      ["int8", frozenInt8(false), 0.3],
      ["FP8", frozenFp8(), 0.5],
      ["NF4", frozen("nf4"), 0.9],
    ];
    let better = 0;
    for (const [name, method, bound] of cases) {
      const error = relativeError(await logits(method), want);
      assert(error > 1.3 * better && error < bound, `${name}: ${error}`);
      better = error;
    }
  }));

Deno.test("options of a LoRA that are out of range are refused", () => {
  const build = (options: AdapterOptions, method: (options: AdapterOptions) => Method) =>
    method(options).build({
      device,
      linears: [spec],
      parameters: new Parameters(device),
      random: Math.random,
      restoring: false,
    });
  for (const { method } of Object.values(EMULATIONS)) {
    assertThrows(() => method({ rank: 0 }), OptionError, "Cannot use rank 0");
    assertThrows(() => build({ targetModules: ["x"] }, method), OptionError, 'Cannot adapt "x"');
  }
  const layers = build({ rank: 8 }, torchaoStyle);
  const message = 'Cannot adapt "second.k_proj.lora_B" with rank 8 as its weight has only 7 rows';
  assertThrows(() => layers.linear(spec), OptionError, message);
});
