import { assertAlmostEquals, assertEquals } from "@std/assert";
import { rowsFromPanels } from "../../../src/kernels/rows/copy_codes.ts";
import { dequantize, quantize } from "../../../src/kernels/rows/quantize.ts";
import { ALL_FORMATS, FORMATS, type NumberFormat } from "../../../src/numerics/formats.ts";
import { decodeCodes } from "../../oracle/codes.ts";
import { device } from "../../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";

/** Magnitudes below this count as vanishing: their scales would leave the range of f32. */
const SMALLEST_AMAX = 2 ** -100;

/** The scale of a row by the format's record. */
function scaleOf({ scale, max }: NumberFormat, amax: number): number {
  if (scale?.kind === "power of two") {
    return scale.below / 2 ** (Math.floor(Math.log2(Math.max(amax, SMALLEST_AMAX))) + 1);
  }
  if (amax < SMALLEST_AMAX && scale?.vanishing !== undefined) return scale.vanishing;
  return Math.fround(max / Math.max(amax, SMALLEST_AMAX));
}

Deno.test("kernels decode all 256 codes of a format as its codec, and encode their values back", async () => {
  for (const format of ALL_FORMATS.filter(({ codec }) => codec)) {
    const all = Uint8Array.from({ length: 256 }, (_, code) => code);
    const [rows, cols] = [4, 64];
    const codes = device.matrix(rows, cols, format.name, "all codes");
    device.write(codes, all);
    const scales = device.vector(rows, "f32", "scales");
    device.write(scales, new Float32Array(rows).fill(1));
    const out = poisoned(device, rows, cols);
    const again = device.matrix(rows, cols, format.name, "codes of their values");
    await runOnce(device, (program) => {
      dequantize(program, { codes, scales, out });
      quantize(program, { input: out, codes: again, scales, granularity: "given" });
    });
    const values = decodeCodes(format, all);
    assertEquals(await device.readMatrix(out), values);
    // One piece of memory in every layout.
    const got = new Uint8Array(await device.read(again)).subarray(0, all.length);
    assertEquals(got, format.codec!.encode(values));
  }
});

Deno.test("kernels make the scales that a format's record says, per row and per tensor", async () => {
  // 7/8 of a power of two: quotients of both maxima of FP8 by it are powers of two.
  const magnitudes = [0.875, 7, 0, 0.875 * 2 ** -40, 2 ** -120, 0.875 * 2 ** 60];
  const [rows, cols] = [magnitudes.length, 20];
  const values = magnitudes.flatMap((amax) => Array.from({ length: cols }, (_, c) => c % 2 * amax));
  const { matrix: input } = uploadMatrix(device, Float32Array.from(values), rows, cols);
  for (const format of ALL_FORMATS.filter(({ scale }) => scale)) {
    const codes = device.matrix(rows, cols, format.name, "codes");
    for (const granularity of format.granularities) {
      const scales = device.vector(rows, "f32", "scales");
      await runOnce(device, (program) => quantize(program, { input, codes, scales, granularity }));
      const largest = Math.max(...magnitudes);
      const want = magnitudes.map((amax) =>
        scaleOf(format, granularity === "row" ? amax : largest)
      );
      const got = new Float32Array(await device.read(scales)).subarray(0, rows);
      const which = `${format.name} per ${granularity}`;
      if (format.scale?.kind === "power of two") assertEquals([...got], want, which);
      // WGSL leaves 2.5 units in the last place to a division.
      want.forEach((scale, row) => {
        const unit = 2 ** (Math.floor(Math.log2(scale)) - 23);
        assertAlmostEquals(got[row], scale, 2.5 * unit, which);
      });
    }
  }
});

Deno.test("int8 is rounded on the GPU as by its codec: ties to even, saturated, NaN to zero", async () => {
  const whole = Array.from({ length: 260 }, (_, i) => i - 130);
  const near = [-0.5, -0.25, 0, 0.25, 0.5].flatMap((rest) => [rest, rest * (1 - 2 ** -20)]);
  const specials = [NaN, Infinity, -Infinity, 1e30, -1e30, 2 ** -140, -0, 126.99999, -127.49999];
  const values = Float32Array.from([...whole.flatMap((n) => near.map((x) => n + x)), ...specials]);
  const { name, codec } = FORMATS.int8;
  const [rows, cols] = [1, values.length];
  const input = device.matrix(rows, cols, "f32", "values");
  device.write(input, values);
  const scales = device.vector(rows, "f32", "scales");
  device.write(scales, Float32Array.of(1));
  const codes = device.matrix(rows, cols, name, "codes");
  await runOnce(
    device,
    (program) => quantize(program, { input, codes, scales, granularity: "given" }),
  );
  const got = rowsFromPanels(new Uint8Array(await device.read(codes)), codes, 0, 1);
  assertEquals(got.subarray(0, cols), codec.encode(values));
});
