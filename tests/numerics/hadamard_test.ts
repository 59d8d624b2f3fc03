import { assert, assertEquals } from "@std/assert";
import { rotateValues, rotationBlock } from "../../src/numerics/hadamard.ts";
import { relativeError } from "../oracle/compare.ts";
import { rotate } from "../oracle/rotation.ts";
import { randomValues } from "../support/random.ts";

Deno.test("the block of a rotation is the largest power of two up to 256 that divides the width", () => {
  const widths = [1, 2, 7, 64, 172, 288, 576, 640, 688, 1536, 4096, 8192, 11008];
  assertEquals(
    widths.map(rotationBlock),
    [1, 2, 1, 64, 4, 32, 64, 128, 16, 256, 256, 256, 256],
  );
});

Deno.test("rotated values are their blocks times Sylvester's matrix, and rotating again undoes it", () => {
  for (const block of [1, 2, 4, 8, 16, 32, 64, 128, 256]) {
    const values = randomValues(3 * block, block);
    const got = rotateValues(values.slice(), block);
    const error = relativeError(got, rotate(values, block));
    assert(error < 2e-7, `block ${block}: error ${error}`);
    assert(relativeError(rotateValues(got, block), values) < 4e-7, `block ${block} twice`);
  }
});

Deno.test("a rotation keeps the products of two rows", () => {
  const [a, b] = [randomValues(512, 1), randomValues(512, 2)].map((x) => Float64Array.from(x));
  const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  assert(Math.abs(dot(rotate(a, 256), rotate(b, 256)) - dot(a, b)) < 1e-12);
});

Deno.test("a rotation spreads an outlier evenly over its block, and leaves other blocks alone", () => {
  const values = new Float32Array(128);
  values[70] = -8;
  const rotated = rotateValues(values, 64);
  assert(rotated.subarray(0, 64).every((v) => v === 0));
  assert(rotated.subarray(64).every((v) => Math.abs(v) === 1));
});
