import { assert, assertEquals, assertThrows } from "@std/assert";
import { type BufferView, pitchOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { quantize } from "../../../src/kernels/rows/quantize.ts";
import { swiglu, swigluBackward } from "../../../src/kernels/rows/swiglu.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/swiglu.ts";
import { device } from "../../support/device.ts";
import {
  filled,
  paddingOf,
  poisonedCodes,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const TOLERANCE = 1e-6;
const ACTIVATIONS = ["silu", "geluTanh"] as const;
const MERGED_TYPES = ACTIVATIONS.flatMap((activation) =>
  (["f32", "f16"] as const).map((type) => [type, activation] as const)
);

/** Joins gate and up [rows, width] as a merged linear does: up starts at the pitch. */
function merge(gate: Float32Array, up: Float32Array, rows: number, width: number) {
  const pitch = pitchOf(width);
  const merged = new Float32Array(rows * 2 * pitch);
  for (let i = 0; i < rows * width; i++) {
    const at = Math.floor(i / width) * 2 * pitch + i % width;
    merged[at] = gate[i];
    merged[at + pitch] = up[i];
  }
  return merged;
}

/** The columns of one half of a merged matrix. */
function half(
  values: ArrayLike<number>,
  first: number,
  rows: number,
  width: number,
): Float64Array {
  return Float64Array.from(
    { length: rows * width },
    (_, i) => values[Math.floor(i / width) * 2 * pitchOf(width) + first + i % width],
  );
}

Deno.test("the gates and their gradients agree with the oracle on odd widths, of f32 and of f16", async () => {
  for (const [type, activation] of MERGED_TYPES) {
    for (const [rows, width] of [[1, 1], [3, 172], [5, 30], [2, 7], [9, 64], [3, 361]]) {
      const pitch = pitchOf(width);
      const values = (seed: number) => randomValues(rows * width, seed, 8);
      const merged = merge(values(1), values(3), rows, width);
      const gateUp = uploadMatrix(device, merged, rows, 2 * pitch, type);
      const dy = uploadMatrix(device, randomValues(rows * width, 2), rows, width);
      const output = filled(device, rows, width, NaN);
      const dGateUp = filled(device, rows, 2 * pitch, NaN);
      await runOnce(device, (program) => {
        const gate = { gateUp: gateUp.matrix, activation };
        swiglu(program, { ...gate, output });
        swigluBackward(program, { ...gate, dOutput: dy.matrix, dGateUp });
      });
      const halfOf = (both: ArrayLike<number>, first: number) => half(both, first, rows, width);
      const exact = [halfOf(gateUp.exact, 0), halfOf(gateUp.exact, pitch)] as const;
      const want = reference.swigluBackward(dy.exact, ...exact, activation);
      const gradient = await device.readMatrix(dGateUp);
      const checks: [string, ArrayLike<number>, ArrayLike<number>][] = [
        ["output", await device.readMatrix(output), reference.swiglu(...exact, activation)],
        ["dGate", halfOf(gradient, 0), want.dGate],
        ["dUp", halfOf(gradient, pitch), want.dUp],
      ];
      for (const [name, got, expected] of checks) {
        const error = relativeError(got, expected);
        const label = `${name} of ${rows}×${width} ${type} ${activation}`;
        assert(error < TOLERANCE, `${label}: error ${error}`);
      }
      for (const matrix of [output, dGateUp]) assertEquals(await paddingOf(device, matrix), 0);
    }
  }
});

Deno.test("the gates write the codes that quantising their results would give, however a row is shared", async () => {
  for (const [rows, width] of [[3, 30], [2, 1100]]) {
    const pitch = pitchOf(width);
    const values = (seed: number) => randomValues(rows * width, seed, 4);
    const merged = merge(values(1), values(2), rows, width);
    const dOutput = uploadMatrix(device, values(3), rows, width).matrix;
    const divisors = randomValues(2 * pitch, 4).map((v) => v + 2);
    const columnScales = uploadVector(device, divisors).vector;
    for (const type of ["e4m3", "e5m2", "f16"] as const) {
      const inputType = type === "e4m3" ? "f32" : "f16";
      const activation = type === "e5m2" ? "geluTanh" : "silu";
      const { matrix } = uploadMatrix(device, merged, rows, 2 * pitch, inputType);
      const gate = { gateUp: matrix, activation } as const;
      for (const registers of [true, false]) {
        const variant = { registers };
        const [apart, beside, alone] = [0, 1, 2].map(() =>
          poisonedCodes(device, rows, width, type)
        );
        const [output, again] = [0, 1].map(() => filled(device, rows, width, NaN));
        const gradients = [0, 1, 2].map(() => filled(device, rows, 2 * pitch, NaN));
        const gradientCodes = [0, 1, 2, 3].map(() => poisonedCodes(device, rows, 2 * pitch, type));
        await runOnce(device, (program) => {
          swiglu(program, { ...gate, output });
          quantize(program, { input: output, ...apart, granularity: "row" });
          swiglu(program, { ...gate, output: again, quantized: beside, variant });
          swiglu(program, { ...gate, output: null, quantized: alone, variant });

          const [dGateUp, plain, divided] = gradients;
          swigluBackward(program, { ...gate, dOutput, dGateUp });
          quantize(program, { input: dGateUp, ...gradientCodes[0], granularity: "row" });
          quantize(program, {
            input: dGateUp,
            ...gradientCodes[1],
            columnScales,
            granularity: "row",
          });
          swigluBackward(program, {
            ...gate,
            dOutput,
            dGateUp: plain,
            quantized: gradientCodes[2],
            variant,
          });
          swigluBackward(program, {
            ...gate,
            dOutput,
            dGateUp: divided,
            quantized: { ...gradientCodes[3], columnScales },
            variant,
          });
        });
        const label = `${rows}×${width} ${type} ${registers}`;
        const read = (...views: BufferView[]) => device.readAll(views);
        const want = await read(output, apart.codes, apart.scales);
        assertEquals(await read(again, beside.codes, beside.scales), want, label);
        assertEquals(await read(alone.codes, alone.scales), want.slice(1), label);
        for (const [i, dGateUp] of gradients.slice(1).entries()) {
          const [expected, got] = [gradientCodes[i], gradientCodes[i + 2]];
          assertEquals(
            await read(dGateUp, got.codes, got.scales),
            await read(gradients[0], expected.codes, expected.scales),
            `gradient of ${label}`,
          );
        }
      }
    }
  }
});

Deno.test("swiglu's gradient in f16 is what its codes are made of", async () => {
  for (const [rows, width] of [[1, 1], [3, 30], [2, 1100]]) {
    const cols = 2 * pitchOf(width);
    const values = (seed: number) => randomValues(rows * width, seed, 4);
    const merged = merge(values(1), values(2), rows, width);
    const gateUp = uploadMatrix(device, merged, rows, cols, "f16").matrix;
    // The gradients of the rows are of very different sizes.
    const dy = values(3).map((v, i) => v * 1e-9 ** Math.floor(i / width));
    const dOutput = uploadMatrix(device, dy, rows, width).matrix;
    const divisors = randomValues(cols, 4).map((v) => v + 2);
    const columnScales = uploadVector(device, divisors).vector;
    for (const registers of [true, false]) {
      for (const type of ["e5m2", "f16"] as const) {
        const [plain, scaled] = (["f32", "f16"] as const).map((dType) => ({
          gateUp,
          dOutput,
          dGateUp: poisonedCodes(device, rows, cols, dType).codes,
          quantized: { ...poisonedCodes(device, rows, cols, type), columnScales },
          variant: { registers },
        }));
        await runOnce(device, (program) => {
          for (const options of [plain, scaled]) swigluBackward(program, options);
        });
        const read = ({ quantized: { codes, scales } }: typeof plain) =>
          device.readAll([codes, scales]);
        const label = `${rows}×${width} ${type} ${registers}`;
        const codes = await read(plain);
        assertEquals(await read(scaled), codes, label);
        const scales = new Float32Array(codes[1]);
        const want = (await device.readMatrix(plain.dGateUp))
          .map((v, i) => v / divisors[i % cols] * scales[Math.floor(i / cols)]);
        const got = new Float16Array(await device.read(scaled.dGateUp));
        for (let row = 0; row < rows; row++) {
          const part = [row * cols, (row + 1) * cols] as const;
          const error = relativeError(got.subarray(...part), want.subarray(...part));
          assert(error < 2 ** -11, `row ${row} of ${label}: error ${error}`);
        }
      }
    }
  }
});

Deno.test("gates stay finite for huge values and show NaN", async () => {
  const gates = [-1e30, -1e4, -100, 100, 1e4, NaN];
  const width = gates.length;
  const ups = new Float32Array(width).fill(2);
  const values = merge(Float32Array.from(gates), ups, 1, width);
  const gateUp = uploadMatrix(device, values, 1, 2 * pitchOf(width)).matrix;
  const ones = uploadMatrix(device, new Float32Array(width).fill(1), 1, width).matrix;
  for (const activation of ACTIVATIONS) {
    const output = filled(device, 1, width, 5);
    const dGateUp = filled(device, 1, 2 * pitchOf(width), 5);
    await runOnce(device, (program) => {
      swiglu(program, { gateUp, activation, output });
      swigluBackward(program, { gateUp, activation, dOutput: ones, dGateUp });
    });
    const y = await device.readMatrix(output);
    assertEquals([...y].map((v) => Math.round(v)), [-0, -0, -0, 200, 20000, NaN], activation);
    const gradient = await device.readMatrix(dGateUp);
    const dGate = [...half(gradient, 0, 1, width)].map((v) => Math.round(v));
    assertEquals(dGate.map(Math.abs), [0, 0, 0, 2, 2, NaN], activation);
    const dUp = [...half(gradient, pitchOf(width), 1, width)].map((v) => Math.round(v));
    assertEquals(dUp.map(Math.abs), [0, 0, 0, 100, 10000, NaN], activation);
  }
});

Deno.test("swiglu refuses operands that do not fit", () => {
  using program = new Program(device);
  const none = device.matrix(2, 64, "f32", "gateUp");
  assertThrows(
    () => swiglu(program, { gateUp: none, output: null }),
    TypeError,
    "swiglu: neither output nor quantized is given",
  );
  const output = device.matrix(2, 20, "f32", "output");
  const gateUp = device.matrix(2, 41, "f32", "gateUp");
  const message = "gateUp is 2×41 (pitch 48), not 2×64 (pitch 64)";
  assertThrows(() => swiglu(program, { gateUp, output }), RangeError, message);
  assertThrows(
    () => swigluBackward(program, { gateUp, dOutput: output, dGateUp: gateUp }),
    RangeError,
    message,
  );
  const [dOutput, whole, halves] = [
    device.matrix(2, 32, "f32", "dOutput"),
    device.matrix(2, 64, "f32", "gateUp"),
    device.matrix(2, 64, "f16", "dGateUp"),
  ];
  assertThrows(
    () => swigluBackward(program, { gateUp: whole, dOutput, dGateUp: halves }),
    TypeError,
    "dGateUp is f16, not f32",
  );
});
