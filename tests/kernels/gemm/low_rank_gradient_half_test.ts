/** The gradient of a narrow matrix in packed f16: its error, its range, and what is not finite. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type ElementType, type Vector } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { quantize } from "../../../src/kernels/rows/quantize.ts";
import {
  lowRankGradient,
  type LowRankVariant,
} from "../../../src/kernels/gemm/low_rank_gradient.ts";
import { pairsForGradients } from "../../../src/kernels/gemm/low_rank_gradient_half.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulTN } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, poisonedCodes, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/**
 * Two factors are rounded to f16, and sums of up to 32 products: each by 2⁻¹² of its size on average.
 * 9e-4 of the result where many errors come together.
 */
const TOLERANCE = 1.2e-3;
/** What 32 roundings come to that all go the same way, of sums that grow from nothing. */
const LARGEST_OF_RUN = 2 ** -7;

interface Case {
  tokens: number;
  m: number;
  n: number;
  type?: ElementType;
  /** Divide columns by scales as those of a weight's rows. */
  columnScales?: boolean;
  /** Give the gradient in f16, scaled as its codes are, instead of in f32. */
  scaled?: boolean;
  /** Element `column` of the gradient's `row`, and of the right factor's, from a normal number or so. */
  left?: (value: number, row: number, column: number) => number;
  right?: (value: number, row: number, column: number) => number;
  variant?: Partial<LowRankVariant>;
}

/** The gradient in f32 and in f16, with codes of every format. */
const FORMS: readonly Partial<Case>[] = (["e5m2", "int8", "f16"] as const).flatMap((type) =>
  [false, true].map((scaled) => ({ type, scaled }))
);

/** Where the operands begin in their matrices. */
const [A_START, B_START] = [8, 16];

const same = (value: number) => value;

/** The gradient, fresh and added, and how far it is from f64 of the unrounded factors. */
async function run(shape: Case) {
  const { tokens, m, n, type = "e5m2", left = same, right = same, scaled = false } = shape;
  const { variant = {} } = shape;
  const [aCols, bCols] = [A_START + m + 3, B_START + n + 9];
  const valuesOf = (cols: number, seed: number, start: number, of: NonNullable<Case["left"]>) =>
    randomValues(tokens * cols, seed).map((v, i) => of(v, Math.floor(i / cols), i % cols - start));
  const a = uploadMatrix(device, valuesOf(aCols, 1, A_START, left), tokens, aCols);
  const b = uploadMatrix(device, valuesOf(bCols, 2, B_START, right), tokens, bCols);
  const codes = {
    ...poisonedCodes(device, tokens, aCols, type),
    columnScales: shape.columnScales ? unevenScales(a.matrix.pitch) : undefined,
  };
  const product = matmulTN(
    takeColumns(a.exact, aCols, { column: A_START, cols: m }),
    takeColumns(b.exact, bCols, { column: B_START, cols: n }),
    m,
    n,
    tokens,
  );
  const held = randomValues(m * n, 3).map((v) => v * product.reduce((x, y) => Math.max(x, y), 0));
  const halves = device.matrix(tokens, aCols, "f16", "scaled gradient");
  const operands = {
    a: columnsOf(scaled ? halves : a.matrix, A_START, m),
    b: columnsOf(b.matrix, B_START, n),
    variant,
  };
  const fresh = poisoned(device, m, n);
  const added = uploadMatrix(device, held, m, n).matrix;
  await runOnce(device, (program) => {
    quantize(program, { input: a.matrix, ...codes, granularity: "row" });
    quantize(program, { input: a.matrix, ...codes, codes: halves, granularity: "given" });
    const pairs = pairsForGradients(program, b.matrix, codes);
    lowRankGradient(program, { ...operands, out: fresh, pairs });
    lowRankGradient(program, { ...operands, out: added, alpha: -0.5, accumulate: true, pairs });
  });
  const got = await device.readMatrix(fresh);
  const change = Float64Array.from(await device.readMatrix(added), (v, i) => v - held[i]);
  return {
    got,
    product,
    padding: [await paddingOf(device, fresh), await paddingOf(device, added)],
    error: Math.max(
      relativeError(got, product),
      relativeError(change, product.map((v) => -0.5 * v)),
    ),
  };
}

/** Scales as those of a weight's rows. */
function unevenScales(length: number): Vector {
  const scales = device.vector(length, "f32", "column scales");
  device.write(scales, randomValues(length, 4).map((v) => 2000 * 4 ** v));
  return scales;
}

async function expectRight(shape: Case, tolerance = TOLERANCE): Promise<void> {
  const { error, padding } = await run(shape);
  assert(error < tolerance, `${JSON.stringify(shape)}: error ${error}`);
  assertEquals(padding, [0, 0]);
}

/** Quick to compile; with more than one tile, and workgroups of another size. */
const SMALL = { BM: 32, BN: 16, BK: 16, TM: 4, TN: 4 };

Deno.test("the gradient in packed f16 agrees with f64 on any shape, split or not, and adds on request", async () => {
  // One of each; odd; more than one tile of rows and columns; whole runs and others.
  for (const [tokens, m, n] of [[1, 1, 1], [37, 20, 5], [130, 5, 16], [64, 37, 24], [191, 70, 5]]) {
    for (const splits of [1, 3]) {
      const shape = { tokens, m, n, variant: { ...SMALL, splits } };
      await expectRight({ ...shape, type: "e5m2" });
      await expectRight({ ...shape, type: "int8", scaled: true, columnScales: true });
    }
  }
});

