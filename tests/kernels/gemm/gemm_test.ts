import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type ElementType } from "../../../src/gpu/buffers.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { gemm, type GemmLayout } from "../../../src/kernels/gemm/gemm.ts";
import { PackedOperandCache } from "../../../src/kernels/gemm/pack.ts";
import {
  GEMM_VARIANTS,
  type GemmVariant,
  halfVariant,
  tensorVariant,
} from "../../../src/kernels/gemm/variants.ts";
import { multiplies } from "../../../src/kernels/gemm/products.ts";
import { formatOf } from "../../../src/numerics/formats.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulNN, matmulNT, matmulTN } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, runOnce, tensorSlack, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** f32 sums of k products: relative error about 2^-24 · sqrt(k), with room for the tile order. */
const TOLERANCE = 1e-6;

const product = { nt: matmulNT, nn: matmulNN, tn: matmulTN };

function operandShapes(layout: GemmLayout, m: number, n: number, k: number) {
  return {
    a: layout === "tn" ? [k, m] : [m, k],
    b: layout === "nt" ? [n, k] : [k, n],
  };
}

Deno.test("gemm agrees with f64 for every layout and operand type that training uses, on odd shapes", async () => {
  const cases: [GemmLayout, ElementType, ElementType, [number, number, number][]][] = [
    ["nt", "f32", "f32", [[1, 1, 1], [7, 361, 172], [33, 17, 5], [70, 50, 64]]],
    ["nn", "f32", "f32", [[1, 3, 2], [9, 172, 361], [65, 33, 31]]],
    ["tn", "f32", "f32", [[1, 1, 1], [172, 8, 7], [5, 64, 33], [20, 20, 1100]]],
    ["nt", "f32", "f16", [[5, 19, 22]]],
    ["nn", "f32", "f16", [[5, 19, 22]]],
    ["nt", "e4m3", "e4m3", [[3, 45, 172], [17, 64, 16]]],
    ["nn", "e5m2", "e4m3", [[6, 172, 45]]],
  ];
  for (const [layout, aType, bType, shapes] of cases) {
    for (const [m, n, k] of shapes) {
      const shape = operandShapes(layout, m, n, k);
      const a = uploadMatrix(device, randomValues(m * k, 1, 3), shape.a[0], shape.a[1], aType);
      const b = uploadMatrix(device, randomValues(n * k, 2, 3), shape.b[0], shape.b[1], bType);
      const out = poisoned(device, m, n);
      await runOnce(device, (program) => gemm(program, { layout, a: a.matrix, b: b.matrix, out }));
      const want = product[layout](a.exact, b.exact, m, n, k);
      const error = relativeError(await device.readMatrix(out), want);
      assert(error < TOLERANCE, `${layout} ${aType}·${bType} ${m}×${n}×${k}: error ${error}`);
      assertEquals(await paddingOf(device, out), 0);
    }
  }
});

Deno.test("the larger tiles of gemm agree with f64 on shapes that fill no tile", async () => {
  for (const shape of [[70, 67, 37], [517, 530, 21]]) await checkProduct(device, shape);
});

async function checkProduct(device: Device, [m, n, k]: number[]) {
  const a = uploadMatrix(device, randomValues(m * k, 3), m, k);
  const b = uploadMatrix(device, randomValues(n * k, 4), n, k);
  const out = poisoned(device, m, n);
  await runOnce(device, (p) => gemm(p, { layout: "nt", a: a.matrix, b: b.matrix, out }));
  assert(
    relativeError(await device.readMatrix(out), matmulNT(a.exact, b.exact, m, n, k)) < TOLERANCE,
  );
}

