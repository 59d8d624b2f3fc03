import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { hash32, Random } from "../../src/numerics/random.ts";

Deno.test("Random gives the published output of xoshiro128** for the state 1, 2, 3, 4", () => {
  const random = new Random(0);
  random.state = [1, 2, 3, 4];
  assertEquals(Array.from({ length: 10 }, () => random.uint32()), [
    11520,
    0,
    5927040,
    70819200,
    2031721883,
    1637235492,
    1287239034,
    3734860849,
    3729100597,
    4258142804,
  ]);
});

Deno.test("Random continues exactly from a stored state", () => {
  const random = new Random(7);
  random.uint32();
  const state = random.state;
  const expected = Array.from({ length: 5 }, () => random.uint32());
  const resumed = new Random(99);
  resumed.state = JSON.parse(JSON.stringify(state));
  assertEquals(Array.from({ length: 5 }, () => resumed.uint32()), expected);
});

Deno.test("Random differs between seeds, streams and seeds that share their low 32 bits", () => {
  const first = (seed: number, stream: number) => new Random(seed, stream).state.join();
  const states = [[1, 0], [2, 0], [1, 1], [2, 1], [1 + 2 ** 32, 0], [0, 0]].map(([seed, stream]) =>
    first(seed, stream)
  );
  assertEquals(new Set(states).size, states.length);
});

Deno.test("Random.below is uniform and in range", () => {
  const random = new Random(3);
  const counts = new Array(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[random.below(7)]++;
  // Chi-squared with 6 degrees of freedom is below 22.5 with probability 0.999.
  const chiSquared = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  assert(chiSquared < 22.5, `chi-squared ${chiSquared}`);
  assertEquals(random.below(1), 0);
});

Deno.test("Random.below rejects the words that would favour small remainders", () => {
  // 2^32 mod bound is about a third of 2^32 here: without rejection, a third of
  // all values would be twice as likely.
  const bound = 3 * 2 ** 30;
  const random = new Random(5);
  let low = 0;
  for (let i = 0; i < 30_000; i++) if (random.below(bound) < 2 ** 30) low++;
  assert(Math.abs(low - 10_000) < 400, `${low} of 30,000 in the lowest third`);
});

Deno.test("Random.uniform stays within [0, 1) and has mean 1/2", () => {
  const random = new Random(11);
  let sum = 0;
  for (let i = 0; i < 10_000; i++) {
    const value = random.uniform();
    assert(value >= 0 && value < 1);
    sum += value;
  }
  assert(Math.abs(sum / 10_000 - 0.5) < 0.015);
});

Deno.test("hash32 depends on all bits of both numbers", () => {
  const reference = hash32(1, 2);
  assertNotEquals(hash32(1, 3), reference);
  assertNotEquals(hash32(2, 2), reference);
  assertNotEquals(hash32(1, 2 + 2 ** 40), reference);
  assertNotEquals(hash32(1 + 2 ** 40, 2), reference);
});
