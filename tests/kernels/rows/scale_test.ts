import { assert, assertEquals, assertThrows } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { scale } from "../../../src/kernels/rows/scale.ts";
import { relativeError } from "../../oracle/compare.ts";
import { device } from "../../support/device.ts";
import { paddingOf, runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("scale multiplies by a number of the model on odd shapes, and leaves zeros up to the pitch", async () => {
  for (const [rows, cols] of [[1, 1], [3, 7], [5, 60], [33, 130]]) {
    const values = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
    const factor = uploadVector(device, Float32Array.of(-0.8125));
    await runOnce(
      device,
      (program) => scale(program, { values: values.matrix, factor: factor.vector }),
    );
    const got = await device.readMatrix(values.matrix);
    const error = relativeError(got, values.exact.map((x) => x * factor.exact[0]));
    assert(error < 1e-7, `${rows}×${cols}: ${error}`);
    assertEquals(await paddingOf(device, values.matrix), 0);
  }
});

Deno.test("scale of no rows records nothing, and refuses a factor of several numbers", () => {
  using program = new Program(device);
  const factor = device.vector(1, "f32", "factor");
  scale(program, { values: device.matrix(0, 5, "f32", "none"), factor });
  assertEquals(program.dispatches, 0);
  const values = device.matrix(2, 5, "f32", "values");
  const several = device.vector(3, "f32", "factor");
  assertThrows(
    () => scale(program, { values, factor: several }),
    RangeError,
    "scale: factor has 3",
  );
});
