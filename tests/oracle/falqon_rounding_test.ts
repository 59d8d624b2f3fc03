import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { decodeFp8, E4M3 } from "../../src/numerics/fp8.ts";
import { randomGenerator } from "../support/random.ts";
import {
  STOCHASTIC_E4M3,
  STOCHASTIC_INT8,
  type StochasticCodec,
  threshold,
} from "./falqon_rounding.ts";

const decodeE4m3 = (code: number) => decodeFp8(code, E4M3);
const decodeInt8 = (code: number) => code << 24 >> 24;

/** The mean over all thresholds: what is rounded up grows with the number, so its least is found by halving. */
function meanOf({ bits, round }: StochasticCodec, decode: (code: number) => number) {
  return (code: number, change: number): number => {
    const at = (random: number) => decode(round(code, change, random));
    const [first, last] = [at(0), at(2 ** bits - 1)];
    let [low, high] = [0, 2 ** bits]; // the first number that gives `last`
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (at(middle) === last) high = middle;
      else low = middle + 1;
    }
    return first + (last - first) * (1 - low / 2 ** bits);
  };
}

Deno.test("stochastic rounding to e4m3 is right on average, to 2^-19 of a step, subnormals included", () => {
  const mean = meanOf(STOCHASTIC_E4M3, decodeE4m3);
  const random = randomGenerator(1);
  for (let code = 0; code < 256; code++) {
    if ((code & 0x7f) === 0x7f) continue;
    assertEquals(mean(code, 0), decodeE4m3(code) + 0, "a code stays");
    for (const share of [0.5, 0.001, 1 - 2 ** -12, random(), 20 * random()]) {
      for (const sign of [-1, 1]) {
        const value = decodeE4m3(code);
        const change = Math.fround(sign * share * stepAt(value));
        const wanted = value + change;
        const saturated = Math.min(Math.max(wanted, -448), 448);
        // Half of the last bit of the sum in f32, and of the thresholds.
        const bound = 2 ** -19 * stepAt(wanted);
        assertAlmostEquals(mean(code, change), saturated, bound, `${value} + ${change}`);
      }
    }
  }
});

/** The distance of e4m3 values near `x`. */
function stepAt(x: number): number {
  return 2 ** (Math.max(-6, Math.floor(Math.log2(Math.abs(x) || 2 ** -9))) - 3);
}

Deno.test("stochastic rounding to int8 is right on average, to 2^-22 of a step, and never gives -128", () => {
  const mean = meanOf(STOCHASTIC_INT8, decodeInt8);
  const random = randomGenerator(2);
  for (let value = -127; value <= 127; value++) {
    assertEquals(mean(value & 0xff, 0), value, "a code stays");
    for (const share of [0.5, 0.001, 1 - 2 ** -12, random(), 20 * random(), 1e9]) {
      for (const sign of [-1, 1]) {
        const change = Math.fround(sign * share);
        const got = mean(value & 0xff, change);
        const wanted = Math.min(Math.max(value + change, -127), 127);
        // Beside the ends, where one of the two neighbours is missing.
        if (Math.abs(value + change) < 126 || Math.abs(value + change) > 128) {
          assertAlmostEquals(
            got,
            wanted,
            2 ** -22 * Math.max(1, Math.abs(change)),
            `${value} + ${change}`,
          );
        }
        assert(Math.abs(got) <= 127);
      }
    }
  }
});

/** Numbers of 256 bins, each as likely: the sum of squares has 255 degrees of freedom. */
function assertUniform(bins: readonly number[], name: string) {
  const counts = new Uint32Array(256);
  for (const bin of bins) counts[bin]++;
  const expected = bins.length / 256;
  const chiSquare = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  assert(Math.abs(chiSquare - 255) < 5 * Math.sqrt(2 * 255), `${name}: ${chiSquare}`);
}

/** The correlation of two series of uniform numbers in [0, 1). */
function correlation(a: readonly number[], b: readonly number[]): number {
  return 12 * a.reduce((sum, x, i) => sum + (x - 0.5) * (b[i] - 0.5), 0) / a.length;
}

const KEY = { low: 0x12345678, high: 0x9abcdef0 };

Deno.test("thresholds are uniform, and those of neighbours and tensors have nothing to do with each other", () => {
  const [rows, cols] = [128, 250];
  const { bits } = STOCHASTIC_INT8;
  const numbers = (key: typeof KEY, right = 0, down = 0) =>
    Array.from({ length: rows * cols }, (_, i) => {
      const [row, col] = [Math.floor(i / cols) + down, i % cols + right];
      return (threshold({ key, step: 7 }, row, col, 260, bits) + 0.5) / 2 ** bits;
    });
  const base = numbers(KEY);
  const deviation = 1 / Math.sqrt(base.length); // of a correlation
  assertUniform(base.map((x) => Math.floor(256 * x)), "alone");
  const others: [string, number[]][] = [
    ["the next column", numbers(KEY, 1)],
    ["two columns on", numbers(KEY, 2)],
    ["three columns on", numbers(KEY, 3)],
    ["the next row", numbers(KEY, 0, 1)],
    ["another tensor", numbers({ low: 0x92345678, high: 0x9abcdef1 })],
    ["half of the key", numbers({ ...KEY, high: 1 })],
  ];
  for (const [name, other] of others) {
    const found = correlation(base, other);
    assert(Math.abs(found) < 5 * deviation, `${name}: ${found}`);
    const pairs = base.map((x, i) => 16 * Math.floor(16 * x) + Math.floor(16 * other[i]));
    assertUniform(pairs, name);
  }
  // Rounding up rarely: how often two neighbours do both.
  const both = (a: number[], b: number[]) => a.filter((x, i) => x > 0.98 && b[i] > 0.98).length;
  const once = base.length * 0.02 ** 2;
  for (const [name, other] of others) {
    assert(Math.abs(both(base, other) - once) < 5 * Math.sqrt(once), `${name}: both`);
  }
});

