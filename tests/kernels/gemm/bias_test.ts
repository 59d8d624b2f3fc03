/** The bias of a product, in every kernel, into both types of output, with all else that a product comes with. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type ElementType, firstOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { gemm, type GemmOptions } from "../../../src/kernels/gemm/gemm.ts";
import {
  GEMM_VARIANTS,
  type GemmVariant,
  halfVariant,
  tensorVariant,
} from "../../../src/kernels/gemm/variants.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { finishedProduct, integerProductNT } from "../../oracle/int8_product.ts";
import { linear } from "../../oracle/linear.ts";
import { device } from "../../support/device.ts";
import {
  paddingOf,
  poisoned,
  runOnce,
  tensorSlack,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomCodes, uploadCodes } from "../../support/panels.ts";
import { randomValues } from "../../support/random.ts";

/** Of sums in f32. */
const TOLERANCE = 1e-6;
/** On tensor cores. */
const tensorTolerance = (k: number) => TOLERANCE + tensorSlack(device, k);
/** Of sums in f16, which are joined in f32 every few steps. */
const HALF_TOLERANCE = 1.5e-3;

/**
 * Every kernel of values, an operand type, and the tolerance of a contraction of k; fragments are emulated where there are no
 * tensor cores.
 */
const VARIANTS: [string, GemmVariant, ElementType, (k: number) => number][] = [
  ["f32", GEMM_VARIANTS.small, "f32", () => TOLERANCE],
  ["f32 of codes", GEMM_VARIANTS.small, "e4m3", () => TOLERANCE],
  ["half", halfVariant(64, 64, 2), "f16", () => HALF_TOLERANCE],
  ["tensor", tensorVariant(64, 64), "f16", tensorTolerance],
  ["tensor of codes", tensorVariant(64, 64), "e4m3", tensorTolerance],
];

/** m, n, k that fill no tile and no vector; one row; one of everything; a contraction that would be split. */
const SHAPES: [number, number, number][] = [[1, 1, 1], [1, 70, 30], [67, 145, 45], [5, 18, 1100]];

/** A bias whose elements behind the last are no zeros, as in a view of a longer vector. */
function uploadBias(length: number, seed: number) {
  const values = randomValues(length + 3, seed, 5);
  const bias = firstOf(uploadVector(device, values).vector, length);
  return { bias, exact: Float64Array.from(values.subarray(0, length)) };
}

Deno.test("every kernel adds a bias to each row of a product, and keeps zeros behind the last column", async () => {
  if (!device.hasF16) {
    console.log("skipped: this adapter has no f16");
    return;
  }
  for (const [name, variant, type, toleranceOf] of VARIANTS) {
    for (const [m, n, k] of SHAPES) {
      const tolerance = toleranceOf(k);
      const a = uploadMatrix(device, randomValues(m * k, 1, 3), m, k, type);
      const b = uploadMatrix(device, randomValues(n * k, 2, 3), n, k, type);
      const { bias, exact } = uploadBias(n, 3);
      const operands = { layout: "nt", a: a.matrix, b: b.matrix, bias, variant } as const;
      const want = linear(a.exact, b.exact, m, exact);
      const out = poisoned(device, m, n);
      await runOnce(device, (program) => gemm(program, { ...operands, out }));
      const error = relativeError(await device.readMatrix(out), want);
      assert(error < tolerance, `${name} ${m}×${n}×${k}: error ${error}`);
      assertEquals(await paddingOf(device, out), 0);

      const half = device.matrix(m, n, "f16", "product");
      await runOnce(device, (program) => gemm(program, { ...operands, out: half }));
      const halves = new Float16Array(await device.read(half));
      const got = takeColumns(halves, half.pitch, { column: 0, cols: n });
      assert(relativeError(got, want) < Math.max(1e-3, tolerance), `${name} ${m}×${n}×${k} in f16`);
      assert(takeColumns(halves, half.pitch, { column: n, cols: half.pitch - n }).every((v) => !v));
    }
  }
});

