import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import type { Matrix } from "../../../src/gpu/buffers.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { crossEntropy, crossEntropyLoss } from "../../../src/kernels/rows/cross_entropy.ts";
import { dequantize } from "../../../src/kernels/rows/quantize.ts";
import { softCap } from "../../../src/kernels/rows/soft_cap.ts";
import { addSum } from "../../../src/kernels/rows/sum.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/loss.ts";
import { device } from "../../support/device.ts";
import {
  filled,
  paddingOf,
  readVector,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const BETAS = { beta1: 0.9, beta2: 0.999 };

/** Fills the padding of logits, to prove that it takes no part. */
async function poisonPadding(device: Device, matrix: Matrix): Promise<void> {
  const raw = new Float32Array(await device.read(matrix));
  for (let i = 0; i < raw.length; i++) if (i % matrix.pitch >= matrix.cols) raw[i] = 1e9;
  device.write(matrix, raw);
}

Deno.test("crossEntropy agrees with the oracle, chunk by chunk, ignored rows included", async () => {
  for (const [rows, vocab] of [[1, 1], [5, 2], [7, 361], [6, 512], [3, 5000], [2, 17001]]) {
    const targets = Int32Array.from(
      randomValues(rows, 1),
      (v, i) => i % 3 === 1 ? reference.IGNORED_LABEL : Math.floor((v + 1) / 2 * vocab),
    );
    targets[rows - 1] = vocab - 1;
    const values = randomValues(rows * vocab, 2, 5);
    const count = targets.filter((t) => t >= 0).length;
    const state = new StepState(device, BETAS);
    state.begin({ step: 1, learningRate: 0, targetCount: count });
    const sums = uploadVector(device, new Float32Array([0, 100])).vector;
    const rowLoss = uploadVector(device, new Float32Array(rows).fill(NaN)).vector;
    const evalLoss = uploadVector(device, new Float32Array(rows).fill(NaN)).vector;
    const target = uploadVector(device, targets).vector;
    const top = Math.ceil(rows / 2);
    const chunks = [[0, top], [top, rows]].filter(([a, b]) => a < b).map(([a, b]) => ({
      firstRow: a,
      logits: uploadMatrix(device, values.slice(a * vocab, b * vocab), b - a, vocab).matrix,
    }));
    for (const { logits } of chunks) await poisonPadding(device, logits);
    await runOnce(device, (program) => {
      for (const { logits, firstRow } of chunks) {
        crossEntropyLoss(program, { logits, firstRow, targets: target, rowLoss: evalLoss });
        crossEntropy(program, { logits, firstRow, targets: target, rowLoss, state });
      }
      addSum(program, { values: rowLoss, out: sums, index: 1 });
    });
    const want = reference.crossEntropy(Float64Array.from(values), targets, 1 / count);
    const got: number[] = [];
    for (const { logits } of chunks) {
      got.push(...await device.readMatrix(logits));
      assertEquals(await paddingOf(device, logits), 0);
    }
    const error = relativeError(got, want.dLogits);
    assert(error < 2e-6, `gradient of ${rows}×${vocab}: error ${error}`);
    const losses = await readVector(device, rowLoss);
    assertEquals(losses, await readVector(device, evalLoss));
    targets.forEach((t, i) => t < 0 && assertEquals(losses[i], 0));
    const [untouched, sum] = await readVector(device, sums);
    assertEquals(untouched, 0);
    assertAlmostEquals(sum - 100, want.lossSum, 2e-5 * count);
  }
});

Deno.test("crossEntropy is stable for huge logits and shows NaN", async () => {
  const state = new StepState(device, BETAS);
  state.begin({ step: 1, learningRate: 0, targetCount: 4 });
  const vocab = 5;
  const values = Float32Array.from([
    [1e4, -1e4, 0, 0, 0],
    [1e4, -1e4, 0, 0, 0],
    [-1e4, -1e4, -1e4, -1e4, -1e4],
    [0, NaN, 0, 0, 0],
  ].flat());
  const targets = uploadVector(device, Int32Array.from([0, 1, 4, 0])).vector;
  const logits = uploadMatrix(device, values, 4, vocab).matrix;
  const rowLoss = device.vector(4, "f32", "losses");
  await runOnce(device, (p) => crossEntropy(p, { logits, targets, rowLoss, state }));
  const losses = await readVector(device, rowLoss);
  assertEquals([...losses.subarray(0, 2)], [0, 2e4]);
  assertAlmostEquals(losses[2], Math.log(5), 1e-6);
  assertEquals(losses[3], NaN);
  const gradient = await device.readMatrix(logits);
  assertEquals([...gradient.subarray(0, 5)], [0, 0, 0, 0, 0]);
  assertEquals([...gradient.subarray(5, 10)], [0.25, -0.25, 0, 0, 0]);
  gradient.subarray(10, 14).forEach((g) => assertAlmostEquals(g, 0.05, 1e-7));
  assertEquals(gradient.subarray(15).every(Number.isNaN), true);
  assertEquals(await paddingOf(device, logits), 0);
});

Deno.test("crossEntropy writes its gradient in few bits, and leaves the logits", async () => {
  for (const [rows, vocab] of [[7, 361], [3, 17001]]) {
    const targets = Int32Array.from({ length: rows }, (_, i) => (i * 101 + 3) % vocab);
    targets[1] = reference.IGNORED_LABEL;
    const values = randomValues(rows * vocab, 4, 5);
    values[targets[0]] = 100; // so sure that 1 − p is 0 in f32
    const count = rows - 1;
    const want = reference.crossEntropy(Float64Array.from(values), targets, 1 / count);
    const state = new StepState(device, BETAS);
    state.begin({ step: 1, learningRate: 0, targetCount: count });
    const logits = uploadMatrix(device, values, rows, vocab).matrix;
    await poisonPadding(device, logits);
    const before = new Float32Array(await device.read(logits));
    const target = uploadVector(device, targets).vector;
    const rowLoss = uploadVector(device, new Float32Array(rows).fill(NaN)).vector;
    for (const [type, tolerance] of [["f16", 3e-4], ["e4m3", 0.03], ["e5m2", 0.06]] as const) {
      const codes = device.matrix(rows, vocab, type, "codes");
      device.write(codes, new Uint8Array(codes.size).fill(0x55));
      const scales = device.vector(rows, "f32", "scales");
      const quantized = { codes, scales };
      const decoded = filled(device, rows, vocab, NaN);
      await runOnce(device, (p) => {
        crossEntropy(p, { logits, targets: target, rowLoss, state, quantized });
        dequantize(p, { codes, scales, out: decoded });
      });
      const got = await device.readMatrix(decoded);
      const error = relativeError(got, want.dLogits);
      assert(error < tolerance, `${type}, ${rows}×${vocab}: error ${error}`);
      assertEquals(got.subarray(vocab, 2 * vocab).every((g) => g === 0), true);
      assertEquals(await paddingOf(device, decoded), 0);
      assertEquals(new Float32Array(await device.read(logits)), before);
      const losses = await readVector(device, rowLoss);
      assertAlmostEquals(losses.reduce((a, b) => a + b), want.lossSum, 2e-5 * count);
      const factors = await readVector(device, scales);
      assertEquals(factors[1], 1);
      for (let r = type === "f16" ? 2 : rows; r < rows; r++) {
        const largest = Math.max(
          ...want.dLogits.subarray(r * vocab, (r + 1) * vocab).map(Math.abs),
        );
        assertEquals(Math.log2(factors[r]) % 1, 0);
        assert(largest * factors[r] > 7.9 && largest * factors[r] < 16.1, `scale ${factors[r]}`);
      }
    }
  }
});

Deno.test("crossEntropy caps logits softly, and passes the gradient of what they were", async () => {
  for (const [rows, vocab, softCap] of [[1, 1, 30], [7, 361, 2.3], [3, 17001, 30], [5, 18, 0.5]]) {
    const targets = Int32Array.from({ length: rows }, (_, i) => (i * 101 + 3) % vocab);
    if (rows > 1) targets[1] = reference.IGNORED_LABEL;
    const count = targets.filter((t) => t >= 0).length;
    const values = randomValues(rows * vocab, 7, 6);
    values[vocab - 1] = 1e4; // far beyond any cap
    const want = reference.crossEntropy(Float64Array.from(values), targets, 1 / count, softCap);
    const state = new StepState(device, BETAS);
    state.begin({ step: 1, learningRate: 0, targetCount: count });
    const logits = uploadMatrix(device, values, rows, vocab).matrix;
    await poisonPadding(device, logits);
    const target = uploadVector(device, targets).vector;
    const [trained, evaluated, coded] = [0, 1, 2].map(() => device.vector(rows, "f32", "losses"));
    const codes = device.matrix(rows, vocab, "f16", "codes");
    const scales = device.vector(rows, "f32", "scales");
    const decoded = filled(device, rows, vocab, NaN);
    const quantized = { codes, scales };
    await runOnce(device, (p) => {
      const given = { logits, targets: target, softCap };
      crossEntropyLoss(p, { ...given, rowLoss: evaluated });
      crossEntropy(p, { ...given, rowLoss: coded, state, quantized });
      dequantize(p, { codes, scales, out: decoded });
      crossEntropy(p, { ...given, rowLoss: trained, state });
    });
    const which = `${rows}×${vocab}, cap ${softCap}`;
    const error = relativeError(await device.readMatrix(logits), want.dLogits);
    assert(error < 3e-6, `${which}: error ${error}`);
    const rounded = relativeError(await device.readMatrix(decoded), want.dLogits);
    assert(rounded < 4e-4, `${which}, in f16: error ${rounded}`);
    assertEquals(await paddingOf(device, logits), 0);
    const losses = await readVector(device, trained);
    assertEquals(await readVector(device, evaluated), losses);
    assertEquals(await readVector(device, coded), losses);
    assertAlmostEquals(losses.reduce((a, b) => a + b), want.lossSum, 2e-5 * count);
  }
});

Deno.test("softCap agrees with the definition from the least to the largest number", async () => {
  const edges = [0, 1e-30, 1e-4, 0.2499, 0.25, 0.2501, 1, 9, 88, 200, 1e10, 3e38];
  for (const [cap, cols] of [[1, 12], [30, 18], [0.7, 5]]) {
    const row = Float32Array.from({ length: cols }, (_, i) => edges[i % 12] * (i % 2 ? -1 : 1));
    const values = Float32Array.from([...row, ...row.map((x) => -x), ...randomValues(cols, 8, 50)]);
    const { matrix } = uploadMatrix(device, values, 3, cols);
    await runOnce(device, (program) => softCap(program, { values: matrix, cap }));
    (await device.readMatrix(matrix)).forEach((got, i) => {
      const want = cap * Math.tanh(values[i] / cap);
      assert(Math.abs(got - want) <= 1e-6 * Math.abs(want), `${values[i]}: ${got}, not ${want}`);
    });
    assertEquals(await paddingOf(device, matrix), 0);
  }
});

Deno.test("crossEntropy stays inside the logits for targets that are no class", async () => {
  const values = randomValues(2 * 361, 6);
  const logits = uploadMatrix(device, values, 2, 361).matrix;
  const rowLoss = device.vector(2, "f32", "losses");
  const targets = uploadVector(device, Int32Array.from([361, 2 ** 31 - 1])).vector;
  await runOnce(device, (p) => crossEntropyLoss(p, { logits, targets, rowLoss }));
  const last = Int32Array.from([360, 360]);
  const want = reference.crossEntropy(Float64Array.from(values), last, 1).lossSum;
  const [first, second] = await readVector(device, rowLoss);
  assertAlmostEquals(first + second, want, 1e-5);
});

Deno.test("addSum of many values repeats bit for bit", async () => {
  const values = randomValues(20_011, 3);
  const vector = uploadVector(device, values).vector;
  const out = device.vector(2, "f32", "sums");
  await runOnce(device, (program) => {
    addSum(program, { values: vector, out, index: 0 });
    addSum(program, { values: vector, out, index: 1 });
  });
  const [first, second] = await readVector(device, out);
  assertEquals(first, second);
  assertAlmostEquals(first, values.reduce((a, b) => a + b, 0), 1e-3);
});

Deno.test("crossEntropy refuses a chunk beyond its targets", () => {
  using program = new Program(device);
  const logits = device.matrix(3, 8, "f32", "logits");
  const targets = device.vector(4, "i32", "targets");
  const rowLoss = device.vector(4, "f32", "losses");
  assertThrows(
    () => crossEntropyLoss(program, { logits, targets, rowLoss, firstRow: 2 }),
    RangeError,
    "logits of rows 2 to 5 are given 4 targets",
  );
});
