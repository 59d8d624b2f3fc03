/** The gradient of a narrow matrix on tensor cores, run anywhere by emulated fragments. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type ElementType, type Vector } from "../../../src/gpu/buffers.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../../../src/gpu/subgroup_matrix.ts";
import { quantize } from "../../../src/kernels/rows/quantize.ts";
import { lowRankGradient } from "../../../src/kernels/gemm/low_rank_gradient.ts";
import {
  findGradientScale,
  lowRankGradientTensor,
  type LowRankTensorVariant,
  recordGradientScale,
  scaleOfF16Gradient,
} from "../../../src/kernels/gemm/low_rank_gradient_tensor.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulTN } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, poisonedCodes, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** Two factors are rounded to f16, each by 2⁻¹² of its size on average, at most 2⁻¹¹. */
const TOLERANCE = 5e-4;
/** Of single products, the worst there can be. */
const LARGEST_OF_ONE = 2 ** -10;

const SMALL: LowRankTensorVariant = { BM: 64, BN: 32, BK: 32, splitK: 64 };

interface Case {
  tokens: number;
  m: number;
  n: number;
  type?: ElementType;
  columnScales?: boolean;
  /** Give the gradient in f16, scaled as its codes are, instead of in f32. */
  scaled?: boolean;
  /** What element `i` of the gradient's `row` is multiplied by. */
  sizeOf?: (row: number, column: number) => number;
  variant?: Partial<LowRankTensorVariant>;
}

/** The gradient in f32 with either codes, and in f16. */
const FORMS: readonly Partial<Case>[] = [{ type: "e5m2" }, { type: "f16" }, { scaled: true }];

/** Where the operands begin in their matrices. */
const [A_START, B_START] = [8, 16];

/** The gradient, fresh and added, and how far it is from f64 of the unrounded factors. */
async function run(device: Device, shape: Case) {
  const { tokens, m, n, type = "e5m2", sizeOf = () => 1, variant = SMALL } = shape;
  const [aCols, bCols] = [A_START + m + 3, B_START + n + 9];
  const values = randomValues(tokens * aCols, 1)
    .map((v, i) => v * sizeOf(Math.floor(i / aCols), i % aCols - A_START));
  const a = uploadMatrix(device, values, tokens, aCols);
  const b = uploadMatrix(device, randomValues(tokens * bCols, 2, 3), tokens, bCols);
  const codes = {
    ...poisonedCodes(device, tokens, aCols, type),
    columnScales: shape.columnScales ? unevenScales(device, a.matrix.pitch) : undefined,
  };
  const product = matmulTN(
    takeColumns(a.exact, aCols, { column: A_START, cols: m }),
    takeColumns(b.exact, bCols, { column: B_START, cols: n }),
    m,
    n,
    tokens,
  );
  const held = randomValues(m * n, 3).map((v) => v * product.reduce((x, y) => Math.max(x, y), 0));
  const { scaled = false } = shape;
  const halves = device.matrix(tokens, aCols, "f16", "scaled gradient");
  const operands = {
    a: columnsOf(scaled ? halves : a.matrix, A_START, m),
    b: columnsOf(b.matrix, B_START, n),
  };
  const fresh = poisoned(device, m, n);
  const added = uploadMatrix(device, held, m, n).matrix;
  await runOnce(device, (program) => {
    quantize(program, { input: a.matrix, ...codes, granularity: "row" });
    quantize(program, { input: a.matrix, ...codes, codes: halves, granularity: "given" });
    const range = scaled ? scaleOfF16Gradient(program, codes) : recordGradientScale(program, codes);
    lowRankGradientTensor(program, { ...operands, out: fresh }, range, variant);
    const adding = { ...operands, out: added, alpha: -0.5, accumulate: true };
    lowRankGradientTensor(program, adding, range, variant);
  });
  const got = await device.readMatrix(fresh);
  assertEquals([await paddingOf(device, fresh), await paddingOf(device, added)], [0, 0]);
  const change = Float64Array.from(await device.readMatrix(added), (v, i) => v - held[i]);
  return {
    got,
    product,
    error: Math.max(
      relativeError(got, product),
      relativeError(change, product.map((v) => -0.5 * v)),
    ),
  };
}

/** Scales as those of a weight's rows. */
function unevenScales(device: Device, length: number): Vector {
  const scales = device.vector(length, "f32", "column scales");
  device.write(scales, randomValues(length, 4).map((v) => 2000 * 4 ** v));
  return scales;
}

async function expectRight(shape: Case): Promise<void> {
  const { error } = await run(device, shape);
  const tolerance = shape.tokens === 1 && shape.scaled ? LARGEST_OF_ONE : TOLERANCE;
  assert(error < tolerance, `${JSON.stringify(shape)}: error ${error}`);
}

