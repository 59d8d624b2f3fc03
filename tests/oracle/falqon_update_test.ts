import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { decodeFp8, E4M3, encodeFp8 } from "../../src/numerics/fp8.ts";
import { relativeError } from "./compare.ts";
import {
  roundedCoefficient,
  selectRows,
  updateAccumulate,
  updateCoefficient,
  updateInPlace,
  updatePaper,
  updateRequantize,
  type UpdateStatistics,
} from "./falqon_update.ts";
import { type FalqonWeight, mergeWeight } from "./falqon_weight.ts";
import { dequantize, type ScaleGranularity } from "./quantize.ts";
import { randomGenerator, randomNormal } from "../support/random.ts";

const [outputs, inputs, rank] = [12, 20, 3];

function randomWeight(granularity: ScaleGranularity): FalqonWeight {
  const w = Float32Array.from(randomNormal(outputs * inputs, 1), (x) => x * 0.1);
  const a = Float32Array.from(randomNormal(rank * inputs, 2), (x) => x * 0.05);
  return mergeWeight(w, a, inputs, granularity);
}

/** Changes with six significant bits: every sum of the formulas below is exact in f32. */
function shortChange(seed: number): Float32Array {
  const random = randomGenerator(seed);
  return Float32Array.from({ length: outputs * rank }, () => Math.round(random() * 63 - 31) / 16);
}

/** `base + Σ_j b_ij · a_jk` on code values in f64. */
function straightforward(weight: FalqonWeight, base: Uint8Array, b: ArrayLike<number>): number[] {
  const value = (code: number) => decodeFp8(code, E4M3);
  return Array.from({ length: outputs * inputs }, (_, at) => {
    const [i, k] = [Math.floor(at / inputs), at % inputs];
    let sum = value(base[at]);
    for (let j = 0; j < rank; j++) {
      sum += b[i * rank + j] * value(weight.codes[(outputs + j) * inputs + k]);
    }
    return sum;
  });
}

function assertStatistics(
  statistics: UpdateStatistics,
  before: FalqonWeight,
  after: FalqonWeight,
  unrounded: number[],
): void {
  const written = (at: number) => statistics.rows.includes(Math.floor(at / inputs));
  const codes = [...before.codes.keys()];
  assertEquals(
    statistics.codesChanged,
    codes.filter((at) => before.codes[at] !== after.codes[at]).length,
  );
  assertEquals(
    statistics.clamps,
    unrounded.filter((value, at) => written(at) && Math.abs(value) > 448).length,
  );
}

function copy(weight: FalqonWeight): FalqonWeight {
  return { ...weight, codes: weight.codes.slice() };
}

Deno.test("a coefficient times any e4m3 value is exact in f32, so fusing changes nothing", () => {
  const random = randomGenerator(1);
  for (let n = 0; n < 2000; n++) {
    const b = Math.fround((random() - 0.5) * 2 ** Math.floor(random() * 40 - 30));
    const column = Math.fround(random() * 4);
    const row = Math.fround(random() * 4);
    const beta = updateCoefficient(b, column, row);
    const exact = Math.fround(Math.fround(b * column) * row);
    assert(Math.abs(beta - exact) < 2 ** -19 * Math.abs(exact) || exact === 0);
    for (let code = 0; code < E4M3.maxCode; code++) {
      const product = beta * decodeFp8(code, E4M3);
      assertEquals(Math.fround(product), product);
    }
  }
  assertEquals(updateCoefficient(2 ** -96, 1, 1), 2 ** -96);
  assertEquals(updateCoefficient(-(2 ** -96) * 0.999, 1, 1), 0);
  assertEquals(updateCoefficient(NaN, 1, 1), NaN);
});

Deno.test("a rounded coefficient has 11 bits, so that f16 holds it", () => {
  const random = randomGenerator(2);
  for (let n = 0; n < 500; n++) {
    const b = Math.fround((random() - 0.5) * 2 ** Math.floor(random() * 40 - 30));
    const beta = roundedCoefficient(b, 1.5, 0.75);
    const exact = Math.fround(Math.fround(b * 1.5) * 0.75);
    assert(Math.abs(beta - exact) <= 2 ** -11 * Math.abs(exact));
    const scaled = beta / 2 ** Math.floor(Math.log2(Math.abs(beta)));
    assertEquals(Math.f16round(scaled), scaled);
  }
});

