import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { ELEMENT_BYTES, pitchOf, roundUp } from "../../../src/gpu/buffers.ts";
import type { Device } from "../../../src/gpu/device.ts";
import {
  dequantizeNf4 as recordDequantize,
  nf4Weight,
  quantizeNf4 as recordQuantize,
  uploadNf4Tables,
} from "../../../src/kernels/rows/nf4.ts";
import {
  dequantizeNf4,
  DYNAMIC_VALUES,
  DYNAMIC_ZERO,
  midpoints,
  NF4_VALUES,
  NF4_ZERO,
  quantizeNf4,
} from "../../../src/numerics/nf4.ts";
import { relativeError } from "../../oracle/compare.ts";
import { normalValues } from "../../oracle/random.ts";
import { device } from "../../support/device.ts";
import { runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** P(0 < z < x) of a normal variable, by Simpson's rule. */
function normalMass(x: number): number {
  const steps = 2000;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 ? 4 : 2;
    sum += weight * Math.exp(-((i / steps * x) ** 2) / 2);
  }
  return sum * x / steps / 3 / Math.sqrt(2 * Math.PI);
}

/** x with a given {@linkcode normalMass}. */
function normalQuantile(mass: number): number {
  let [low, high] = [0, 10];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalMass(middle) < mass) low = middle;
    else high = middle;
  }
  return low;
}

Deno.test("the 16 values of NF4 are the quantiles that the paper defines", () => {
  // Equally spaced probabilities from 1/2 to 1 - δ, eight of them above zero and seven below; δ = (1/30 + 1/32) / 2.
  const edge = 0.5 - (1 / 30 + 1 / 32) / 2;
  const largest = normalQuantile(edge);
  NF4_VALUES.forEach((value, code) => {
    const steps = code > NF4_ZERO ? 8 : 7;
    const step = Math.abs(code - NF4_ZERO);
    const want = normalQuantile(edge * step / steps) / largest;
    assertAlmostEquals(Math.abs(value), want, 1e-6, `code ${code}`);
    assertEquals(Math.sign(value), Math.sign(code - NF4_ZERO));
  });
});

Deno.test("the dynamic type of NF4 scales has 127 values on either side of zero, and 1", () => {
  assertEquals(DYNAMIC_VALUES.length, 256);
  assertEquals([DYNAMIC_VALUES[DYNAMIC_ZERO], DYNAMIC_VALUES[255]], [0, 1]);
  for (let i = 1; i <= 127; i++) {
    assertEquals(DYNAMIC_VALUES[DYNAMIC_ZERO + i], -DYNAMIC_VALUES[DYNAMIC_ZERO - i]);
  }
  // The lowest decade has one value, its centre; the highest 64, 0.9 / 64 apart.
  assertAlmostEquals(DYNAMIC_VALUES[128], 0.55e-6, 1e-12);
  assertAlmostEquals(DYNAMIC_VALUES[254], 1 - 0.9 / 128, 1e-7);
  assertAlmostEquals(DYNAMIC_VALUES[254] - DYNAMIC_VALUES[253], 0.9 / 64, 1e-7);
});

Deno.test("NF4 codes are those of the nearest values", () => {
  const values = normalValues({ low: 1, high: 2 }, { mean: 0, deviation: 0.02 }, 0, 5000);
  const quantized = quantizeNf4(values);
  const nearest = (value: number, table: Readonly<Float32Array>) =>
    table.reduce((best, v, i) => Math.abs(v - value) < Math.abs(table[best] - value) ? i : best, 0);
  for (let b = 0; 64 * b < values.length; b++) {
    const block = values.subarray(64 * b, 64 * b + 64);
    const absmax = block.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    block.forEach((v, i) => {
      assertEquals(quantized.codes[64 * b + i], nearest(v / absmax, NF4_VALUES));
    });
    const centred = (absmax - quantized.offset) / quantized.groupScales[0];
    assertEquals(quantized.absmaxCodes[b], nearest(centred, DYNAMIC_VALUES));
  }
  // Normal values are off by about a tenth of their size.
  const error = relativeError(dequantizeNf4(quantized), values);
  assert(error > 0.08 && error < 0.1, `${error}`);
});

