import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { encodeRows } from "../../src/numerics/encode_rows.ts";
import { codecOf, FORMATS } from "../../src/numerics/formats.ts";
import { decodeCodes } from "../oracle/codes.ts";
import {
  encodeStochastically,
  meanSquareOffset,
  tensorStream,
} from "../../src/numerics/stochastic.ts";
import { randomValues } from "../support/random.ts";

const CODED = [FORMATS.int8, FORMATS.e4m3, FORMATS.e5m2];
const stream = tensorStream(7, "model.layers.0.mlp.up_proj.weight");

/** The values of codes in their order, each once. */
function grid(format: (typeof CODED)[number]): number[] {
  const values = [...codecOf(format).values()].filter((value) => Math.abs(value) <= format.max);
  return [...new Set(values.map((value) => value + 0))].sort((a, b) => a - b);
}

Deno.test("a value between two codes becomes one of them, on average itself", () => {
  const count = 20_000;
  for (const format of CODED) {
    const values = grid(format);
    for (const at of [0, 1, Math.floor(values.length / 2), values.length - 2]) {
      const [low, high] = [values[at], values[at + 1]];
      for (const share of [0.03, 0.5, 0.8]) {
        const value = Math.fround(low + share * (high - low));
        const exact = (value - low) / (high - low);
        const codes = encodeStochastically(new Float32Array(count).fill(value), format, stream);
        const decoded = decodeCodes(format, codes);
        assert(decoded.every((got) => got === low || got === high), `${format.name} ${value}`);
        const upper = decoded.filter((got) => got === high).length / count;
        // Five standard deviations.
        assertAlmostEquals(upper, exact, 5 * Math.sqrt(0.25 / count), `${format.name} ${value}`);
      }
    }
  }
});

Deno.test("what a code holds keeps it, and what none holds saturates", () => {
  for (const format of CODED) {
    const values = Float32Array.from(grid(format));
    const codes = encodeStochastically(values, format, stream);
    assertEquals(decodeCodes(format, codes).map((value) => value + 0), values);
    const beyond = Float32Array.of(2 * format.max, -2 * format.max, NaN);
    assertEquals(encodeStochastically(beyond, format, stream), codecOf(format).encode(beyond));
  }
});

Deno.test("the bits are a function of seed, tensor and element", () => {
  const values = randomValues(1000, 3).map((value) => 50 * value);
  const encode = (count: number, other = stream) =>
    encodeStochastically(values.subarray(0, count), FORMATS.int8, other);
  assertEquals(encode(400), encode(1000).slice(0, 400));
  for (const [seed, name] of [[8, "a"], [7, "b"], [2 ** 40, "a"]] as const) {
    const others = encode(1000, tensorStream(seed, name));
    const differing = encode(1000).filter((code, i) => code !== others[i]);
    assert(differing.length > 200, `${seed} ${name}: ${differing.length}`);
  }
});

Deno.test("how far values are from codes tells those that were quantised from others", () => {
  for (const format of CODED) {
    const random = randomValues(20_000, 5).map((value) => format.max * value);
    assertAlmostEquals(meanSquareOffset(random, format), 1 / 12, 0.003, format.name);
    const codes = decodeCodes(format, codecOf(format).encode(random));
    assertEquals(meanSquareOffset(codes, format), 0);
  }
  assertEquals(meanSquareOffset(Float32Array.of(300), FORMATS.int8), 0);
});

Deno.test("rows are rounded to nearest, unless their values stand close to codes", () => {
  const [rows, cols] = [30, 171];
  for (const format of [FORMATS.int8, FORMATS.e4m3]) {
    const random = randomValues(rows * cols, 11);
    const { codes, scales, stochastic } = encodeRows(random, cols, format, {
      granularity: "row",
      stream,
    });
    assert(!stochastic);
    const scaled = random.map((value, i) => value / scales[Math.floor(i / cols)]);
    assertEquals(codes, codecOf(format).encode(scaled));
    for (let row = 0; row < rows; row++) {
      const largest = Math.max(...random.subarray(row * cols, (row + 1) * cols).map(Math.abs));
      assertEquals(scales[row], Math.fround(largest / format.max));
    }

    // Learned since: a tenth of a step, which rounding to nearest would lose.
    const before = decodeCodes(format, codes);
    const learned = random.map((_, i) => i % 2 ? 0.1 : -0.1);
    const step = (i: number) =>
      format === FORMATS.int8 ? 1 : Math.max(2 ** -9, Math.abs(before[i]) / 16);
    const moved = before.map((value, i) =>
      // The largest of a row stays, and with it the scale.
      (Math.abs(value) === format.max ? value : value + learned[i] * step(i)) *
      scales[Math.floor(i / cols)]
    );
    const again = encodeRows(moved, cols, format, { granularity: "row", stream });
    assert(again.stochastic);
    const after = decodeCodes(format, again.codes);
    let [arrived, wanted] = [0, 0];
    for (let i = 0; i < moved.length; i++) {
      const change = moved[i] / scales[Math.floor(i / cols)] - before[i];
      arrived += change * (after[i] - before[i]) / step(i) ** 2;
      wanted += (change / step(i)) ** 2;
    }
    assertAlmostEquals(arrived / wanted, 1, 0.2, format.name);
  }
});

Deno.test("rows of zeros, and one scale for all rows", () => {
  const values = Float32Array.of(0, 0, 0, 1, -2, 0.5);
  const row = encodeRows(values, 3, FORMATS.int8, { granularity: "row", stream });
  assertEquals([...row.scales], [1, Math.fround(2 / 127)]);
  assertEquals([...row.codes.subarray(0, 3)], [0, 0, 0]);
  const tensor = encodeRows(values, 3, FORMATS.int8, { granularity: "tensor", stream });
  assertEquals([...tensor.scales], [Math.fround(2 / 127)]);
  assertEquals(tensor.codes[4], 256 - 127);
  assertEquals(
    encodeRows(new Float32Array(0), 3, FORMATS.int8, { granularity: "row", stream }).codes.length,
    0,
  );
});
