import { assert, assertEquals, assertThrows } from "@std/assert";
import { type BufferView, pitchOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { quantize } from "../../../src/kernels/rows/quantize.ts";
import { rmsNorm, rmsNormBackward } from "../../../src/kernels/rows/rms_norm.ts";
import { rotate } from "../../../src/kernels/rows/rotation.ts";
import { swiglu, swigluBackward } from "../../../src/kernels/rows/swiglu.ts";
import { rowConstants } from "../../../src/kernels/shapes.ts";
import { relativeError } from "../../oracle/compare.ts";
import { device } from "../../support/device.ts";
import { openDryTensorGpu } from "../../support/dry_gpus.ts";
import {
  filled,
  paddingOf,
  poisonedCodes,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const SHAPES: readonly [rows: number, cols: number, block: number][] = [
  [1, 2, 2],
  [3, 172, 4],
  [3, 40, 8],
  [5, 688, 16],
  [2, 96, 32],
  [3, 576, 64],
  [2, 640, 128],
  [1, 256, 256],
  [3, 1536, 256],
];

/** The formats of codes; each test takes some for each shape, as every one is a kernel to compile. */
const TYPES = ["e4m3", "int8", "f16"] as const;

/** A row as the device shares it, and some with several tiles per thread, which compile slowly. */
const variantsOf = (cols: number) => cols === 576 || cols === 688 ? [{}, { threads: 16 }] : [{}];

const read = (...views: BufferView[]) => device.readAll(views);

Deno.test("quantize gives the codes of rows that were rotated before, on odd shapes and in every layout", async () => {
  for (const [i, [rows, cols, rotation]] of SHAPES.entries()) {
    const { matrix: input } = uploadMatrix(device, randomValues(rows * cols, cols, 5), rows, cols);
    const apart = filled(device, rows, cols, NaN);
    for (const type of [TYPES[i % 3], TYPES[(i + 1) % 3]]) {
      for (const granularity of ["row", "tensor", "given"] as const) {
        const [want, got] = [0, 1].map(() => poisonedCodes(device, rows, cols, type));
        const given = new Float32Array(rows).fill(3);
        if (granularity === "given") {
          for (const { scales } of [want, got]) device.write(scales, given);
        }
        await runOnce(device, (program) => {
          rotate(program, { input, output: apart, block: rotation });
          quantize(program, { input: apart, ...want, granularity });
          quantize(program, { input, ...got, granularity, rotation });
        });
        const label = `${rows}×${cols} by ${rotation}, ${type} per ${granularity}`;
        assertEquals(await read(got.codes, got.scales), await read(want.codes, want.scales), label);
      }
    }
  }
});

Deno.test("quantize rotates alike however a row is shared among threads", async () => {
  const [rows, cols, rotation] = [2, 5376, 256];
  const { matrix: input } = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
  const results: ArrayBuffer[][] = [];
  for (const threads of [64, 128, 256]) {
    const target = poisonedCodes(device, rows, cols, "e4m3");
    const options = {
      input,
      ...target,
      granularity: "row",
      rotation,
      variant: { threads },
    } as const;
    await runOnce(device, (program) => quantize(program, options));
    results.push(await read(target.codes, target.scales));
  }
  for (const other of results.slice(1)) assertEquals(other, results[0]);
});

Deno.test("rmsNorm and swiglu write the codes of their rotated results, and these results as they are", async () => {
  for (const [i, [rows, cols, rotation]] of SHAPES.entries()) {
    const type = TYPES[i % 3];
    const pitch = pitchOf(cols);
    const { matrix: x } = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
    const { matrix: stream } = uploadMatrix(device, randomValues(rows * cols, 4), rows, cols);
    const weight = uploadVector(device, randomValues(cols, 2)).vector;
    const rstd = device.vector(rows, "f32", "rstd");
    const merged = randomValues(rows * 2 * pitch, 3, 4)
      .map((value, i) => i % pitch < cols ? value : 0);
    for (const variant of variantsOf(cols)) {
      const gateUp = uploadMatrix(device, merged, rows, 2 * pitch, type === "int8" ? "f16" : "f32")
        .matrix;
      const codes = Array.from({ length: 6 }, () => poisonedCodes(device, rows, cols, type));
      const [norm, hidden, plain] = [0, 1, 2].map(() => filled(device, rows, cols, NaN));
      const rotated = filled(device, rows, cols, NaN);
      const [wantNorm, normBoth, normAlone, wantHidden, hiddenBoth, hiddenAlone] = codes;
      const addend = i % 2 === 0 ? undefined : stream;
      const normed = { input: x, weight, eps: 1e-5, addend, rstd, variant };
      await runOnce(device, (program) => {
        rmsNorm(program, { ...normed, output: norm, quantized: { ...normBoth, rotation } });
        rmsNorm(program, { ...normed, output: null, quantized: { ...normAlone, rotation } });
        rotate(program, { input: norm, output: rotated, block: rotation });
        quantize(program, { input: rotated, ...wantNorm, granularity: "row" });

        swiglu(program, { gateUp, output: plain });
        const output = hidden;
        swiglu(program, { gateUp, output, quantized: { ...hiddenBoth, rotation }, variant });
        swiglu(program, {
          gateUp,
          output: null,
          quantized: { ...hiddenAlone, rotation },
          variant,
        });
        rotate(program, { input: hidden, output: rotated, block: rotation });
        quantize(program, { input: rotated, ...wantHidden, granularity: "row" });
      });
      const label = `${rows}×${cols} by ${rotation}, ${type}, ${JSON.stringify(variant)}`;
      const [ofNorm, ofHidden] = await Promise.all(
        [wantNorm, wantHidden].map(({ codes, scales }) => read(codes, scales)),
      );
      for (const { codes, scales } of [normBoth, normAlone]) {
        assertEquals(await read(codes, scales), ofNorm, `norm of ${label}`);
      }
      for (const { codes, scales } of [hiddenBoth, hiddenAlone]) {
        assertEquals(await read(codes, scales), ofHidden, `swiglu of ${label}`);
      }
      assertEquals(await read(hidden), await read(plain), `swiglu of ${label} in f32`);
      assertEquals(await paddingOf(device, norm), 0);
    }
  }
});

Deno.test("rmsNormBackward takes up a rotated gradient as one that was rotated back before", async () => {
  for (const [i, [rows, cols, rotation]] of SHAPES.entries()) {
    const accumulate = i % 2 === 0;
    const values = (seed: number) =>
      uploadMatrix(device, randomValues(rows * cols, seed), rows, cols);
    const [{ matrix: input }, { matrix: before }, { matrix: dOutput }] = [1, 2, 3].map(values);
    const weight = uploadVector(device, randomValues(cols, 4)).vector;
    const rstd = uploadVector(device, randomValues(rows, 5).map((v) => v + 1.5)).vector;
    const divisors = randomValues(pitchOf(cols), 6).map((v) => v + 2);
    const columnScales = uploadVector(device, divisors).vector;
    for (const variant of variantsOf(cols)) {
      const [back, want, got, beside] = [0, 1, 2, 3].map(() => filled(device, rows, cols, NaN));
      const [codes, ofResult] = [0, 1].map(() => poisonedCodes(device, rows, cols, "e5m2"));
      const quantized = { ...codes, columnScales: { ...columnScales, length: cols } };
      const common = { input, weight, rstd, accumulate };
      await runOnce(device, (program) => {
        for (const dInput of [want, got, beside]) program.copy(before, dInput);
        rotate(program, { input: dOutput, output: back, block: rotation });
        rmsNormBackward(program, { ...common, dOutput: back, dInput: want });
        const rotated = { ...common, dOutput, rotation, variant };
        rmsNormBackward(program, { ...rotated, dInput: got });
        rmsNormBackward(program, { ...rotated, dInput: beside, quantized });
        quantize(program, { input: beside, ...ofResult, columnScales, granularity: "row" });
      });
      const label = `${rows}×${cols} by ${rotation}, ${accumulate}, ${JSON.stringify(variant)}`;
      const error = relativeError(await device.readMatrix(got), await device.readMatrix(want));
      assert(error < 3e-7, `${label}: error ${error}`);
      assertEquals(await read(beside), await read(got), label);
      assertEquals(
        await read(codes.codes, codes.scales),
        await read(ofResult.codes, ofResult.scales),
        `codes of ${label}`,
      );
      assertEquals(await paddingOf(device, got), 0, label);
    }
  }
});

Deno.test("swigluBackward takes up a rotated gradient as one that was rotated back before, bit for bit", async () => {
  for (const [i, [rows, width, rotation]] of SHAPES.entries()) {
    const type = i % 2 === 0 ? "f32" : "f16";
    const cols = 2 * pitchOf(width);
    const merged = randomValues(rows * cols, 1, 4)
      .map((value, i) => i % (cols / 2) < width ? value : 0);
    const dValues = randomValues(rows * width, 2);
    const { matrix: dOutput } = uploadMatrix(device, dValues, rows, width);
    const columnScales = uploadVector(device, randomValues(cols, 3).map((v) => v + 2)).vector;
    const gateUp = uploadMatrix(device, merged, rows, cols, type).matrix;
    for (const variant of variantsOf(width)) {
      const back = filled(device, rows, width, NaN);
      const inPlace = uploadMatrix(device, dValues, rows, width).matrix;
      const [want, got, plain] = [0, 1, 2].map(() => filled(device, rows, cols, NaN));
      const [wantCodes, gotCodes] = [0, 1].map(() => ({
        ...poisonedCodes(device, rows, cols, "e5m2"),
        columnScales,
      }));
      await runOnce(device, (program) => {
        rotate(program, { input: dOutput, output: back, block: rotation });
        swigluBackward(program, { gateUp, dOutput: back, dGateUp: want, quantized: wantCodes });
        const quantized = gotCodes;
        swigluBackward(program, { gateUp, dOutput, rotation, dGateUp: got, quantized, variant });
        swigluBackward(program, { gateUp, dOutput: inPlace, rotation, dGateUp: plain });
      });
      const label = `${rows}×${width} by ${rotation}, ${type}, ${JSON.stringify(variant)}`;
      assertEquals(
        await read(got, gotCodes.codes, gotCodes.scales),
        await read(want, wantCodes.codes, wantCodes.scales),
        label,
      );
      assertEquals(await read(plain), await read(want), `${label}, without codes`);
    }
  }
});

Deno.test("threads share a rotated row in fours, and a long one of which they hold two values in twelves", () => {
  const gpu = openDryTensorGpu();
  for (
    const [vectors, held, threads, each] of [
      [144, 1, 64, 4],
      [1024, 1, 256, 4],
      [1024, 3, 256, 4],
      [2048, 2, 512, 4],
      [2752, 1, 352, 8],
      [2752, 2, 256, 12],
      [3072, 2, 256, 12],
      [3073, 2, 416, 8],
      [3584, 2, 448, 8],
    ]
  ) {
    const { THREADS, VECTORS } = rowConstants(gpu, vectors, held, {}, true);
    assertEquals([THREADS, VECTORS], [threads, each], `${vectors} vec4s, ${held} held`);
  }
});

Deno.test("the row kernels refuse rotations that are not possible, and rotated codes of gradients", () => {
  using program = new Program(device);
  const [rows, cols] = [2, 48];
  const [input, output] = [0, 1].map(() => device.matrix(rows, cols, "f32", "operand"));
  const gateUp = device.matrix(rows, 2 * cols, "f32", "gate and up");
  const weight = device.vector(cols, "f32", "weight");
  const rstd = device.vector(rows, "f32", "rstd");
  const codes = poisonedCodes(device, rows, cols, "e4m3");
  const wide = poisonedCodes(device, rows, 2 * cols, "e4m3");
  const [norm, backward] = [{ input, weight, eps: 1, rstd, output }, {
    dOutput: input,
    dGateUp: gateUp,
    gateUp: device.matrix(rows, 2 * cols, "f32", "gate and up"),
  }];
  const refuses = (record: () => void, message: string) =>
    assertThrows(record, RangeError, message);
  const block = (kernel: string) => `${kernel}: cannot rotate rows of 48 by blocks of 32`;
  const ofGradient = (kernel: string) =>
    `${kernel}: codes of a gradient are not rotated: expected rotation 1, not 16`;
  refuses(
    () => quantize(program, { input, ...codes, granularity: "row", rotation: 32 }),
    block("quantize"),
  );
  refuses(
    () =>
      quantize(program, {
        input,
        ...codes,
        granularity: "row",
        rotation: 16,
        columnScales: weight,
      }),
    "Cannot quantise as rows with trailing columns or column scales are not rotated",
  );
  refuses(
    () => rmsNorm(program, { ...norm, quantized: { ...codes, rotation: 32 } }),
    block("rmsNorm"),
  );
  refuses(
    () => swiglu(program, { gateUp, output, quantized: { ...codes, rotation: 32 } }),
    block("swiglu"),
  );
  const normGradient = { ...norm, dOutput: input, dInput: output };
  refuses(
    () => rmsNormBackward(program, { ...normGradient, rotation: 32 }),
    block("rmsNormBackward"),
  );
  refuses(
    () => rmsNormBackward(program, { ...normGradient, quantized: { ...codes, rotation: 16 } }),
    ofGradient("rmsNormBackward"),
  );
  refuses(
    () => swigluBackward(program, { ...backward, rotation: 32 }),
    block("swigluBackward"),
  );
  refuses(
    () => swigluBackward(program, { ...backward, quantized: { ...wide, rotation: 16 } }),
    ofGradient("swigluBackward"),
  );
});