Deno.test("updateInPlace gives each code one of the two neighbours of what it asks for, right on average", () => {
  const weight = randomWeight("tensor");
  const change = shortChange(3).map((x) => x / 16);
  const expected = straightforward(weight, weight.codes, change)
    .map((x) => Math.min(Math.max(x, -448), 448));
  const sums = new Float64Array(outputs * inputs);
  const count = 400;
  const step = (x: number) => 2 ** (Math.max(-6, Math.floor(Math.log2(Math.abs(x)))) - 3);
  for (let n = 1; n <= count; n++) {
    const written = copy(weight);
    const { rows } = updateInPlace(written, change, 1, { key: { low: 1, high: 2 }, step: n });
    assertEquals(rows.length, outputs);
    sums.forEach((sum, at) => {
      const value = decodeFp8(written.codes[at], E4M3);
      assert(Math.abs(value - expected[at]) < step(expected[at]), `element ${at} of step ${n}`);
      sums[at] = sum + value;
    });
    assertEquals(written.codes.subarray(sums.length), weight.codes.subarray(sums.length), "A");
  }
  // The deviation of a rounding is at most half a step.
  const off = sums.map((sum, at) => (sum / count - expected[at]) / step(expected[at]));
  off.forEach((x, at) => assert(Math.abs(x) < 5 * 0.5 / Math.sqrt(count), `element ${at}: ${x}`));
  const mean = off.reduce((sum, x) => sum + x, 0) / off.length;
  assert(Math.abs(mean) < 5 * 0.5 / Math.sqrt(count * off.length), `mean ${mean}`);
});

Deno.test("selectRows takes the largest sums of magnitudes, lower indices first among equals", () => {
  const change = Float32Array.of(1, -1, 0, 3, 2, 0, -3, 0, 0, 0);
  assertEquals(selectRows(change, 2, 2), [1, 3]);
  assertEquals(selectRows(change, 2, 3), [0, 1, 3], "row 0 before row 2");
  assertEquals(selectRows(change, 2, Infinity), [0, 1, 2, 3, 4]);
});

for (const rule of [updatePaper, updateAccumulate]) {
  Deno.test(`${rule.name}: top rows are rounded sums, the rest and A stay, over many steps`, () => {
    const weight = randomWeight("tensor");
    for (let step = 0; step < 20; step++) {
      const before = copy(weight);
      const b = shortChange(step + 1);
      const expected = straightforward(before, before.codes, b);
      const statistics = rule(weight, b, 4);
      assertEquals(statistics.rows.length, 4);
      for (let at = 0; at < weight.codes.length; at++) {
        const written = statistics.rows.includes(Math.floor(at / inputs));
        const code = written ? encodeFp8(expected[at], E4M3) : before.codes[at];
        assertEquals(weight.codes[at], code, `step ${step}, element ${at}`);
      }
      assertStatistics(statistics, before, weight, expected);
    }
  });
}

Deno.test("updatePaper zeroes all of B; a change below half a step is lost", () => {
  const weight = randomWeight("tensor");
  const before = copy(weight);
  const b = new Float32Array(outputs * rank).fill(1e-6);
  const { codesChanged, intendedSquared, realizedDotIntended } = updatePaper(weight, b, outputs);
  assertEquals(b, new Float32Array(outputs * rank));
  const values = (w: FalqonWeight) => dequantize(w);
  assertEquals(values(weight).map((x) => x + 0), values(before).map((x) => x + 0));
  assertEquals(realizedDotIntended, 0);
  assert(intendedSquared > 0);
  assertEquals(codesChanged, before.codes.filter((c, i) => c !== weight.codes[i]).length);
});