Deno.test("gemm applies scales, addend and accumulation, and writes a second output and column blocks", async () => {
  const [m, main, side, k] = [5, 32, 16, 20];
  const n = main + side;
  const a = uploadMatrix(device, randomValues(m * k, 5), m, k);
  const b = uploadMatrix(device, randomValues(n * k, 6), n, k);
  const rowScales = device.vector(m, "f32", "row scales");
  const columnScales = device.vector(n, "f32", "column scales");
  const rows = randomValues(m, 7).map((v) => v + 2);
  const columns = randomValues(n, 8).map((v) => v + 2);
  device.write(rowScales, rows);
  device.write(columnScales, columns);
  const residual = uploadMatrix(device, randomValues(m * main, 9), m, main);
  const out = poisoned(device, m, main);
  const secondOutput = poisoned(device, m, side);
  await runOnce(device, (program) =>
    gemm(program, {
      layout: "nt",
      a: a.matrix,
      b: b.matrix,
      out,
      secondOutput,
      rowScales,
      columnScales,
      addend: residual.matrix,
      alpha: 0.5,
    }));
  const plain = matmulNT(a.exact, b.exact, m, n, k);
  const scaled = plain.map((v, i) => 0.5 * v / rows[Math.floor(i / n)] / columns[i % n]);
  const pick = (from: number, width: number) =>
    Float64Array.from(
      { length: m * width },
      (_, i) => scaled[Math.floor(i / width) * n + from + i % width],
    );
  const wantOut = pick(0, main).map((v, i) => v + residual.exact[i]);
  assert(relativeError(await device.readMatrix(out), wantOut) < TOLERANCE);
  assert(relativeError(await device.readMatrix(secondOutput), pick(main, side)) < TOLERANCE);

  // out[:, 16:32] += 2 · (a[:, 4:20]) · (b[0:16, 4:20])ᵀ leaves the other columns alone.
  const before = await device.readMatrix(out);
  const bTop = uploadMatrix(device, randomValues(16 * 16, 10), 16, 16);
  await runOnce(device, (program) =>
    gemm(program, {
      layout: "nt",
      a: columnsOf(a.matrix, 4, 16),
      b: bTop.matrix,
      out: columnsOf(out, 16, 16),
      accumulate: true,
      alpha: 2,
    }));
  const slice = Float64Array.from(
    { length: m * 16 },
    (_, i) => a.exact[Math.floor(i / 16) * k + 4 + i % 16],
  );
  const added = matmulNT(slice, bTop.exact, m, 16, 16);
  const want = Float64Array.from(before, (v, i) => {
    const [r, c] = [Math.floor(i / main), i % main];
    return c < 16 ? v : v + 2 * added[r * 16 + c - 16];
  });
  assert(relativeError(await device.readMatrix(out), want) < TOLERANCE);
});

Deno.test("gemm adds a product that is split along k to what is there", async () => {
  const [m, n, k] = [18, 8, 1500];
  const a = uploadMatrix(device, randomValues(m * k, 11), k, m);
  const b = uploadMatrix(device, randomValues(n * k, 12), k, n);
  const out = uploadMatrix(device, randomValues(m * n, 13), m, n);
  await runOnce(
    device,
    (program) =>
      gemm(program, { layout: "tn", a: a.matrix, b: b.matrix, out: out.matrix, accumulate: true }),
  );
  const want = matmulTN(a.exact, b.exact, m, n, k).map((v, i) => v + out.exact[i]);
  assert(relativeError(await device.readMatrix(out.matrix), want) < TOLERANCE);
  assertEquals(await paddingOf(device, out.matrix), 0);
});

Deno.test("gemm records nothing for empty operands, and refuses mismatched ones", () => {
  using program = new Program(device);
  const matrix = (rows: number, cols: number) => device.matrix(rows, cols, "f32", "operand");
  gemm(program, { layout: "nt", a: matrix(0, 4), b: matrix(3, 4), out: matrix(0, 3) });
  assertEquals(program.dispatches, 0);
  assertThrows(
    () => gemm(program, { layout: "nt", a: matrix(2, 4), b: matrix(3, 5), out: matrix(2, 3) }),
    RangeError,
    "contraction lengths 4 and 5 differ",
  );
  assertThrows(
    () => gemm(program, { layout: "nn", a: matrix(2, 4), b: matrix(4, 50), out: matrix(2, 3) }),
    RangeError,
    "the output is 2×3, not 2×50",
  );
  const [f16, fp8] = [device.matrix(64, 64, "f16", "a"), device.matrix(64, 64, "e4m3", "b")];
  const variant = GEMM_VARIANTS.tensor;
  assertThrows(
    () => gemm(program, { layout: "nt", a: f16, b: fp8, out: matrix(64, 64), variant }),
    RangeError,
    "The kernel gemm_tensor does not multiply f16 by e4m3",
  );
  const outside = columnsOf(matrix(2, 16), 4, 16);
  assertThrows(
    () => gemm(program, { layout: "nt", a: outside, b: matrix(3, 16), out: matrix(2, 3) }),
    RangeError,
    "the columns of a from 4 on are not inside it",
  );
});

Deno.test("gemm leaves zeros behind n where column scales end with it", async () => {
  const [m, n, k] = [3, 5, 4];
  const a = uploadMatrix(device, randomValues(m * k, 1), m, k);
  const b = uploadMatrix(device, randomValues(n * k, 2), n, k);
  const columnScales = device.vector(n, "f32", "column scales");
  device.write(columnScales, new Float32Array(n).fill(2));
  const out = poisoned(device, m, n);
  await runOnce(
    device,
    (program) => gemm(program, { layout: "nt", a: a.matrix, b: b.matrix, out, columnScales }),
  );
  const want = matmulNT(a.exact, b.exact, m, n, k).map((value) => value / 2);
  assert(relativeError(await device.readMatrix(out), want) < TOLERANCE);
  const padded = new Float32Array(await device.read(out));
  assert(padded.every((value, i) => i % out.pitch < n || value === 0));
});

