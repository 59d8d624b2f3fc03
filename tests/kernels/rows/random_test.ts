import { assert, assertEquals } from "@std/assert";
import { type Matrix, pitched } from "../../../src/gpu/buffers.ts";
import { readDense } from "../../../src/layers/load.ts";
import { randomNormal, randomUniform } from "../../../src/kernels/rows/random.ts";
import { RandomSource } from "../../../bench/support/random_source.ts";
import { normalValues, randomKey, uniformValues } from "../../oracle/random.ts";
import { device } from "../../support/device.ts";
import { filled, runOnce } from "../../support/gpu.ts";

/** Rows and columns: one element, no padding, padding, more than a workgroup. */
const SHAPES = [[1, 1], [3, 16], [5, 30], [40, 70]] as const;

Deno.test("the GPU makes the random numbers of the oracle, bit for bit, and zero padding", async () => {
  const key = randomKey(7, "model.layers.0.mlp.up_proj.weight");
  for (const [rows, cols] of SHAPES) {
    const read = async (out: Matrix) => new Float32Array(await device.read(out));
    const out = filled(device, rows, cols, NaN);
    await runOnce(device, (p) => randomNormal(p, { key, mean: 0, deviation: 0.02, out }));
    const normal = normalValues(key, { mean: 0, deviation: 0.02 }, 0, rows * cols);
    assertEquals(await read(out), pitched(normal, rows, cols, out.pitch));
    await runOnce(device, (p) => randomUniform(p, { key, bound: 0.3, out }));
    const uniform = uniformValues(key, 0.3, 0, rows * cols);
    assertEquals(await read(out), pitched(uniform, rows, cols, out.pitch));
  }
});

Deno.test("uniform random numbers fill their range evenly", () => {
  const [count, bound] = [100_000, 0.25];
  const values = uniformValues(randomKey(1, "a"), bound, 0, count);
  assert(values.every((x) => Math.abs(x) < bound));
  const moment = (power: number) =>
    values.reduce((sum, x) => sum + (x / bound) ** power, 0) / count;
  for (const power of [1, 2, 3, 4]) {
    const want = power % 2 === 0 ? 1 / (power + 1) : 0;
    assert(Math.abs(moment(power) - want) < 0.01, `${power}: ${moment(power)}`);
  }
});

Deno.test("f16 holds the same random numbers, rounded", async () => {
  const key = randomKey(7, "lm_head.weight");
  const out = device.matrix(5, 30, "f16", "random");
  await runOnce(device, (p) => randomNormal(p, { key, mean: 0, deviation: 0.02, out }));
  const got = await readDense(device, out);
  const want = normalValues(key, { mean: 0, deviation: 0.02 }, 0, 150);
  // A unit in the last place of f16: how a GPU rounds is its own affair.
  assert(got.every((x, i) => Math.abs(x - want[i]) <= Math.abs(want[i]) * 2 ** -10 + 2 ** -24));
});

Deno.test("random numbers have the mean, variance and kurtosis promised, and sequences differ", () => {
  const count = 100_000;
  const draw = (seed: number, name: string) =>
    normalValues(randomKey(seed, name), { mean: 0, deviation: 1 }, 0, count);
  const moment = (a: Float32Array, b: Float32Array, power: number) =>
    a.reduce((sum, x, i) => sum + (x * b[i]) ** power, 0) / count;
  const z = draw(1, "a");
  assert(Math.abs(z.reduce((sum, x) => sum + x, 0) / count) < 0.01);
  assert(Math.abs(moment(z, z, 1) - 1) < 0.02);
  assert(Math.abs(moment(z, z, 2) - 2.85) < 0.1);
  for (const other of [draw(2, "a"), draw(1, "b"), z.map((_, i) => z[(i + 1) % count])]) {
    assert(Math.abs(moment(z, other, 1)) < 0.02);
  }
  const { mean, deviation } = { mean: 3, deviation: 0.5 };
  const part = normalValues(randomKey(1, "a"), { mean, deviation }, 10, 5);
  assert(part.every((x, i) => Math.abs(x - (3 + 0.5 * z[10 + i])) < 1e-6));
});

Deno.test("a source of random weights gives the host what it gives the GPU, with norms of 1", async () => {
  const source = new RandomSource(3);
  for (
    const [name, rows, cols] of [["x.q_proj.weight", 6, 20], [
      "a.input_layernorm.weight",
      1,
      20,
    ]] as const
  ) {
    const out = filled(device, rows, cols, NaN);
    await runOnce(device, (p) => source.fill(p, name, out));
    const [first, count] = rows > 1 ? [2, 3] : [0, 1];
    const values = await device.readMatrix(out);
    const want = await source.rows(name, [rows, cols], first, count);
    assertEquals(values.slice(first * cols, (first + count) * cols), want);
    assertEquals(want.every((x) => x === 1), name.includes("norm"));
  }
});
