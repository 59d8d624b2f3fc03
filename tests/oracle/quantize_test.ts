import { assert, assertEquals } from "@std/assert";
import { E4M3, E5M2, encodeFp8, FP8_NAN } from "../../src/numerics/fp8.ts";
import { dequantize, quantize, quantizeHalf, SMALLEST_AMAX } from "./quantize.ts";
import { randomNormal } from "../support/random.ts";

for (const format of [E4M3, E5M2]) {
  for (const granularity of ["row", "tensor"] as const) {
    Deno.test(`quantize ${format.name} with one scale a ${granularity} stays within half a step`, () => {
      const x = Float32Array.from(
        randomNormal(6 * 7, 1),
        (v, i) => v * 10 ** (Math.floor(i / 7) - 3),
      );
      const quantized = quantize(x, 7, format, granularity);
      assertEquals(new Set(quantized.scales).size, granularity === "row" ? 6 : 1);
      const values = dequantize(quantized);
      // Half a step: relative 2^-(mantissaBits + 1) of a normal value, absolute for a subnormal.
      const relative = 2 ** -(format.mantissaBits + 1);
      const smallestNormal = 2 ** (1 - format.exponentBias);
      for (let i = 0; i < x.length; i++) {
        const scale = quantized.scales[Math.floor(i / 7)];
        const bound = relative * Math.max(Math.abs(x[i]), smallestNormal / scale);
        assert(Math.abs(values[i] - x[i]) <= bound * 1.0001, `${x[i]} became ${values[i]}`);
        assertEquals(quantized.codes[i], encodeFp8(Math.fround(x[i] * scale), format));
      }
      const largest = x.reduce((best, v, i) => Math.abs(v) > Math.abs(x[best]) ? i : best, 0);
      assertEquals(quantized.codes[largest] & 0x7f, format.maxCode, "the maximum is used");
    });
  }
}

Deno.test("zero and vanishing rows of weights quantise to zeros at scale 1, not to NaN", () => {
  const x = Float32Array.of(0, -0, SMALLEST_AMAX / 2, 1e-44);
  const { codes, scales } = quantize(x, 2, E4M3, "row");
  assertEquals([...scales], [1, 1]);
  assertEquals([...codes], [0, 0x80, 0, 0]);
});

Deno.test("no row of a gradient has a larger scale than one that vanishes", () => {
  const gradient = Float32Array.of(0, -0, SMALLEST_AMAX / 2, 0, SMALLEST_AMAX, 0);
  const fp8 = quantize(gradient, 2, E5M2, "row");
  assertEquals([...fp8.scales], new Array(3).fill(E5M2.max / SMALLEST_AMAX));
  assertEquals([...fp8.codes.subarray(0, 2)], [0, 0x80]);
  const half = quantizeHalf(gradient, 2);
  assertEquals([...half.scales], new Array(3).fill(2 ** 3 / SMALLEST_AMAX));
  assertEquals([...half.codes], [0, -0, 4, 0, 8, 0]);
});

Deno.test("a row with NaN or Infinity has NaN for its scale, so that the loss shows them", () => {
  const { codes, scales } = quantize(Float32Array.of(1, NaN, 1, Infinity), 2, E4M3, "row");
  assertEquals([...scales], [NaN, NaN]);
  assertEquals([...codes], [0, FP8_NAN, 0, FP8_NAN]);
});
