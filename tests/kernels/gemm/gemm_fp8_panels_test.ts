/** The product of FP8 codes in panels on tensor cores, run anywhere by emulated fragments. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { gemm, type GemmOptions } from "../../../src/kernels/gemm/gemm.ts";
import { fp8TensorVariant, type GemmVariant } from "../../../src/kernels/gemm/variants.ts";
import { decodeCodes, formatOf } from "../../../src/numerics/formats.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulNN, matmulNT } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { type CodeOrder, uploadFp8Panels } from "../../support/fp8_panels.ts";
import { paddingOf, poisoned, runOnce } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** f32 sums of k exact products. */
const TOLERANCE = 1e-6;

/** Shapes that fill no tile, no panel and no vector; one row; one of everything; two panels of each. */
const SHAPES: [number, number, number][] = [[1, 1, 1], [1, 70, 130], [9, 145, 64]];
const LARGE: [number, number, number] = [131, 67, 77];

/** Each is compiled for each length of the contraction, which takes a CPU seconds. */
const CASES: [string, GemmVariant, CodeOrder, [number, number, number][]][] = [
  ["64×64", fp8TensorVariant(64, 64), "bytes", SHAPES],
  ["128×128", fp8TensorVariant(128, 128, { band: 1 }), "bytes", [LARGE]],
  ["64×64, steps of 64", fp8TensorVariant(64, 64, { step: 64 }), "bytes", [LARGE]],
  ["128×64, lanes", fp8TensorVariant(128, 64, { order: "lanes" }), "lanes", [LARGE]],
];

function operand(
  rows: number,
  cols: number,
  type: "e4m3" | "e5m2",
  order: CodeOrder,
  seed: number,
) {
  const format = formatOf(type);
  const codes = format.codec!.encode(randomValues(rows * cols, seed, 3));
  return {
    matrix: uploadFp8Panels(device, codes, { rows, cols, type, order }),
    exact: Float64Array.from(decodeCodes(format, codes)),
  };
}

for (const [name, variant, order, shapes] of CASES) {
  Deno.test(`products of FP8 panels in tiles of ${name} agree with f64 on odd shapes`, async () => {
    for (const [m, n, k] of shapes) {
      const a = operand(m, k, "e4m3", order, 1);
      const b = operand(n, k, "e4m3", order, 2);
      const g = operand(m, k, "e5m2", order, 3);
      const w = operand(k, n, "e4m3", order, 4);
      const products = {
        nt: [a.matrix, b.matrix, matmulNT(a.exact, b.exact, m, n, k)],
        nn: [g.matrix, w.matrix, matmulNN(g.exact, w.exact, m, n, k)],
      } as const;
      for (const layout of ["nt", "nn"] as const) {
        const [left, right, want] = products[layout];
        const out = poisoned(device, m, n);
        await runOnce(device, (p) => gemm(p, { layout, a: left, b: right, out, variant }));
        const error = relativeError(await device.readMatrix(out), want);
        assert(error < TOLERANCE, `${layout} ${m}×${n}×${k}: ${error}`);
        assertEquals(await paddingOf(device, out), 0);
      }
    }
  });
}

Deno.test("a product of FP8 panels is split along a long contraction, by rows of b as well", async () => {
  const [m, n, k] = [20, 30, 1100];
  const variant = fp8TensorVariant(64, 64);
  const a = operand(m, k, "e5m2", "bytes", 5);
  for (const layout of ["nt", "nn"] as const) {
    const b = operand(...(layout === "nt" ? [n, k] as const : [k, n] as const), "e4m3", "bytes", 6);
    const out = poisoned(device, m, n);
    using program = new Program(device);
    gemm(program, { layout, a: a.matrix, b: b.matrix, out, variant });
    assertEquals(program.dispatches, 2);
    (await program.prepare()).run();
    const multiply = layout === "nt" ? matmulNT : matmulNN;
    const want = multiply(a.exact, b.exact, m, n, k);
    assert(relativeError(await device.readMatrix(out), want) < TOLERANCE, layout);
  }
});

Deno.test("a product of FP8 panels takes columns from a panel's edge on, and refuses others", async () => {
  const [m, n, k] = [5, 20, 64];
  const variant = fp8TensorVariant(64, 64);
  const a = operand(m, 200, "e4m3", "bytes", 7);
  const b = operand(k, 150, "e4m3", "bytes", 8);
  const out = poisoned(device, m, n);
  const given = {
    layout: "nn",
    a: columnsOf(a.matrix, 64, k),
    b: columnsOf(b.matrix, 128, n),
    out,
    variant,
  } satisfies GemmOptions;
  await runOnce(device, (p) => gemm(p, given));
  const take = (values: Float64Array, rows: number, cols: number, first: number, count: number) =>
    Float64Array.from(
      { length: rows * count },
      (_, i) => values[Math.floor(i / count) * cols + first + i % count],
    );
  const want = matmulNN(take(a.exact, m, 200, 64, k), take(b.exact, k, 150, 128, n), m, n, k);
  assert(relativeError(await device.readMatrix(out), want) < TOLERANCE);

  using program = new Program(device);
  const refuses = (bad: Partial<GemmOptions>, message: string) =>
    assertThrows(() => gemm(program, { ...given, ...bad }), RangeError, message);
  refuses({ b: columnsOf(b.matrix, 16, n) }, "begin inside a panel: give multiples of 64");
  const short = operand(40, 20, "e4m3", "bytes", 9);
  refuses(
    { a: columnsOf(a.matrix, 0, 40), b: short.matrix },
    "columns of a end inside a panel: give a multiple of 64",
  );
  const gradient = operand(k, n, "e5m2", "bytes", 9);
  refuses({ b: gradient.matrix }, "not finite in e5m2: give b in e4m3");
});