Deno.test("NF4 decodes blocks of zeros, a single block and equal magnitudes exactly", () => {
  const cases = [
    new Float32Array(200),
    Float32Array.from(NF4_VALUES, (v) => 3 * v),
    Float32Array.from({ length: 640 }, (_, i) => i % 64 === 9 ? -2 : 0),
  ];
  for (const values of cases) assertEquals(dequantizeNf4(quantizeNf4(values)), values);
});

/** Quantises and decodes on the GPU; the result is as in memory, padding included. */
async function onGpu(device: Device, values: Float32Array, rows: number, cols: number) {
  const tables = uploadNf4Tables(device);
  const { matrix: input } = uploadMatrix(device, values, rows, cols);
  const weight = nf4Weight(device, rows, cols, "test");
  const out = device.matrix(roundUp(rows, 16), cols, "f16", "decoded");
  device.write(out, new Uint8Array(out.size).fill(0x55));
  await runOnce(device, (program) => {
    recordQuantize(program, { input, weight, tables });
    recordDequantize(program, { weight, tables, out });
  });
  const codes = new Uint8Array(await device.read(weight.codes));
  const absmaxCodes = new Uint8Array(await device.read(weight.absmaxCodes));
  const statistics = new Float32Array(await device.read(weight.statistics));
  const decoded = new Float16Array(await device.read(out));
  device.free(tables, input, weight.codes, weight.absmaxCodes, weight.statistics, out);
  return { codes, absmaxCodes, statistics, decoded };
}

Deno.test("a weight with a value that is not finite decodes to nothing but NaN", async () => {
  for (const bits of [0x7fc00000, 0x7fffffff, 0xffffffff, 0x7f800000, 0xff800000]) {
    const [rows, cols] = [3, 172];
    const values = randomValues(rows * cols, 3);
    new Uint32Array(values.buffer)[200] = bits;
    const { decoded } = await onGpu(device, values, rows, cols);
    const inside = decoded.filter((_, i) => i < rows * pitchOf(cols) && i % pitchOf(cols) < cols);
    assert(!inside.some(Number.isFinite), bits.toString(16));
  }
});

Deno.test("the GPU's NF4 codes are the CPU's, bit for bit, and decode to the same f16", async () => {
  const shapes = [[1, 1], [7, 44], [3, 172], [37, 64], [16, 8], [5, 1031], [70, 256], [300, 64]];
  for (const [rows, cols] of shapes) {
    const label = `${rows}×${cols}`;
    const values = randomValues(rows * cols, rows + cols, 0.1);
    values.fill(0, 64, 130); // a block of zeros, where there are that many values
    const got = await onGpu(device, values, rows, cols);
    const blocks = Math.ceil(rows * cols / 64);
    const groups = Math.ceil(blocks / 256);
    const offset = got.statistics[groups];
    const exact = quantizeNf4(values);
    assertAlmostEquals(offset, exact.offset, 1e-6 * exact.offset, label);
    const want = quantizeNf4(values, offset);
    assertEquals(got.absmaxCodes.subarray(0, blocks), want.absmaxCodes, label);
    assertEquals(got.statistics.subarray(0, groups), want.groupScales, label);
    const decoded = dequantizeNf4(want);
    const pitch = pitchOf(cols);
    assertEquals(got.decoded.length, roundUp(rows, 16) * pitch);
    got.decoded.forEach((value, i) => {
      const [row, col] = [Math.floor(i / pitch), i % pitch];
      const inside = row < rows && col < cols;
      const code = (got.codes[i >> 1] >> (4 * (i % 2))) & 15;
      assertEquals(code, inside ? want.codes[row * cols + col] : NF4_ZERO, label);
      // Rounded to f16, in either direction.
      const wanted = inside ? decoded[row * cols + col] : 0;
      assert(Math.abs(value - wanted) <= Math.abs(wanted) * 2 ** -10 + 2 ** -25, label);
    });
  }
});

Deno.test("an NF4 weight takes 4.13 bits per value", () => {
  const { codes, absmaxCodes, statistics } = nf4Weight(device, 512, 1024, "test");
  const bytes = codes.size + absmaxCodes.size + statistics.length * ELEMENT_BYTES.f32;
  assertAlmostEquals(8 * bytes / (512 * 1024), 4.127, 0.001);
});

Deno.test("midpoints decide between neighbouring NF4 values", () => {
  assertEquals([...midpoints(Float32Array.of(-1, 0, 3))], [-0.5, 1.5]);
});
