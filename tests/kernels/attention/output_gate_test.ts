import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { outputGate, outputGateBackward } from "../../../src/kernels/attention/output_gate.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/delta_net.ts";
import { device } from "../../support/device.ts";
import { filled, paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("outputGate and its gradient agree with the oracle on odd shapes", async () => {
  for (const [tokens, width, column] of [[1, 1, 0], [5, 37, 48], [131, 96, 16]]) {
    const cols = column + width + 3;
    const attended = uploadMatrix(device, randomValues(tokens * width, 1), tokens, width);
    const given = randomValues(tokens * cols, 2, 5);
    // Columns behind those of a layer are zero up to a multiple of 16.
    const merged = uploadMatrix(
      device,
      given.map((value, i) => i % cols < column + width ? value : 0),
      tokens,
      cols,
    );
    const d = uploadMatrix(device, randomValues(tokens * width, 3), tokens, width);
    const output = filled(device, tokens, width, 7);
    const dMerged = device.matrix(tokens, cols, "f32", "gradient");
    const [z, dZ] = [merged.matrix, dMerged].map((matrix) => columnsOf(matrix, column, width));
    await runOnce(device, (program) => {
      outputGate(program, { attended: attended.matrix, z, output });
      outputGateBackward(program, { attended: attended.matrix, z, d: d.matrix, dZ });
    });
    const gate = takeColumns(merged.exact, cols, { column, cols: width });
    const { dx, dz } = reference.outputGateBackward(d.exact, attended.exact, gate);
    const got = await device.readMatrix(dMerged);
    const checks: [ArrayLike<number>, Float64Array][] = [
      [await device.readMatrix(output), reference.outputGate(attended.exact, gate)],
      [await device.readMatrix(d.matrix), dx],
      [takeColumns(got, cols, { column, cols: width }), dz],
    ];
    for (const [values, want] of checks) assert(relativeError(values, want) < 1e-6);
    assert(
      got.every((value, i) => value === 0 || (i % cols >= column && i % cols < column + width)),
    );
    assertEquals([await paddingOf(device, output), await paddingOf(device, d.matrix)], [0, 0]);
  }
});

Deno.test("outputGate makes no number of NaN", async () => {
  const bits = [0x7fc00000, 0x7fffffff, 0xffffffff, 0x7f800000, 0xff800000, 0xc2a00001, 0x40000000];
  const z = new Float32Array(Uint32Array.from(bits).buffer); // NaN, infinities, just below -80, 2
  const [attended, merged] = [new Float32Array(z.length).fill(2), z]
    .map((values) => uploadMatrix(device, values, 1, z.length).matrix);
  const output = filled(device, 1, z.length, 7);
  await runOnce(
    device,
    (program) => outputGate(program, { attended, z: columnsOf(merged), output }),
  );
  const got = await device.readMatrix(output);
  assertEquals([...got].slice(0, 4), [NaN, NaN, NaN, 2]);
  assert(got[4] >= 0 && got[4] < 1e-30 && got[5] < 1e-30, `${got}`);
  assert(Math.abs(got[6] - 2 / (1 + Math.exp(-2))) < 1e-6, `${got}`);
});

Deno.test("outputGate of no tokens records nothing, and operands that do not fit are refused", () => {
  using program = new Program(device);
  const matrix = (rows: number, cols: number) => device.matrix(rows, cols, "f32", "operand");
  const [attended, merged] = [matrix(0, 16), matrix(0, 48)];
  const z = columnsOf(merged, 16, 16);
  outputGate(program, { attended, z, output: attended });
  outputGateBackward(program, { attended, z, d: attended, dZ: z });
  assertEquals(program.dispatches, 0);
  const refuses = (record: () => void, message: string) =>
    assertThrows(record, RangeError, message);
  const bad = { ...z, column: 40, cols: 8 };
  refuses(() => outputGate(program, { attended, z: bad, output: attended }), "which must be 16");
  refuses(
    () => outputGateBackward(program, { attended, z, d: attended, dZ: { ...z, column: 0 } }),
    "dZ begins at column 0, not 16",
  );
});
