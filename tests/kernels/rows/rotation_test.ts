import { assert, assertEquals, assertThrows } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { rotate } from "../../../src/kernels/rows/rotation.ts";
import { rotateValues } from "../../../src/numerics/hadamard.ts";
import { relativeError } from "../../oracle/compare.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const SHAPES: readonly [rows: number, cols: number, block: number][] = [
  ...[1, 2, 4, 8, 16, 32, 64, 128, 256].map((n) => [1, n, n] as [number, number, number]),
  [3, 5, 1],
  [5, 22, 2],
  [3, 172, 4],
  [7, 40, 8],
  [5, 688, 16],
  [3, 288, 32],
  [5, 576, 64],
  [3, 640, 128],
  [3, 1536, 256],
  [2, 1536, 64],
];

Deno.test("rotate agrees with the host's rotation bit for bit on odd shapes, in place and not", async () => {
  for (const [rows, cols, block] of SHAPES) {
    const values = randomValues(rows * cols, rows + cols + block);
    const { matrix: input } = uploadMatrix(device, values, rows, cols);
    const inPlace = uploadMatrix(device, values, rows, cols).matrix;
    const output = poisoned(device, rows, cols);
    await runOnce(device, (program) => {
      rotate(program, { input, output, block });
      rotate(program, { input: inPlace, block });
    });
    const want = rotateValues(values.slice(), block);
    const label = `${rows}×${cols} by ${block}`;
    assertEquals(await device.readMatrix(output), want, label);
    assertEquals(await device.readMatrix(inPlace), want, `${label} in place`);
    assertEquals(await device.readMatrix(input), values, `input of ${label}`);
    for (const matrix of [output, inPlace]) assertEquals(await paddingOf(device, matrix), 0, label);
  }
});

Deno.test("rotate adds to another output on request, in blocks of one as well", async () => {
  for (const [rows, cols, block] of SHAPES) {
    const values = randomValues(rows * cols, rows + cols);
    const held = randomValues(rows * cols, 1);
    const input = uploadMatrix(device, values, rows, cols).matrix;
    const output = uploadMatrix(device, held, rows, cols).matrix;
    await runOnce(device, (program) => rotate(program, { input, output, accumulate: true, block }));
    const want = rotateValues(values.slice(), block).map((v, i) => v + held[i]);
    const error = relativeError(await device.readMatrix(output), want);
    assert(error < 1e-6, `${rows}×${cols} by ${block}: ${error}`);
    assertEquals(await paddingOf(device, output), 0);
  }
});

Deno.test("rotate of no rows does nothing", async () => {
  using program = new Program(device);
  rotate(program, { input: device.matrix(0, 64, "f32", "nothing"), block: 64 });
  assertEquals((await program.prepare()).dispatches, 0);
});

Deno.test("rotate refuses what it cannot rotate", () => {
  using program = new Program(device);
  const input = device.matrix(2, 48, "f32", "input");
  const refuses = (block: number) =>
    assertThrows(
      () => rotate(program, { input, block }),
      RangeError,
      `rotate: cannot rotate rows of 48 by blocks of ${block}: ` +
        "expected a power of two up to 256 that divides them",
    );
  for (const block of [0, 3, 12, 32, 512]) refuses(block);
  const output = device.matrix(2, 64, "f32", "output");
  assertThrows(() => rotate(program, { input, output, block: 16 }), RangeError, "output is 2×64");
  for (const block of [1, 16]) {
    assertThrows(
      () => rotate(program, { input, accumulate: true, block }),
      RangeError,
      "rotate: nothing is added without an output",
    );
  }
  const half = device.matrix(2, 48, "f16", "input");
  assertThrows(() => rotate(program, { input: half, block: 16 }), TypeError, "input is f16");
});
