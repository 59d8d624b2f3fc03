import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type Matrix } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { qkNorm, type QkNormOptions } from "../../../src/kernels/attention/qk_norm.ts";
import {
  qkNormBackward,
  qkNormWeightGradient,
} from "../../../src/kernels/attention/qk_norm_backward.ts";
import { qkNormRows } from "../../../src/kernels/attention/qk_norm_rows.ts";
import {
  type RopeAngles,
  uploadRopeFrequencies,
} from "../../../src/kernels/attention/rope_angles.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/qk_norm.ts";
import { applyRope, type Turning } from "../../oracle/rope.ts";
import { device } from "../../support/device.ts";
import { paddingOf, readVector, runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const TOLERANCE = 1e-6;
/** Large enough that the mean square does not drown it. */
const EPS = 0.05;

/** A case: its sizes, and the columns between queries and keys, and between keys and values. */
interface Case {
  over: "head" | "width";
  tokens: number;
  headDim: number;
  heads: number;
  kvHeads: number;
  gap?: number;
  weightOffset?: 0 | 1;
  /** Whether queries and keys are rotated, and by all that a rotation may do besides. Default plain. */
  rotation?: "none" | "plain" | "stretched";
  type?: "f32" | "f16";
  /** What becomes of values. Default copied. */
  values?: QkNormOptions["values"];
}

/**
 * One head of one token; heads of no whole vectors of four; some that fill no group of threads; rows of several
 * vectors a thread; keys in columns that are no multiple of four; more rows than one chunk of the weights' gradient.
 */
const CASES: Case[] = [
  { over: "head", tokens: 5, headDim: 10, heads: 3, kvHeads: 0, gap: 2, weightOffset: 1 },
  { over: "head", tokens: 7, headDim: 128, heads: 3, kvHeads: 0, rotation: "none" },
  { over: "head", tokens: 3, headDim: 64, heads: 2, kvHeads: 0, gap: 16, type: "f16" },
  { over: "head", tokens: 1, headDim: 8, heads: 1, kvHeads: 1 },
  { over: "head", tokens: 5, headDim: 10, heads: 3, kvHeads: 1, gap: 2, weightOffset: 1 },
  { over: "head", tokens: 3, headDim: 80, heads: 4, kvHeads: 2, rotation: "none" },
  { over: "head", tokens: 7, headDim: 128, heads: 3, kvHeads: 3, gap: 16, weightOffset: 1 },
  { over: "head", tokens: 6, headDim: 96, heads: 5, kvHeads: 1, gap: 6 },
  { over: "head", tokens: 77, headDim: 16, heads: 6, kvHeads: 2 },
  { over: "head", tokens: 4, headDim: 122, heads: 2, kvHeads: 1, rotation: "stretched" },
  { over: "head", tokens: 5, headDim: 256, heads: 3, kvHeads: 1, weightOffset: 1 },
  { over: "width", tokens: 1, headDim: 8, heads: 1, kvHeads: 1 },
  { over: "width", tokens: 5, headDim: 10, heads: 3, kvHeads: 1, gap: 2 },
  { over: "width", tokens: 3, headDim: 128, heads: 19, kvHeads: 5, gap: 4, rotation: "stretched" },
  { over: "width", tokens: 77, headDim: 12, heads: 6, kvHeads: 2, rotation: "none" },
  { over: "head", tokens: 6, headDim: 16, heads: 6, kvHeads: 2, type: "f16" },
  {
    over: "head",
    tokens: 9,
    headDim: 128,
    heads: 2,
    kvHeads: 1,
    gap: 16,
    type: "f16",
    weightOffset: 1,
  },
  { over: "width", tokens: 5, headDim: 72, heads: 9, kvHeads: 3, type: "f16" },
  ...(["normed", "keys"] as const).flatMap((values): Case[] => [
    { values, over: "head", tokens: 1, headDim: 8, heads: 1, kvHeads: 1 },
    { values, over: "head", tokens: 5, headDim: 10, heads: 3, kvHeads: 1, gap: 2, weightOffset: 1 },
    { values, over: "head", tokens: 7, headDim: 24, heads: 5, kvHeads: 2, rotation: "none" },
    { values, over: "head", tokens: 33, headDim: 122, heads: 2, kvHeads: 2, rotation: "stretched" },
    { values, over: "head", tokens: 6, headDim: 256, heads: 3, kvHeads: 1, gap: 16, type: "f16" },
  ]),
];

/** Angles with all planes turning, and with what else a stretched rotation does; the same for the oracle. */
function rotationOf({ tokens, headDim, rotation }: Case) {
  const half = headDim / 2;
  const frequenciesOf = (theta: number) =>
    Float32Array.from({ length: half }, (_, i) => theta ** (-i / half));
  const positions = Uint32Array.from({ length: tokens }, (_, t) => 997 * t % 2 ** 20);
  const frequencies = frequenciesOf(1e4);
  const upload = (positions: Uint32Array<ArrayBuffer>, frequencies: number[]) => ({
    positions: uploadVector(device, positions).vector,
    frequencies: uploadRopeFrequencies(device, frequencies),
  });
  if (rotation !== "stretched") {
    const options: RopeAngles = upload(positions, [...frequencies]);
    return { options, positions, frequencies, turning: {}, ofQueries: {} };
  }
  const long = Array.from(positions, (_, t) => t % 2 === 1);
  const longFrequencies = frequenciesOf(300);
  const factor = { value: 1.25, planes: half - 2 };
  const queryScale = { beta: 0.1, context: 511 };
  const scaleAt = (p: number) => 1 + queryScale.beta * Math.log(1 + Math.floor(p / 511));
  const flagged = positions.map((p, t) => p + (long[t] ? 2 ** 20 : 0));
  const options: RopeAngles = {
    ...upload(flagged, [...frequencies, ...longFrequencies]),
    factor,
    queryScale,
  };
  const turning: Turning = { factor, long, longFrequencies };
  const ofQueries: Turning = { tokenFactors: Array.from(positions, scaleAt) };
  return { options, positions, frequencies, turning, ofQueries };
}

/** Runs the kernels once over random data, with the oracle beside. */
async function run(given: Case) {
  const { over, tokens, headDim, heads, kvHeads, gap = 0, type = "f32" } = given;
  const { weightOffset = 0, rotation = "plain", values = "copied" } = given;
  const [wide, narrow] = [heads * headDim, kvHeads * headDim];
  const width = wide + 2 * narrow + 2 * gap;
  const blocks = (matrix: Matrix) => ({
    q: columnsOf(matrix, 0, wide),
    k: columnsOf(matrix, wide + gap, narrow),
    v: columnsOf(matrix, wide + narrow + 2 * gap, narrow),
  });
  const inputWidth = values === "keys" ? wide + narrow + gap : width;
  const input = randomValues(tokens * inputWidth, 1, 3);
  const qkv = uploadMatrix(device, input, tokens, inputWidth, type);
  const gradient = randomValues(tokens * width, 2);
  const { matrix: dQkv } = uploadMatrix(device, gradient, tokens, width);
  const output = uploadMatrix(
    device,
    new Float32Array(tokens * width).fill(7),
    tokens,
    width,
    type,
  );
  const rstd = device.matrix(tokens, qkNormRows(given), "f32", "rstd");
  const before = randomValues(tokens * inputWidth, 9);
  const out = values === "keys" ? uploadMatrix(device, before, tokens, inputWidth) : null;
  const { q, k, v } = blocks(qkv.matrix);
  const ofHead = over === "head";
  const weight = (cols: number, seed: number) =>
    uploadVector(device, randomValues(ofHead ? headDim : cols, seed).map((w) => w + 0.5));
  const [qWeight, kWeight, dQWeight, dKWeight] = [
    weight(wide, 3),
    weight(narrow, 4),
    weight(wide, 5),
    weight(narrow, 6),
  ];
  const angles = rotationOf(given);
  const common = {
    q,
    k,
    v,
    values,
    over,
    heads,
    kvHeads,
    headDim,
    weightOffset,
    qWeight: qWeight.vector,
    kWeight: kWeight.vector,
    rstd,
  };
  const options: QkNormOptions = {
    ...common,
    eps: EPS,
    rotation: rotation === "none" ? null : angles.options,
    output: output.matrix,
  };
  await runOnce(device, (program) => {
    qkNorm(program, options);
    if (type === "f32") {
      const weights = { dQWeight: dQWeight.vector, dKWeight: dKWeight.vector };
      qkNormWeightGradient(program, { ...common, ...weights, dQkv });
    }
    qkNormBackward(program, { ...common, dQkv, ...(out && { out: out.matrix }) });
  });
  const partOf = (width: number) =>
  (
    values: ArrayLike<number>,
    block: { column: number; cols: number },
  ) => takeColumns(values, width, block);
  const [part, partOfInput] = [partOf(width), partOf(inputWidth)];
  const ones = { weight: new Float64Array(headDim).fill(1), weightOffset: 0, eps: EPS } as const;
  const wantValues = () => {
    const x = partOfInput(qkv.exact, values === "keys" ? k : v);
    if (values === "copied") return { y: x, dx: part(gradient, v) };
    return {
      y: reference.qkNorm(x, ones),
      ...reference.qkNormBackward(part(gradient, v), x, ones),
    };
  };
  const want = (block: typeof q, weight: Float64Array, turning: Turning) => {
    const x = partOfInput(qkv.exact, block);
    const norm = { weight, weightOffset, eps: EPS };
    const y = reference.qkNorm(x, norm);
    return {
      y: rotation === "none" ? y : applyRope(y, angles.positions, angles.frequencies, turning),
      ...reference.qkNormBackward(part(gradient, block), x, norm),
    };
  };
  return {
    options,
    width,
    tokens,
    want: {
      q: want(q, qWeight.exact, { ...angles.turning, ...angles.ofQueries }),
      k: want(k, kWeight.exact, angles.turning),
      v: wantValues(),
    },
    got: {
      output: await read(output.matrix),
      dQkv: await device.readMatrix(out?.matrix ?? dQkv),
      dWeights: [
        await readVector(device, dQWeight.vector),
        await readVector(device, dKWeight.vector),
      ],
    },
    before: {
      dQkv: out ? before : gradient,
      dWeights: [dQWeight.exact, dKWeight.exact],
    },
    padding: [await paddingOf(device, out?.matrix ?? dQkv), await paddingOf(device, rstd)],
    part,
    partOfInput,
  };
}

async function read(matrix: Matrix): Promise<Float32Array> {
  if (matrix.type === "f32") return await device.readMatrix(matrix);
  const { rows, cols, pitch } = matrix;
  const halves = new Float16Array(await device.read(matrix));
  assert(halves.every((value, i) => i % pitch < cols || value === 0), "zeros up to the pitch");
  return Float32Array.from(
    { length: rows * cols },
    (_, i) => halves[Math.floor(i / cols) * pitch + i % cols],
  );
}

Deno.test("qkNorm and its gradients agree with the oracle on odd shapes, in f32 and f16", async () => {
  for (const given of CASES) {
    const { options, got, want, before, padding, part, partOfInput } = await run(given);
    const { q, k, v } = options;
    const rounding = given.type === "f16" ? 6e-4 : TOLERANCE;
    const checks: [string, ArrayLike<number>, ArrayLike<number>, number][] = [
      ["q", part(got.output, q), want.q.y, rounding],
      ["k", part(got.output, k), want.k.y, rounding],
      ["v", part(got.output, v), want.v.y, given.values ? rounding : 0],
      ["dQ", partOfInput(got.dQkv, q), want.q.dx, TOLERANCE],
    ];
    const [dK, dV] = [want.k.dx, want.v.dx];
    if (given.values === "keys") {
      checks.push(["dK", partOfInput(got.dQkv, k), dK.map((d, i) => d + dV[i]), TOLERANCE]);
    } else {
      checks.push(["dK", partOfInput(got.dQkv, k), dK, TOLERANCE]);
      checks.push(["dV", partOfInput(got.dQkv, v), dV, given.values ? TOLERANCE : 0]);
    }
    if (given.type !== "f16") {
      for (const [i, { dWeight }] of [want.q, want.k].entries()) {
        const sum = dWeight.map((d, c) => d + before.dWeights[i][c]);
        checks.push([`dWeight ${i}`, got.dWeights[i], sum, TOLERANCE]);
      }
    }
    for (const [name, values, wanted, tolerance] of checks) {
      const error = relativeError(values, wanted);
      assert(error <= tolerance, `${name} of ${JSON.stringify(given)}: error ${error}`);
    }
    const { gap = 0 } = given;
    const between = { column: q.cols, cols: gap };
    assertEquals(part(got.output, between), new Float64Array(given.tokens * gap).fill(7));
    assertEquals(partOfInput(got.dQkv, between), partOfInput(before.dQkv, between));
    assertEquals(padding, [0, 0]);
  }
});

Deno.test("qkNorm gives a token the same bits alone as among others, and the same values without statistics", async () => {
  for (const type of ["f32", "f16"] as const) {
    for (const over of ["head", "width"] as const) {
      const { options, got, width } = await run(
        { over, tokens: 8, headDim: 16, heads: 6, kvHeads: 2, gap: 16, type },
      );
      const { q, k, v, rotation } = options;
      const [bytes, pitch] = [type === "f16" ? 2 : 4, q.matrix.pitch];
      const raw = new Uint8Array(await device.read(q.matrix)).slice(
        5 * pitch * bytes,
        6 * pitch * bytes,
      );
      const input = device.matrix(1, width, type, "one token");
      device.write(input, raw);
      const output = device.matrix(1, width, type, "output");
      const positions = uploadVector(device, Uint32Array.of(5 * 997)).vector;
      const heads = { heads: 6, kvHeads: 2, headDim: 16 };
      // Without statistics it is another kernel to a compiler, which may round in another order.
      for (const rstd of [device.matrix(1, qkNormRows({ over, ...heads }), "f32", "rstd"), null]) {
        await runOnce(device, (program) =>
          qkNorm(program, {
            ...options,
            q: { ...q, matrix: input },
            k: { ...k, matrix: input },
            v: { ...v, matrix: input },
            rotation: { ...rotation!, positions },
            output,
            rstd,
          }));
        const alone = await read(output);
        for (const { column, cols } of [q, k, v]) {
          const among = got.output.subarray(5 * width + column, 5 * width + column + cols);
          const mine = alone.subarray(column, column + cols);
          if (rstd) assertEquals(mine, among);
          else assert(relativeError(mine, among) < (type === "f16" ? 1e-3 : 1e-6));
        }
      }
    }
  }
});

Deno.test("qkNorm saturates in f16, and rows of zeros are no division by zero", async () => {
  const [headDim, width] = [16, 48];
  const values = new Float32Array(2 * width);
  values[width] = 1; // a head of one component, normed to 4
  const { matrix } = uploadMatrix(device, values, 2, width, "f16");
  const { vector: weight } = uploadVector(device, new Float32Array(headDim).fill(30_000));
  const output = device.matrix(2, width, "f16", "output");
  const [q, k, v] = [0, 16, 32].map((column) => columnsOf(matrix, column, headDim));
  await runOnce(device, (program) =>
    qkNorm(program, {
      ...{ q, k, v, over: "head", heads: 1, kvHeads: 1, headDim, eps: 1e-6, rotation: null },
      ...{ qWeight: weight, kWeight: weight, output, rstd: null },
    }));
  const got = await read(output);
  assertEquals(got.indexOf(65504), width);
  assert(got.every((value, i) => i === width || value === 0));
});

Deno.test("qkNorm and its gradients of no tokens record nothing", () => {
  const empty = device.matrix(0, 24, "f32", "empty");
  const [q, k, v] = [0, 8, 16].map((column) => columnsOf(empty, column, 8));
  const { vector: weight } = uploadVector(device, new Float32Array(8));
  const shape = { q, k, over: "head", heads: 1, kvHeads: 1, headDim: 8 } as const;
  const weights = { qWeight: weight, kWeight: weight };
  const rstd = device.matrix(0, 2, "f32", "rstd");
  using program = new Program(device);
  qkNorm(program, { ...shape, ...weights, v, eps: 1, rotation: null, output: empty, rstd });
  qkNormWeightGradient(program, {
    ...shape,
    v,
    rstd,
    dQkv: empty,
    dQWeight: weight,
    dKWeight: weight,
  });
  qkNormBackward(program, { ...shape, ...weights, v, rstd, dQkv: empty });
  assertEquals(program.dispatches, 0);
});

Deno.test("qkNorm refuses operands that do not fit", () => {
  using program = new Program(device);
  const qkv = device.matrix(2, 24, "f32", "qkv");
  const [q, k, v] = [0, 8, 16].map((column) => columnsOf(qkv, column, 8));
  const weight = device.vector(8, "f32", "weight");
  const shape = { q, k, over: "head", heads: 1, kvHeads: 1, headDim: 8 } as const;
  const rstd = device.matrix(2, 2, "f32", "rstd");
  const good: QkNormOptions = {
    ...shape,
    v,
    qWeight: weight,
    kWeight: weight,
    eps: 1,
    rotation: null,
    output: device.matrix(2, 24, "f32", "output"),
    rstd,
  };
  const refuses = (bad: Partial<QkNormOptions>, message: string, type: typeof Error = RangeError) =>
    assertThrows(() => qkNorm(program, { ...good, ...bad }), type, message);
  refuses({ headDim: 9 }, "qkNorm: headDim is 9, not an even number");
  refuses({ heads: 2 }, "qkNorm: q is 2×8, not 2×16");
  refuses({ kWeight: { ...weight, length: 7 } }, "qkNorm: the weight of k has 7 elements, not 8");
  refuses({ rstd: device.matrix(2, 3, "f32", "rstd") }, "qkNorm: rstd is 2×3");
  refuses({ output: device.matrix(2, 20, "f32", "output") }, "qkNorm: output is 2×20");
  refuses(
    { output: device.matrix(2, 24, "f16", "output") },
    "qkNorm: output is f16, not f32",
    TypeError,
  );
  const other = device.matrix(2, 24, "f32", "other");
  refuses({ v: { ...v, matrix: other } }, "qkNorm: v is in another matrix than q");
  const halves = device.matrix(2, 24, "f16", "halves");
  const half = { column: 0, cols: 4, matrix: halves };
  refuses(
    {
      ...{
        q: half,
        k: { ...half, column: 4 },
        v: { ...half, column: 8 },
        headDim: 4,
        output: halves,
      },
      ...{ qWeight: { ...weight, length: 4 }, kWeight: { ...weight, length: 4 } },
    },
    "qkNorm: q is f16, not f32",
    TypeError,
  );
  assertThrows(
    () =>
      qkNormWeightGradient(program, {
        ...{ ...shape, v, rstd, dQkv: other, dQWeight: weight, dKWeight: weight },
        q: { ...q, matrix: halves },
        k: { ...k, matrix: halves },
        v: { ...v, matrix: halves },
      }),
    TypeError,
    "qkNormWeightGradient: q is f16, not f32",
  );
  assertThrows(
    () => qkNormBackward(program, { ...good, rstd, dQkv: halves }),
    TypeError,
    "qkNormBackward: dQkv is f16, not f32",
  );
  refuses({ over: "width", values: "normed" }, "qkNorm: values are normed by heads", TypeError);
  assertThrows(
    () => qkNormBackward(program, { ...good, values: "keys", rstd, dQkv: other }),
    TypeError,
    "qkNormBackward: out is missing with keys as values",
  );
});