Deno.test("the gradient in packed f16 agrees with f64 in every form of its tiles", async () => {
  for (const [i, [m, n]] of [[133, 5], [70, 24], [133, 70], [13, 70], [24, 133]].entries()) {
    await expectRight({ tokens: 130, m, n, ...FORMS[i % 4], columnScales: i % 2 === 0 });
  }
});

Deno.test("the gradient in packed f16 agrees with f64 for every format, size and spread of values", async () => {
  const heavy = (v: number) => v / (1.02 - Math.abs(v) % 1); // a few far above the others
  for (const form of FORMS) {
    for (const columnScales of [false, true]) {
      const shape = { tokens: 320, m: 40, n: 20, ...form, columnScales, variant: SMALL };
      await expectRight(shape);
      await expectRight({ ...shape, left: heavy, right: heavy });
      for (const size of [1e-25, 1e-9, 1e6]) {
        await expectRight({ ...shape, left: (v) => size * v });
        await expectRight({ ...shape, left: (v) => size * v, right: (v) => v / size });
      }
      // Rows of zeros beside tiny ones, and one row, or a few, above all others.
      const uneven = (v: number, row: number) => v * (row % 3 === 0 ? 0 : row === 50 ? 1 : 1e-7);
      await expectRight({ ...shape, left: uneven });
      await expectRight({ ...shape, right: (v, row) => row % 100 === 50 ? 1e5 * v : v });
    }
  }
});

Deno.test("f16 sums of a run stay in range where all of it is as large as it can be", async () => {
  for (const form of FORMS) {
    for (const right of [-1.9999, 3e4, 1e-20]) {
      for (const left of [1, -3e-9]) {
        const shape = { tokens: 192, m: 20, n: 5, ...form, variant: SMALL };
        // The largest in either order, or all of them.
        for (const every of [1, 64]) {
          const sized = (v: number, row: number) => row % every === 0 ? 1 : v / 2;
          const of = (size: number) => (v: number, row: number) => size * sized(v, row);
          await expectRight({ ...shape, left: of(left), right: of(right) }, LARGEST_OF_RUN);
        }
      }
    }
  }
});

Deno.test("columns far apart keep their own precision on both sides", async () => {
  const [m, n] = [12, 12];
  const { got, product } = await run({
    ...{ tokens: 150, m, n, type: "int8", variant: SMALL },
    left: (v, _, column) => v * 2 ** -column,
    right: (v, _, column) => v * 10 ** -(3 * column),
  });
  for (let i = 0; i < m * n; i++) {
    // Single sums, not their mean: of a hundred and fifty products, of either sign.
    const size = Math.sqrt(150) / 3 * 2 ** -Math.floor(i / n) * 10 ** -(3 * (i % n));
    assert(Math.abs(got[i] - product[i]) < 6 * TOLERANCE * size, `${i}: ${got[i]}, ${product[i]}`);
  }
});

Deno.test("a gradient of zeros stays one in packed f16, and what is not finite is seen", async () => {
  for (const form of FORMS) {
    const shape = { tokens: 140, m: 20, n: 5, columnScales: true, ...form, variant: SMALL };
    for (const side of ["left", "right"] as const) {
      const zeros = await run({ ...shape, [side]: () => 0 });
      assert(zeros.got.every((v) => v === 0), side);
      for (const value of [Infinity, -Infinity, NaN, ...side === "right" ? [3e38] : []]) {
        const of = (v: number, row: number, column: number) =>
          row === 77 && column === 3 ? value : v;
        const { got, padding } = await run({ ...shape, [side]: of });
        const seen = got.filter((_, i) => side === "right" ? i % 5 === 3 : true);
        const label = `${JSON.stringify(form)} ${side} ${value}`;
        assert(seen.every((v) => Number.isNaN(v)), label);
        assertEquals(padding[0], 0, label);
      }
    }
  }
});

Deno.test("the gradient in packed f16 repeats bit for bit", async () => {
  const shape = { tokens: 200, m: 40, n: 20, variant: { ...SMALL, splits: 2 } };
  assertEquals((await run(shape)).got, (await run(shape)).got);
});

Deno.test("pairs and scales that do not fit are refused", () => {
  using program = new Program(device);
  const [tokens, cols] = [70, 36];
  const x = device.matrix(tokens, 4, "f32", "x");
  const { scales, codes } = poisonedCodes(device, tokens, cols, "int8");
  const dense = device.matrix(tokens, cols, "f32", "gradient");
  assertThrows(
    () => pairsForGradients(program, x, { codes: dense, scales }),
    TypeError,
    "Codes in f32 do not tell how a gradient comes within f16",
  );
  const few = device.vector(69, "f32", "scales");
  assertThrows(
    () => pairsForGradients(program, x, { codes, scales: few }),
    RangeError,
    "Cannot divide 70 rows by 69 scales",
  );
  const out = device.matrix(32, 4, "f32", "out");
  const a = columnsOf(dense, 4, 32);
  const columnScales = unevenScales(30);
  const pairs = pairsForGradients(program, x, { codes, scales, columnScales });
  assertThrows(
    () => lowRankGradient(program, { a, b: columnsOf(x), out, pairs }),
    RangeError,
    "Cannot divide columns 4 to 36 by 30 scales",
  );
  const wider = columnsOf(device.matrix(tokens, 20, "f32", "wider"), 0, 4);
  assertThrows(
    () => lowRankGradient(program, { a, b: wider, out, pairs }),
    RangeError,
    "Cannot take pairs of 128×4 for 70×20",
  );
  const whole = columnsOf(device.matrix(tokens, cols, "e5m2", "codes"), 0, 32);
  assertThrows(
    () => lowRankGradient(program, { a: whole, b: columnsOf(x), out, pairs }),
    RangeError,
    "types e5m2, f32, f32 are not f32, f32, f32",
  );
});