Deno.test("in place a threshold goes on by the golden ratio, so that any run of steps covers its range evenly; else it stays", () => {
  for (const { bits } of [STOCHASTIC_E4M3, STOCHASTIC_INT8]) {
    for (let element = 0; element < 50; element++) {
      const at = (step: number | null) => threshold({ key: KEY, step }, element, element, 64, bits);
      for (const first of [1, 1000, 2 ** 31]) {
        // A change by `share` of a step, again and again: how often it rounds up, against how often it should.
        for (const share of [0.003, 0.02, 0.1, 0.37]) {
          let up = 0;
          for (let n = 0; n < 300; n++) {
            if (at(first + n) >= (1 - share) * 2 ** bits) up++;
            const off = Math.abs(up - (n + 1) * share);
            assert(
              off < 3,
              `${bits} bits, ${share} from step ${first}, ${n + 1} times: off by ${off}`,
            );
          }
        }
      }
      assertEquals(at(null), at(0), "from a reference");
    }
  }
});

/** How far a code is from the sum of its changes, in steps: the root of the mean square over many elements. */
function errorOf(thresholdAt: (element: number, step: number) => number): number {
  const random = randomGenerator(3);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const [elements, steps] = [2000, 200];
  let squares = 0;
  for (let element = 0; element < elements; element++) {
    let [mean, code, wanted] = [0, 0, 0];
    for (let step = 1; step <= steps; step++) {
      mean = 0.9 * mean + 0.1 * (0.3 + normal()); // AdamW's, of a gradient that is mostly noise
      const change = 0.05 * mean * (1 - step / steps);
      wanted += change;
      code += Math.floor(change + thresholdAt(element, step));
    }
    squares += (code - wanted) ** 2;
  }
  return Math.sqrt(squares / elements);
}

Deno.test("of changes like AdamW's, a third less is lost in noise than with independent thresholds", () => {
  const { bits } = STOCHASTIC_INT8;
  const random = randomGenerator(4);
  const independent = errorOf(() => random());
  const golden = errorOf((element, step) =>
    (threshold({ key: KEY, step }, element, 3, 8, bits) + 0.5) / 2 ** bits
  );
  assert(golden < 0.7 * independent, `${golden} against ${independent}`);
});

for (
  const [name, codec, decode, largest] of [
    ["int8", STOCHASTIC_INT8, decodeInt8, 113],
    ["e4m3", STOCHASTIC_E4M3, decodeE4m3, 384],
  ] as const
) {
  const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) =>
    Math.abs(decode(code)) <= largest && (name === "e4m3" || code !== 0x80)
  );
  const unitOf = (code: number) => name === "e4m3" ? stepAt(decode(code)) : 1;

  Deno.test(`what a code of ${name} was before a sum was added is recovered from it, from the sum and the threshold`, () => {
    const random = randomGenerator(8);
    let [wrong, tried, bias] = [0, 0, 0];
    for (const code of codes) {
      for (let n = 0; n < 400; n++) {
        const last = 2 ** codec.bits - 1;
        const above = n === 0 ? 0 : n === 1 ? last : Math.floor(random() * (last + 1));
        assertEquals(decode(codec.origin(codec.round(code, 0, above), 0, above)), decode(code) + 0);
        const sum = Math.fround((random() - 0.5) * unitOf(code) * 6);
        const got = codec.origin(codec.round(code, sum, above), sum, above);
        const off = (decode(got) - decode(code)) / unitOf(code);
        assert(Math.abs(off) <= (name === "int8" ? 0 : 4), `${code} + ${sum}: ${got}`);
        tried++;
        if (off !== 0) wrong++;
        bias += off;
      }
    }
    if (name === "int8") assertEquals(wrong, 0);
    else {
      // Only where the sum leads into larger steps. The guesses are off to either side alike.
      assert(wrong < 0.12 * tried, `${wrong} of ${tried}`);
      assert(Math.abs(bias / tried) < 0.01, `${bias / tried}`);
    }
  });

  Deno.test(`in a thousand steps no error adds up: a code of ${name} stays beside what is asked for`, () => {
    const random = randomGenerator(9);
    let squares = 0;
    for (const start of codes) {
      const above = Math.floor(random() * 2 ** codec.bits);
      let [code, sum] = [start, 0];
      for (let step = 0; step < 1000; step++) {
        const next = Math.fround(sum + (random() - 0.5) * 0.2 * unitOf(start));
        code = codec.round(codec.origin(code, sum, above), next, above);
        sum = next;
      }
      squares += ((decode(code) - decode(start) - sum) / unitOf(start)) ** 2;
    }
    // Rounding a thousand times by thresholds that are drawn anew would be off by seven steps.
    const off = Math.sqrt(squares / codes.length);
    assert(off < (name === "int8" ? 0.5 : 1), `${off}`);
  });
}