/** Sums of 16 to 64 f16 products a lane: f16 rounds to 2^-11, which the random walk of a sum hardly raises. */
const HALF_TOLERANCE = 1.5e-3;

/** On tensor cores. */
const tensorTolerance = (k: number) => TOLERANCE + tensorSlack(device, k);

/**
 * Every kernel for packed operands with its tolerance for a contraction of k; fragments are emulated where there are no tensor
 * cores.
 */
const PACKED_VARIANTS: [string, GemmVariant, (k: number) => number][] = [
  ["half", GEMM_VARIANTS.half, () => HALF_TOLERANCE],
  ["half 64×64", halfVariant(64, 64, 2), () => HALF_TOLERANCE],
  ["matrix", tensorVariant(64, 64), tensorTolerance],
  ["matrix 64×128", tensorVariant(64, 128, 2), tensorTolerance],
];

Deno.test("gemm agrees with f64 on packed operands of every layout and narrow type, on odd shapes", async () => {
  if (!device.hasF16) {
    console.log("skipped: this adapter has no f16");
    return;
  }
  const cases: [GemmLayout, ElementType, ElementType, [number, number, number][]][] = [
    ["nt", "e4m3", "e4m3", [[1, 1, 1], [67, 145, 172]]],
    ["nn", "e5m2", "e4m3", [[6, 172, 45], [130, 33, 128]]],
    ["nt", "f16", "f16", [[9, 70, 22], [129, 65, 80]]],
    ["nn", "f16", "f16", [[1, 16, 130]]],
    ["tn", "f16", "f16", [[70, 9, 33]]],
    ["tn", "e5m2", "e4m3", [[70, 150, 33]]],
    ["nt", "f16", "e4m3", [[3, 20, 48]]],
  ];
  for (const [name, variant, toleranceOf] of PACKED_VARIANTS) {
    for (const [layout, aType, bType, shapes] of cases) {
      if (!multiplies(variant.kernel, formatOf(aType), formatOf(bType))) continue;
      for (const [m, n, k] of shapes) {
        const tolerance = toleranceOf(k);
        const shape = operandShapes(layout, m, n, k);
        const a = uploadMatrix(device, randomValues(m * k, 1, 3), shape.a[0], shape.a[1], aType);
        const b = uploadMatrix(device, randomValues(n * k, 2, 3), shape.b[0], shape.b[1], bType);
        const out = poisoned(device, m, n);
        const options = { layout, a: a.matrix, b: b.matrix, out, variant };
        await runOnce(device, (program) => gemm(program, options));
        const want = product[layout](a.exact, b.exact, m, n, k);
        const error = relativeError(await device.readMatrix(out), want);
        const what = `${name} ${layout} ${aType}·${bType} ${m}×${n}×${k}`;
        assert(error < tolerance, `${what}: error ${error}`);
        assertEquals(await paddingOf(device, out), 0);
      }
    }
  }
});

Deno.test("gemm on packed operands applies scales, addend and accumulation, writes a second output and splits k", async () => {
  if (!device.hasF16) {
    console.log("skipped: this adapter has no f16");
    return;
  }
  const [m, main, side, k] = [70, 48, 16, 1100];
  const n = main + side;
  const a = uploadMatrix(device, randomValues(m * k, 1), m, k, "e4m3");
  const b = uploadMatrix(device, randomValues(n * k, 2), n, k, "e4m3");
  const [rows, columns] = [m, n].map((length) => {
    const values = randomValues(length, length).map((value) => value + 2);
    const vector = device.vector(length, "f32", "scales");
    device.write(vector, values);
    return { values, vector };
  });
  const addend = uploadMatrix(device, randomValues(m * main, 3), m, main);
  const plain = matmulNT(a.exact, b.exact, m, n, k);
  const scaled = plain.map((v, i) => v / rows.values[Math.floor(i / n)] / columns.values[i % n]);
  const scales = { rowScales: rows.vector, columnScales: columns.vector };
  for (const [name, variant, toleranceOf] of PACKED_VARIANTS) {
    const tolerance = toleranceOf(k);
    const out = poisoned(device, m, main);
    const secondOutput = poisoned(device, m, side);
    const operands = { layout: "nt", a: a.matrix, b: b.matrix, variant, ...scales } as const;
    await runOnce(
      device,
      (program) => gemm(program, { ...operands, out, secondOutput, addend: addend.matrix }),
    );
    const wantOut = Float64Array.from(
      { length: m * main },
      (_, i) => scaled[Math.floor(i / main) * n + i % main] + addend.exact[i],
    );
    const wantSecond = Float64Array.from(
      { length: m * side },
      (_, i) => scaled[Math.floor(i / side) * n + main + i % side],
    );
    assert(relativeError(await device.readMatrix(out), wantOut) < tolerance, name);
    assert(relativeError(await device.readMatrix(secondOutput), wantSecond) < tolerance, name);

    // Without addend and second output the contraction is split, and the parts are added to what is there.
    const sum = uploadMatrix(device, randomValues(m * n, 4), m, n);
    await runOnce(
      device,
      (program) => gemm(program, { ...operands, out: sum.matrix, accumulate: true }),
    );
    const wantSum = scaled.map((value, i) => value + sum.exact[i]);
    assert(relativeError(await device.readMatrix(sum.matrix), wantSum) < tolerance, name);
  }
});

