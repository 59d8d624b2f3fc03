import { assert, assertEquals, assertThrows } from "@std/assert";
import { requestDevice } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import { swiglu, swigluBackward } from "../src/kernels/swiglu.ts";
import * as reference from "../src/reference/swiglu.ts";
import { paddingOf, randomValues, relativeError, runOnce, uploadMatrix } from "./support/gpu.ts";
import { filled } from "./support/vectors.ts";

const TOLERANCE = 1e-6;

/** Splits packed rows [rows, 2·width] into gate and up. */
function split(values: Float64Array, rows: number, width: number): [Float64Array, Float64Array] {
  const half = (first: number) =>
    Float64Array.from(
      { length: rows * width },
      (_, i) => values[Math.floor(i / width) * 2 * width + first + i % width],
    );
  return [half(0), half(width)];
}

Deno.test("swiglu and its gradient agree with the oracle on odd widths", async () => {
  using device = await requestDevice();
  for (const [rows, width] of [[1, 1], [3, 172], [5, 30], [2, 7], [9, 64], [3, 361]]) {
    const gateUp = uploadMatrix(device, randomValues(rows * 2 * width, 1, 8), rows, 2 * width);
    const dy = uploadMatrix(device, randomValues(rows * width, 2), rows, width);
    const output = filled(device, rows, width, NaN);
    const dGateUp = filled(device, rows, 2 * width, NaN);
    await runOnce(device, (program) => {
      swiglu(program, { gateUp: gateUp.matrix, output });
      swigluBackward(program, { gateUp: gateUp.matrix, dOutput: dy.matrix, dGateUp });
    });
    const [gate, up] = split(gateUp.exact, rows, width);
    const want = reference.swigluBackward(dy.exact, gate, up);
    const [dGate, dUp] = split(
      Float64Array.from(await device.readMatrix(dGateUp)),
      rows,
      width,
    );
    const checks: [string, ArrayLike<number>, ArrayLike<number>][] = [
      ["output", await device.readMatrix(output), reference.swiglu(gate, up)],
      ["dGate", dGate, want.dGate],
      ["dUp", dUp, want.dUp],
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
  const values = Float32Array.from([...gates, ...gates.map(() => 2)]);
  const gateUp = uploadMatrix(device, values, 1, 2 * width).matrix;
  const ones = uploadMatrix(device, new Float32Array(width).fill(1), 1, width).matrix;
  const output = filled(device, 1, width, 5);
  const dGateUp = filled(device, 1, 2 * width, 5);
  await runOnce(device, (program) => {
    swiglu(program, { gateUp, output });
    swigluBackward(program, { gateUp, dOutput: ones, dGateUp });
  });
  const y = await device.readMatrix(output);
  assertEquals([...y].map((v) => Math.round(v)), [-0, -0, -0, 200, 20000, NaN]);
  const gradient = await device.readMatrix(dGateUp);
  const dGate = [...gradient.subarray(0, width)].map((v) => Math.round(v));
  assertEquals(dGate.map(Math.abs), [0, 0, 0, 2, 2, NaN]);
  const dUp = [...gradient.subarray(width)].map((v) => Math.round(v));
  assertEquals(dUp.map(Math.abs), [0, 0, 0, 100, 10000, NaN]);
});

Deno.test("swiglu refuses a gateUp that is not twice as wide", async () => {
  using device = await requestDevice();
  using program = new Program(device);
  const output = device.matrix(2, 20, "f32", "output");
  const gateUp = device.matrix(2, 41, "f32", "gateUp");
  const message = "gateUp is 2×41 (pitch 48), not 2×40 (pitch 48)";
  assertThrows(() => swiglu(program, { gateUp, output }), RangeError, message);
  assertThrows(
    () => swigluBackward(program, { gateUp, dOutput: output, dGateUp: gateUp }),
    RangeError,
    message,
  );
});
