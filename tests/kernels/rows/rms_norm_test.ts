import { assert, assertEquals, assertThrows } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { quantize } from "../../../src/kernels/rows/quantize.ts";
import {
  rmsNorm,
  rmsNormBackward,
  rmsNormWeightGradient,
} from "../../../src/kernels/rows/rms_norm.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/norm.ts";
import { device } from "../../support/device.ts";
import {
  filled,
  paddingOf,
  poisonedCodes,
  readVector,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const TOLERANCE = 1e-6;
/** Large, as with a small one the gradient of a one-element row is all cancellation. */
const EPS = 0.1;
/** One element, a padded last vec4, several vec4s a thread, more rows than one chunk of the weight gradient. */
const SHAPES = [[1, 1], [3, 30], [5, 64], [4, 172], [2, 4100], [75, 7]];

Deno.test("rmsNorm and its gradients agree with the oracle on odd shapes", async () => {
  for (const [rows, cols] of SHAPES) {
    const shape = `${rows}×${cols}`;
    const x = uploadMatrix(device, randomValues(rows * cols, 1, 2), rows, cols);
    const dy = uploadMatrix(device, randomValues(rows * cols, 2), rows, cols);
    const weight = uploadVector(device, randomValues(cols, 3).map((v) => v + 1));
    const dWeight = uploadVector(device, randomValues(cols, 4));
    const output = filled(device, rows, cols, NaN);
    const rstd = uploadVector(device, new Float32Array(rows).fill(NaN));
    const dx = filled(device, rows, cols, NaN);
    const sum = uploadMatrix(device, randomValues(rows * cols, 5), rows, cols);
    await runOnce(device, (program) => {
      const input = x.matrix;
      const gradient = { dOutput: dy.matrix, input, rstd: rstd.vector };
      rmsNorm(program, { input, weight: weight.vector, eps: EPS, output, rstd: rstd.vector });
      rmsNormBackward(program, { ...gradient, weight: weight.vector, dInput: dx });
      rmsNormBackward(program, {
        ...gradient,
        weight: weight.vector,
        dInput: sum.matrix,
        accumulate: true,
      });
      rmsNormWeightGradient(program, { ...gradient, dWeight: dWeight.vector });
    });
    const want = reference.rmsNormBackward(dy.exact, x.exact, weight.exact, EPS);
    const checks: [string, ArrayLike<number>, ArrayLike<number>][] = [
      ["output", await device.readMatrix(output), reference.rmsNorm(x.exact, weight.exact, EPS)],
      ["dInput", await device.readMatrix(dx), want.dx],
      [
        "accumulated dInput",
        await device.readMatrix(sum.matrix),
        want.dx.map((v, i) => v + sum.exact[i]),
      ],
      [
        "dWeight",
        await readVector(device, dWeight.vector),
        want.dWeight.map((v, i) => v + dWeight.exact[i]),
      ],
    ];
    for (const [name, got, expected] of checks) {
      const error = relativeError(got, expected);
      assert(error < TOLERANCE, `${name} of ${shape}: error ${error}`);
    }
    for (const matrix of [output, dx, sum.matrix]) assertEquals(await paddingOf(device, matrix), 0);
  }
});

Deno.test("rmsNorm of 1 + weight, joined to a residual stream, and its gradients agree with the oracle", async () => {
  for (const [rows, cols] of SHAPES) {
    const x = uploadMatrix(device, randomValues(rows * cols, 1, 2), rows, cols);
    const dy = uploadMatrix(device, randomValues(rows * cols, 2), rows, cols);
    const stream = uploadMatrix(device, randomValues(rows * cols, 3), rows, cols);
    const weight = uploadVector(device, randomValues(cols, 4));
    const rstd = uploadVector(device, new Float32Array(rows).fill(NaN)).vector;
    const [output, dx] = [0, 1].map(() => filled(device, rows, cols, NaN));
    const of = { input: x.matrix, weight: weight.vector, weightOffset: 1, rstd } as const;
    await runOnce(device, (program) => {
      rmsNorm(program, { ...of, eps: EPS, addend: stream.matrix, output });
      rmsNormBackward(program, { ...of, dOutput: dy.matrix, dInput: dx });
    });
    const factors = weight.exact.map((w) => 1 + w);
    const want = reference.rmsNorm(x.exact, factors, EPS).map((y, i) => y + stream.exact[i]);
    const wantDx = reference.rmsNormBackward(dy.exact, x.exact, factors, EPS).dx;
    for (const [name, got, expected] of [["output", output, want], ["dx", dx, wantDx]] as const) {
      const error = relativeError(await device.readMatrix(got), expected);
      assert(error < TOLERANCE, `${name} of ${rows}×${cols}: error ${error}`);
      assertEquals(await paddingOf(device, got), 0);
    }
  }
});

Deno.test("rmsNorm writes the codes that quantising its output would give, however a row is shared", async () => {
  for (const [rows, cols] of [[3, 30], [2, 4100]]) {
    const x = uploadMatrix(device, randomValues(rows * cols, 1, 2), rows, cols).matrix;
    const { vector: weight } = uploadVector(device, randomValues(cols, 3).map((v) => v + 1));
    const { vector: rstd } = uploadVector(device, new Float32Array(rows));
    const stream = uploadMatrix(device, randomValues(rows * cols, 4), rows, cols).matrix;
    for (const type of ["e4m3", "e5m2", "f16"] as const) {
      const weightOffset = type === "e5m2" ? 1 : 0;
      const addend = type === "e4m3" ? undefined : stream;
      for (const registers of [true, false]) {
        const output = filled(device, rows, cols, NaN);
        const [apart, beside, alone] = [0, 1, 2].map(() => poisonedCodes(device, rows, cols, type));
        const variant = { registers };
        const common = { input: x, weight, weightOffset, eps: EPS, addend, rstd, variant } as const;
        const f32 = filled(device, rows, cols, NaN);
        await runOnce(device, (program) => {
          rmsNorm(program, { ...common, output: f32 });
          quantize(program, { input: f32, ...apart, granularity: "row" });
          rmsNorm(program, { ...common, output, quantized: beside });
          rmsNorm(program, { ...common, output: null, quantized: alone });
        });
        const label = `${rows}×${cols} ${type}`;
        const want = await device.readAll([f32, apart.codes, apart.scales]);
        assertEquals(
          await device.readAll([output, beside.codes, beside.scales]),
          want,
          label,
        );
        assertEquals(await device.readAll([alone.codes, alone.scales]), want.slice(1), label);
      }
    }
  }
});

Deno.test("rmsNormBackward writes the codes that quantising its result would give, however a row is shared", async () => {
  for (const [rows, cols] of [[3, 30], [1, 1], [2, 4100]]) {
    const [x, dOutput, before] = [1, 2, 4].map((seed) =>
      uploadMatrix(device, randomValues(rows * cols, seed, 2), rows, cols).matrix
    );
    const { vector: weight } = uploadVector(device, randomValues(cols, 3).map((v) => v + 1));
    const { vector: rstd } = uploadVector(device, new Float32Array(rows).fill(0.75));
    const { vector: columnScales } = uploadVector(
      device,
      randomValues(Math.ceil(cols / 16) * 16, 5).map((v) => v + 2),
    );
    for (const scaled of [false, true]) {
      for (const accumulate of [false, true]) {
        for (const registers of [true, false]) {
          const results = [0, 1].map(() => ({
            dInput: filled(device, rows, cols, NaN),
            ...poisonedCodes(device, rows, cols, "e5m2"),
          }));
          const [apart, beside] = results;
          const scales = scaled ? { columnScales: { ...columnScales, length: cols } } : {};
          const common = { dOutput, input: x, weight, rstd, accumulate, variant: { registers } };
          await runOnce(device, (program) => {
            for (const { dInput } of results) program.copy(before, dInput);
            rmsNormBackward(program, { ...common, dInput: apart.dInput });
            quantize(program, { input: apart.dInput, ...apart, ...scales, granularity: "row" });
            rmsNormBackward(program, {
              ...common,
              dInput: beside.dInput,
              quantized: { ...beside, ...scales },
            });
          });
          const [want, got] = await Promise.all(
            results.map(({ dInput, codes, scales }) => device.readAll([dInput, codes, scales])),
          );
          assertEquals(got, want, `${rows}×${cols} ${scaled} ${accumulate} ${registers}`);
        }
      }
    }
  }
});

Deno.test("rmsNorm of more rows than one grid dimension holds", async () => {
  const [rows, cols] = [70_001, 1];
  const x = uploadMatrix(device, randomValues(rows, 6), rows, cols);
  const weight = uploadVector(device, new Float32Array([1]));
  const output = filled(device, rows, cols, NaN);
  const rstd = device.vector(rows, "f32", "rstd");
  await runOnce(
    device,
    (p) => rmsNorm(p, { input: x.matrix, weight: weight.vector, eps: 1, output, rstd }),
  );
  const want = reference.rmsNorm(x.exact, weight.exact, 1);
  assert(relativeError(await device.readMatrix(output), want) < TOLERANCE);
});

Deno.test("rmsNorm refuses operands that do not fit", () => {
  using program = new Program(device);
  const input = device.matrix(2, 20, "f32", "input");
  const output = device.matrix(2, 20, "f32", "output");
  const weight = device.vector(20, "f32", "weight");
  const rstd = device.vector(2, "f32", "rstd");
  const good = { input, weight, eps: EPS, output, rstd };
  const refuses = (bad: Partial<typeof good>, type: typeof TypeError, message: string) =>
    assertThrows(() => rmsNorm(program, { ...good, ...bad }), type, message);
  refuses(
    { output: device.matrix(3, 20, "f32", "output") },
    RangeError,
    "rmsNorm: output is 3×20 (pitch 32), not 2×20 (pitch 32)",
  );
  refuses(
    { output: device.matrix(2, 20, "f16", "output") },
    TypeError,
    "rmsNorm: output is f16, not f32",
  );
  const scales = device.vector(2, "f32", "scales");
  assertThrows(
    () =>
      rmsNorm(program, {
        ...good,
        quantized: { codes: device.matrix(2, 40, "e4m3", "codes"), scales },
      }),
    RangeError,
    "rmsNorm: codes is 2×40 (pitch 48), not 2×20 (pitch 32)",
  );
  refuses({ weight: { ...weight, length: 19 } }, RangeError, "weight has 19 elements, not 20");
  refuses(
    { rstd: { ...rstd, size: 8 } },
    RangeError,
    "rstd of 2 elements is a view of 8 bytes, not of whole groups of four (16 bytes)",
  );
});
