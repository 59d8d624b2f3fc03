import { assert, assertEquals, assertThrows } from "@std/assert";
import { requestDevice } from "../src/gpu/device.ts";
import { pitchOf } from "../src/gpu/buffers.ts";
import { Program } from "../src/gpu/program.ts";
import { swiglu, swigluBackward } from "../src/kernels/swiglu.ts";
import * as reference from "../src/reference/swiglu.ts";
import { paddingOf, randomValues, relativeError, runOnce, uploadMatrix } from "./support/gpu.ts";
import { filled } from "./support/vectors.ts";

const TOLERANCE = 1e-6;

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
function half(values: Float32Array, first: number, rows: number, width: number): Float32Array {
  return Float32Array.from(
    { length: rows * width },
    (_, i) => values[Math.floor(i / width) * 2 * pitchOf(width) + first + i % width],
  );
}

Deno.test("swiglu and its gradient agree with the oracle on odd widths", async () => {
  using device = await requestDevice();
  for (const [rows, width] of [[1, 1], [3, 172], [5, 30], [2, 7], [9, 64], [3, 361]]) {
    const gate = randomValues(rows * width, 1, 8);
    const up = randomValues(rows * width, 3, 8);
    const pitch = pitchOf(width);
    const merged = merge(gate, up, rows, width);
    const gateUp = uploadMatrix(device, merged, rows, 2 * pitch).matrix;
    const dy = uploadMatrix(device, randomValues(rows * width, 2), rows, width);
    const output = filled(device, rows, width, NaN);
    const dGateUp = filled(device, rows, 2 * pitch, NaN);
    await runOnce(device, (program) => {
      swiglu(program, { gateUp, output });
      swigluBackward(program, { gateUp, dOutput: dy.matrix, dGateUp });
    });
    const exact = [Float64Array.from(gate), Float64Array.from(up)] as const;
    const want = reference.swigluBackward(dy.exact, ...exact);
    const gradient = await device.readMatrix(dGateUp);
    const checks: [string, ArrayLike<number>, ArrayLike<number>][] = [
      ["output", await device.readMatrix(output), reference.swiglu(...exact)],
      ["dGate", half(gradient, 0, rows, width), want.dGate],
      ["dUp", half(gradient, pitch, rows, width), want.dUp],
    ];
    for (const [name, got, expected] of checks) {
      const error = relativeError(got, expected);
      assert(error < TOLERANCE, `${name} of ${rows}×${width}: error ${error}`);
    }
    for (const matrix of [output, dGateUp]) assertEquals(await paddingOf(device, matrix), 0);
  }
});

Deno.test("swiglu stays finite for huge gates and shows NaN", async () => {
  using device = await requestDevice();
  const gates = [-1e30, -1e4, -100, 100, 1e4, NaN];
  const width = gates.length;
  const ups = new Float32Array(width).fill(2);
  const values = merge(Float32Array.from(gates), ups, 1, width);
  const gateUp = uploadMatrix(device, values, 1, 2 * pitchOf(width)).matrix;
  const ones = uploadMatrix(device, new Float32Array(width).fill(1), 1, width).matrix;
  const output = filled(device, 1, width, 5);
  const dGateUp = filled(device, 1, 2 * pitchOf(width), 5);
  await runOnce(device, (program) => {
    swiglu(program, { gateUp, output });
    swigluBackward(program, { gateUp, dOutput: ones, dGateUp });
  });
  const y = await device.readMatrix(output);
  assertEquals([...y].map((v) => Math.round(v)), [-0, -0, -0, 200, 20000, NaN]);
  const gradient = await device.readMatrix(dGateUp);
  const dGate = [...half(gradient, 0, 1, width)].map((v) => Math.round(v));
  assertEquals(dGate.map(Math.abs), [0, 0, 0, 2, 2, NaN]);
  const dUp = [...half(gradient, pitchOf(width), 1, width)].map((v) => Math.round(v));
  assertEquals(dUp.map(Math.abs), [0, 0, 0, 100, 10000, NaN]);
});

Deno.test("swiglu refuses a gateUp that is not twice as wide", async () => {
  using device = await requestDevice();
  using program = new Program(device);
  const output = device.matrix(2, 20, "f32", "output");
  const gateUp = device.matrix(2, 41, "f32", "gateUp");
  const message = "gateUp is 2×41 (pitch 48), not 2×64 (pitch 64)";
  assertThrows(() => swiglu(program, { gateUp, output }), RangeError, message);
  assertThrows(
    () => swigluBackward(program, { gateUp, dOutput: output, dGateUp: gateUp }),
    RangeError,
    message,
  );
});