Deno.test("a bias is added once, with its own factor, beside an addend and an old output, and not to a second output", async () => {
  if (!device.hasF16) {
    console.log("skipped: this adapter has no f16");
    return;
  }
  const [m, main, side, k] = [70, 48, 16, 75];
  const n = main + side;
  const [rows, columns] = [m, n].map((length) =>
    uploadVector(device, randomValues(length, length).map((value) => value + 2))
  );
  const { bias, exact } = uploadBias(main, 3);
  const addend = uploadMatrix(device, randomValues(m * main, 4), m, main);
  const old = randomValues(m * main, 5);
  for (const [name, variant, type, toleranceOf] of VARIANTS) {
    const tolerance = toleranceOf(k);
    const a = uploadMatrix(device, randomValues(m * k, 1), m, k, type);
    const b = uploadMatrix(device, randomValues(n * k, 2), n, k, type);
    const out = uploadMatrix(device, old, m, main);
    const secondOutput = poisoned(device, m, side);
    const alpha = 0.5;
    await runOnce(device, (program) =>
      gemm(program, {
        layout: "nt",
        a: a.matrix,
        b: b.matrix,
        out: out.matrix,
        secondOutput,
        rowScales: rows.vector,
        columnScales: columns.vector,
        alpha,
        bias,
        biasFactor: 0.25,
        addend: addend.matrix,
        accumulate: true,
        variant,
      }));
    const scaled = linear(a.exact, b.exact, m).map((value, i) =>
      alpha * value / rows.exact[Math.floor(i / n)] / columns.exact[i % n]
    );
    const want = takeColumns(scaled, n, { column: 0, cols: main })
      .map((value, i) => value + 0.25 * exact[i % main] + addend.exact[i] + old[i]);
    const wantSecond = takeColumns(scaled, n, { column: main, cols: side });
    assert(relativeError(await device.readMatrix(out.matrix), want) < tolerance, name);
    assert(relativeError(await device.readMatrix(secondOutput), wantSecond) < tolerance, name);
  }
});

/** Every kernel of int8. */
const INT8_VARIANTS: [string, GemmVariant][] = [
  ["dot products", GEMM_VARIANTS.int8Fallback],
  ["one row", GEMM_VARIANTS.int8Row],
  ["few rows", GEMM_VARIANTS.int8Rows],
  ["tensor", GEMM_VARIANTS.int8TensorSmall],
];

Deno.test("every int8 kernel adds a bias, with the same bits", async () => {
  for (const [m, n, k] of [[1, 1, 1], [1, 70, 130], [131, 67, 77]]) {
    const [a, b] = [randomCodes(m, k, 1), randomCodes(n, k, 2)];
    const operands = {
      layout: "nt",
      a: uploadCodes(device, a),
      b: uploadCodes(device, b),
    } as const;
    const { bias, exact } = uploadBias(n, 3);
    const addend = uploadMatrix(device, randomValues(m * n, 4, 90), m, n);
    const common = { ...operands, bias, alpha: 0.25 };
    const finish = { alpha: 0.25, bias: Float32Array.from(exact) };
    const sums = integerProductNT(a, b);
    for (const [name, variant] of INT8_VARIANTS) {
      const options: Omit<GemmOptions, "out"> = { ...common, variant };
      const out = poisoned(device, m, n);
      await runOnce(device, (program) => gemm(program, { ...options, out }));
      assertEquals(await device.readMatrix(out), finishedProduct(sums, n, finish), name);
      assertEquals(await paddingOf(device, out), 0);

      const residual = { ...options, addend: addend.matrix, out };
      await runOnce(device, (program) => gemm(program, residual));
      const added = { ...finish, addend: Float32Array.from(addend.exact) };
      assertEquals(await device.readMatrix(out), finishedProduct(sums, n, added), name);

      const half = device.matrix(m, n, "f16", "product");
      await runOnce(device, (program) => gemm(program, { ...options, out: half }));
      const halves = new Float16Array(await device.read(half));
      const got = takeColumns(halves, half.pitch, { column: 0, cols: n });
      const want = Float16Array.from(finishedProduct(sums, n, finish));
      assertEquals(got, Float64Array.from(want), `${name} in f16`);
    }
  }
});

Deno.test("a bias goes to a block of columns of the output", async () => {
  const [m, n, k] = [5, 19, 20];
  const a = uploadMatrix(device, randomValues(m * k, 1), m, k);
  const b = uploadMatrix(device, randomValues(n * k, 2), n, k);
  const { bias, exact } = uploadBias(n, 3);
  const out = uploadMatrix(device, randomValues(m * 64, 4), m, 64);
  await runOnce(device, (program) =>
    gemm(program, {
      layout: "nt",
      a: a.matrix,
      b: b.matrix,
      out: columnsOf(out.matrix, 16, n),
      bias,
    }));
  const got = await device.readMatrix(out.matrix);
  const block = takeColumns(got, 64, { column: 16, cols: n });
  assert(relativeError(block, linear(a.exact, b.exact, m, exact)) < TOLERANCE);
  for (const rest of [{ column: 0, cols: 16 }, { column: 48, cols: 16 }]) {
    assertEquals(takeColumns(got, 64, rest), takeColumns(out.exact, 64, rest));
  }
});

Deno.test("gemm refuses a bias that is too short or of another type", () => {
  using program = new Program(device);
  const matrix = device.matrix(20, 20, "f32", "operand");
  const refuse = (bias: GemmOptions["bias"], message: string) =>
    assertThrows(
      () => gemm(program, { layout: "nt", a: matrix, b: matrix, out: matrix, bias }),
      RangeError,
      message,
    );
  refuse(device.vector(19, "f32", "bias"), "the bias has 19 values in f32 for 20 columns in f32");
  refuse(device.vector(20, "f16", "bias"), "the bias has 20 values in f16 for 20 columns in f32");
});
