import { assert, assertEquals, assertThrows } from "@std/assert";
import { ModelError, OptionError } from "../../src/errors.ts";
import { createSampler, type SamplingOptions } from "../../src/inference/sampling.ts";

/** Logits with these probabilities, shifted as logits may be. */
function logitsOf(probabilities: number[]): Float32Array {
  return Float32Array.from(probabilities, (p) => Math.log(p) + 7);
}

/** How often each token is drawn. */
function frequencies(logits: Float32Array, options: SamplingOptions, draws = 20_000): number[] {
  const sample = createSampler({ seed: 1, ...options });
  const counts = new Array(logits.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sample(logits)]++;
  return counts.map((count) => count / draws);
}

/** Asserts that the frequencies of 20,000 draws are within five standard deviations, and exact where p is 0 or 1. */
function assertDrawn(got: number[], want: number[]): void {
  for (const [id, p] of want.entries()) {
    const deviation = Math.sqrt(p * (1 - p) / 20_000);
    assert(Math.abs(got[id] - p) <= 5 * deviation, `token ${id}: ${got[id]}, expected ${p}`);
  }
}

const PROBABILITIES = [0.1, 0.4, 0.05, 0.25, 0.2];

Deno.test("at temperature 1, tokens are drawn as likely as the model says", () => {
  const options = { temperature: 1, topP: 1 };
  assertDrawn(frequencies(logitsOf(PROBABILITIES), options), PROBABILITIES);
});

Deno.test("a temperature raises the probabilities to a power", () => {
  for (const temperature of [0.5, 2]) {
    const powers = PROBABILITIES.map((p) => p ** (1 / temperature));
    const sum = powers.reduce((a, b) => a + b);
    const got = frequencies(logitsOf(PROBABILITIES), { temperature, topP: 1 });
    assertDrawn(got, powers.map((p) => p / sum));
  }
});

Deno.test("temperature 0 takes the likeliest token, the first of equals", () => {
  assertEquals(createSampler({ temperature: 0 })(Float32Array.of(-3, 2, 2, -1)), 1);
  assertEquals(createSampler({ temperature: 0, topP: 1 })(Float32Array.of(-3)), 0);
});

Deno.test("a temperature next to 0 does not overflow", () => {
  const sample = createSampler({ temperature: 1e-320, topP: 1, seed: 1 });
  assertEquals(sample(Float32Array.of(88, 3e38, -3e38)), 1);
});

Deno.test("top-p draws from the smallest set that reaches p, in its own proportions", () => {
  const cases: [topP: number, kept: number[]][] = [
    [0.3, [1]],
    [0.5, [1, 3]],
    [0.8, [1, 3, 4]],
    [0.9, [1, 3, 4, 0]],
    [0.97, [1, 3, 4, 0, 2]],
    [1e-9, [1]],
  ];
  for (const [topP, kept] of cases) {
    const sum = kept.reduce((total, id) => total + PROBABILITIES[id], 0);
    const want = PROBABILITIES.map((p, id) => kept.includes(id) ? p / sum : 0);
    assertDrawn(frequencies(logitsOf(PROBABILITIES), { temperature: 1, topP }), want);
  }
});

Deno.test("a set that holds p exactly is enough, and of equal tokens the first are taken", () => {
  const equal = new Float32Array(8);
  const want = [0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0];
  assertDrawn(frequencies(equal, { temperature: 3, topP: 0.5 }), want);
});

Deno.test("top-p counts after the temperature", () => {
  // At temperature 0.5 the two are .8 and .2 of each other's sum.
  const got = frequencies(logitsOf([2 / 3, 1 / 3]), { temperature: 0.5, topP: 0.75 });
  assertEquals(got, [1, 0]);
});

Deno.test("top-p agrees with sorting all of a large vocabulary", () => {
  const logits = Float32Array.from({ length: 5000 }, (_, id) => 3 * Math.sin(id * id));
  const weights = Array.from(logits, Math.exp);
  const total = weights.reduce((a, b) => a + b);
  const sorted = weights.map((_, id) => id).sort((a, b) => weights[b] - weights[a] || a - b);
  const nucleus = new Set<number>();
  for (let i = 0, sum = 0; sum < 0.4 * total; i++) {
    nucleus.add(sorted[i]);
    sum += weights[sorted[i]];
  }
  const sample = createSampler({ temperature: 1, topP: 0.4, seed: 2 });
  const drawn = new Set(Array.from({ length: 4000 }, () => sample(logits)));
  assert(drawn.isSubsetOf(nucleus));
  assert(drawn.size > 0.9 * nucleus.size, `${drawn.size} of ${nucleus.size} were drawn`);
});

Deno.test("a seed repeats, another one and no seed differ", () => {
  const draw = (seed?: number) => {
    const sample = createSampler({ temperature: 1, topP: 1, seed });
    return Array.from({ length: 40 }, () => sample(new Float32Array(16))).join();
  };
  assertEquals(draw(3), draw(3));
  assertEquals(new Set([draw(3), draw(4), draw(), draw()]).size, 4);
});

Deno.test("logits that are not finite and options out of range are refused", () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (const temperature of [0, 1]) {
      assertThrows(
        () => createSampler({ temperature })(Float32Array.of(0, 1, bad)),
        ModelError,
        `the model's logit of token 2 is ${bad}, not a finite number`,
      );
    }
  }
  const refused: [SamplingOptions, string][] = [
    [{ temperature: -1 }, "Cannot use temperature -1: give 0"],
    [{ temperature: NaN }, "temperature NaN"],
    [{ temperature: Infinity }, "temperature Infinity"],
    [{ topP: 0 }, "topP 0: give a share above 0 and at most 1"],
    [{ topP: 1.01 }, "topP 1.01"],
    [{ topP: NaN }, "topP NaN"],
    [{ seed: -1 }, "Cannot use seed -1"],
    [{ seed: 0.5 }, "Cannot use seed 0.5"],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => createSampler(options), OptionError, message);
  }
});