Deno.test("the gradient on tensor cores agrees with f64 on any shape, and adds on request", async () => {
  // One of each; odd; more than one tile of rows and columns; one and more shares, full and not.
  for (
    const [tokens, m, n] of [[1, 1, 1], [37, 20, 5], [130, 150, 16], [64, 37, 45], [65, 5, 70]]
  ) {
    await expectRight({ tokens, m, n });
    await expectRight({ tokens, m, n, type: "f16", columnScales: true });
    await expectRight({ tokens, m, n, scaled: true });
    await expectRight({ tokens, m, n, scaled: true, columnScales: true });
  }
});

Deno.test("the gradient on tensor cores agrees with f64 in every form of its tiles", async () => {
  await expectRight({ tokens: 300, m: 150, n: 30, variant: {} });
  await expectRight({ tokens: 300, m: 30, n: 150, variant: {}, type: "f16" });
  await expectRight({ tokens: 300, m: 150, n: 30, variant: {}, scaled: true });
  for (const scaled of [false, true]) {
    const variant = { BM: 64, BN: 64, BK: 16, splitK: 32 };
    await expectRight({ tokens: 70, m: 70, n: 40, variant, scaled });
  }
});

Deno.test("the gradient on tensor cores keeps what f16 cannot hold", async () => {
  for (const form of FORMS) {
    for (const columnScales of [false, true]) {
      const shape = { tokens: 100, m: 70, n: 20, ...form, columnScales };
      for (const size of [1e-25, 1e-9, 1e6]) {
        await expectRight({ ...shape, sizeOf: () => size });
      }
      // Rows of zeros beside tiny ones, and one row above all others.
      const uneven = (row: number) => row % 3 === 0 ? 0 : row === 50 ? 1 : 1e-7;
      await expectRight({ ...shape, sizeOf: uneven });
    }
  }
});

Deno.test("columns of a gradient far apart keep their own precision by their scales", async () => {
  const tokens = 64;
  const length = 48;
  const sizes = Float32Array.from({ length }, (_, c) => 10 ** -(c % 12));
  const a = uploadMatrix(
    device,
    randomValues(tokens * length, 1).map((v, i) => v * sizes[i % length]),
    tokens,
    length,
  );
  const b = uploadMatrix(device, randomValues(tokens * 4, 2), tokens, 4);
  const columnScales = device.vector(length, "f32", "column scales");
  device.write(columnScales, sizes);
  const codes = { ...poisonedCodes(device, tokens, length, "e5m2"), columnScales };
  const out = poisoned(device, length, 4);
  await runOnce(device, (program) => {
    quantize(program, { input: a.matrix, ...codes, granularity: "row" });
    const operands = { a: columnsOf(a.matrix), b: columnsOf(b.matrix) };
    lowRankGradientTensor(
      program,
      { ...operands, out },
      recordGradientScale(program, codes),
      SMALL,
    );
  });
  const product = matmulTN(a.exact, b.exact, length, 4, tokens);
  const got = await device.readMatrix(out);
  for (let m = 0; m < length; m++) {
    const row = [4 * m, 4 * m + 4] as const;
    assert(relativeError(got.subarray(...row), product.subarray(...row)) < 2 * TOLERANCE);
  }
});

Deno.test("a gradient of zeros stays one on tensor cores, and an infinite one is seen", async () => {
  for (const form of FORMS) {
    const shape = { tokens: 40, m: 20, n: 5, columnScales: true, ...form };
    const zeros = await run(device, { ...shape, sizeOf: () => 0 });
    assert(zeros.got.every((v) => v === 0));
    for (const value of [Infinity, NaN]) {
      const sizeOf = (row: number, column: number) => row === 7 && column === 3 ? value : 1;
      const { got } = await run(device, { ...shape, sizeOf });
      const label = `${JSON.stringify(form)} ${value}`;
      assert(got.subarray(3 * 5, 4 * 5).every((v) => !Number.isFinite(v)), label);
    }
  }
});

Deno.test("the gradient on tensor cores repeats bit for bit", async () => {
  const shape = { tokens: 200, m: 40, n: 20 };
  assertEquals((await run(device, shape)).got, (await run(device, shape)).got);
});

Deno.test("the gradient on tensor cores asks for scales of all its columns", () => {
  using program = new Program(device);
  const a = device.matrix(5, 36, "f32", "a");
  const b = device.matrix(5, 4, "f32", "b");
  const codes = { ...poisonedCodes(device, 5, 36, "f16"), columnScales: unevenScales(device, 30) };
  assertEquals(findGradientScale(program, null), undefined);
  assertEquals(findGradientScale(program, codes) !== undefined, supportsMatrix(device, F16_MATRIX));
  const range = recordGradientScale(program, codes);
  const out = device.matrix(32, 4, "f32", "out");
  assertThrows(
    () =>
      lowRankGradient(program, {
        a: columnsOf(a, 4, 32),
        b: columnsOf(b),
        out,
        gradientScale: range,
      }),
    RangeError,
    "Cannot divide columns 4 to 36 by 30 scales",
  );
  const scaled = scaleOfF16Gradient(program, codes);
  assertThrows(
    () =>
      lowRankGradient(program, { a: columnsOf(a), b: columnsOf(b), out, gradientScale: scaled }),
    RangeError,
    "types f32, f32, f32 are not f16, f32, f32",
  );
});