for (const granularity of ["row", "tensor"] as const) {
  Deno.test(`updateAccumulate with one scale per ${granularity}: B and the codes lose nothing A can say`, () => {
    const weight = randomWeight(granularity);
    const before = dequantize(weight);
    const b = Float32Array.from(randomNormal(outputs * rank, 3), (x) => x * 0.1);
    const asked = b.slice();
    const { rows } = updateAccumulate(weight, b, 5);
    const after = dequantize(weight);
    const a = after.subarray(outputs * inputs);
    for (let i = 0; i < outputs; i++) {
      const kept = b.subarray(i * rank, (i + 1) * rank);
      const wanted = asked.subarray(i * rank, (i + 1) * rank);
      if (!rows.includes(i)) {
        assertEquals(kept, wanted);
        continue;
      }
      // Realised change + what is kept − what was asked is orthogonal to every row of A.
      for (let l = 0; l < rank; l++) {
        let overlap = 0;
        for (let k = 0; k < inputs; k++) {
          let rest = after[i * inputs + k] - before[i * inputs + k];
          for (let j = 0; j < rank; j++) rest += (kept[j] - wanted[j]) * a[j * inputs + k];
          overlap += rest * a[l * inputs + k];
        }
        assertAlmostEquals(overlap, 0, 1e-7);
      }
    }
  });

  Deno.test(`updateRequantize with one scale a ${granularity} is the rounding of W + c·B·A`, () => {
    const weight = randomWeight(granularity);
    const reference = weight.codes.slice(0, outputs * inputs);
    const before = copy(weight);
    const b = Float32Array.from(randomNormal(outputs * rank, 3), (x) => x * 0.3);
    const bFlushed = new Float32Array(outputs * rank);
    const { rows } = updateRequantize(weight, reference, b, bFlushed, 0.5, 7);
    assertEquals(rows, selectRows(b, rank, 7));
    const scaled = b.map((x, at) => {
      const [i, j] = [Math.floor(at / rank), at % rank];
      return 0.5 * x * weight.scales[i] / weight.scales[outputs + j];
    });
    const expected = straightforward(before, reference, scaled);
    for (let at = 0; at < weight.codes.length; at++) {
      if (!rows.includes(Math.floor(at / inputs))) {
        assertEquals(weight.codes[at], before.codes[at]);
        continue;
      }
      // The formula in f64 may fall on the other side of a tie that f32 falls on.
      const candidates = [1 - 1e-5, 1 + 1e-5].map((f) => encodeFp8(expected[at] * f, E4M3));
      assert(candidates.includes(weight.codes[at]), `element ${at}`);
    }
    for (let i = 0; i < outputs; i++) {
      const row = (m: Float32Array) => m.subarray(i * rank, (i + 1) * rank);
      assertEquals(row(bFlushed), rows.includes(i) ? row(b) : new Float32Array(rank));
    }
  });
}

Deno.test("updateRequantize forgets how it came there: B back at zero restores the codes", () => {
  const weight = randomWeight("row");
  const reference = weight.codes.slice(0, outputs * inputs);
  const bFlushed = new Float32Array(outputs * rank);
  const b = new Float32Array(outputs * rank);
  for (let step = 1; step <= 5; step++) {
    b.set(shortChange(step));
    updateRequantize(weight, reference, b, bFlushed, 1, 3);
  }
  b.fill(0);
  const { rows } = updateRequantize(weight, reference, b, bFlushed, 1);
  assertEquals(rows.length, outputs);
  const restored = Array.from(reference, (code) => decodeFp8(code, E4M3) + 0);
  const values = weight.codes.subarray(0, outputs * inputs);
  assertEquals(Array.from(values, (code) => decodeFp8(code, E4M3) + 0), restored);
});

Deno.test("updateRequantize writes first the rows whose change waits longest to be written", () => {
  const weight = randomWeight("row");
  const reference = weight.codes.slice(0, outputs * inputs);
  const b = new Float32Array(outputs * rank).fill(1);
  b.fill(9, 0, rank);
  const bFlushed = new Float32Array(outputs * rank);
  assertEquals(updateRequantize(weight, reference, b, bFlushed, 1, 1).rows, [0]);
  assertEquals(updateRequantize(weight, reference, b, bFlushed, 1, 1).rows, [1]);
  assertEquals(updateRequantize(weight, reference, b, bFlushed, 1, 1).rows, [2]);
});

Deno.test("the share realized is 1 for a change the codes can hold, less with unwritten rows", () => {
  // W is zero but for one element that sets the scale, A is one row of powers of two.
  const w = new Float32Array(4 * 3);
  w[0] = 448;
  const a = Float32Array.of(1, 2, 4);
  const build = () => mergeWeight(w, a, 3, "tensor");
  const share = ({ realizedDotIntended, intendedSquared }: UpdateStatistics) =>
    realizedDotIntended / intendedSquared;
  const b = () => Float32Array.of(0, 1, 2, 2);
  assertEquals(share(updatePaper(build(), b(), 4)), 1);
  assertEquals(share(updatePaper(build(), b(), 2)), 8 / 9);
  const master = b().map((x) => 2 * x);
  const reference = build().codes.slice(0, w.length);
  assertEquals(share(updateRequantize(build(), reference, master, new Float32Array(4), 0.5)), 1);
  const weight = build();
  const clamped = updatePaper(weight, Float32Array.of(1e4, 0, 0, 0), 1);
  assertEquals(clamped.clamps, 3);
  assertEquals(dequantize(weight).subarray(0, 3), Float64Array.of(448, 448, 448));
  const rest = Float32Array.of(0, 1.03, 0, 0);
  const accumulated = updateAccumulate(build(), rest, 1);
  assert(share(accumulated) < 1);
  assert(relativeError(rest, [0, 0.03, 0, 0]) < 1e-5);
});