Deno.test("gemm rounds an f16 output and limits it to its range, beside an f32 second output", async () => {
  const [m, main, side, k] = [67, 48, 16, 40];
  const n = main + side;
  const types = device.hasF16 ? ["f32", "e4m3"] as const : ["f32"] as const;
  for (const type of types) {
    const a = uploadMatrix(device, randomValues(m * k, 1, 3), m, k, type);
    const b = uploadMatrix(device, randomValues(n * k, 2, 3), n, k, type);
    const variants = type === "f32" ? [undefined] : PACKED_VARIANTS.map(([, variant]) => variant);
    for (const variant of variants) {
      const out = device.matrix(m, main, "f16", "product");
      const secondOutput = poisoned(device, m, side);
      const alpha = 4000; // some results are over the range
      await runOnce(
        device,
        (program) =>
          gemm(program, {
            layout: "nt",
            a: a.matrix,
            b: b.matrix,
            out,
            secondOutput,
            alpha,
            variant,
          }),
      );
      const plain = matmulNT(a.exact, b.exact, m, n, k).map((value) => alpha * value);
      const got = Float64Array.from(new Float16Array(await device.read(out)));
      const want = Float64Array.from(
        got,
        (_, i) => Math.min(65504, Math.max(-65504, plain[Math.floor(i / main) * n + i % main])),
      );
      assert(want.includes(65504) && want.includes(-65504));
      assert(relativeError(got, want) < 1e-3);
      assert(got.every((value) => Math.abs(value) <= 65504));
      const wantSecond = Float64Array.from(
        { length: m * side },
        (_, i) => plain[Math.floor(i / side) * n + main + i % side],
      );
      assert(relativeError(await device.readMatrix(secondOutput), wantSecond) < 1e-3);
    }
  }
  // An overflow of the sum itself, and what is no number, stay visible.
  const large = uploadMatrix(device, Float32Array.of(3e38, 3e38, -3e38, -3e38, NaN, 0), 3, 2);
  const ones = uploadMatrix(device, Float32Array.of(1, 1), 1, 2);
  const seen = device.matrix(3, 1, "f16", "product");
  await runOnce(
    device,
    (program) => gemm(program, { layout: "nt", a: large.matrix, b: ones.matrix, out: seen }),
  );
  const halves = new Float16Array(await device.read(seen));
  assertEquals([0, 1, 2].map((row) => halves[row * seen.pitch]), [Infinity, -Infinity, NaN]);

  const a = uploadMatrix(device, randomValues(16, 1), 1, 16);
  const out = device.matrix(1, 1, "f16", "product");
  using program = new Program(device);
  assertThrows(
    () => gemm(program, { layout: "nt", a: a.matrix, b: a.matrix, out, accumulate: true }),
    RangeError,
    "the output is f16 and accumulates",
  );
});

Deno.test("gemm packs a right operand that products share once", async () => {
  if (!device.hasF16) {
    console.log("skipped: this adapter has no f16");
    return;
  }
  const [m, n, k] = [65, 70, 40];
  const b = uploadMatrix(device, randomValues(n * k, 2), n, k, "f16");
  for (const [name, variant, toleranceOf] of PACKED_VARIANTS) {
    const tolerance = toleranceOf(k);
    const packedCache = new PackedOperandCache("shared");
    const chunks = [3, 4].map((seed) => ({
      a: uploadMatrix(device, randomValues(m * k, seed), m, k, "f16"),
      out: poisoned(device, m, n),
    }));
    let dispatches = 0;
    await runOnce(device, (program) => {
      for (const { a, out } of chunks) {
        gemm(program, { layout: "nt", a: a.matrix, b: b.matrix, out, packedCache, variant });
        dispatches = program.dispatches;
      }
    });
    assertEquals(dispatches, 5, name); // two products, two left operands, one right
    for (const { a, out } of chunks) {
      const want = matmulNT(a.exact, b.exact, m, n, k);
      assert(relativeError(await device.readMatrix(out), want) < tolerance, name);
    }
  }
});
