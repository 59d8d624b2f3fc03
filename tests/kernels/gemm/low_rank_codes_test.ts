/** The gradient of a narrow matrix whose right factor is codes: what its kernels make of their values. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { lowRankGradient } from "../../../src/kernels/gemm/low_rank_gradient.ts";
import {
  asScaleOfF16,
  lowRankGradientTensor,
  recordGradientScale,
  scaleOfF16Gradient,
} from "../../../src/kernels/gemm/low_rank_gradient_tensor.ts";
import { dequantize, quantize } from "../../../src/kernels/rows/quantize.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulTN } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, poisonedCodes, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** Tokens, rows and columns of the result: one of each; odd; more than a tile, a panel and a split. */
const SHAPES = [[1, 1, 1], [37, 5, 20], [130, 48, 150], [300, 70, 133]];
const SMALL = { BM: 64, BN: 32, BK: 32, splitK: 64 };

for (const type of ["e4m3", "int8"] as const) {
  Deno.test(`a right factor in ${type} counts as what it stands for, on any kind of core`, async () => {
    for (const [tokens, m, n] of SHAPES) {
      // Rows of very different sizes, as tokens have.
      const values = randomValues(tokens * n, 1).map((v, i) =>
        v * 10 ** (Math.floor(i / n) % 5 - 2)
      );
      const original = uploadMatrix(device, values, tokens, n).matrix;
      const { codes, scales } = poisonedCodes(device, tokens, n, type);
      const right = poisoned(device, tokens, n);
      const a = uploadMatrix(device, randomValues(tokens * m, 2, 1e-3), tokens, m);
      const gradient = poisonedCodes(device, tokens, m, type === "int8" ? "int8" : "e5m2");
      const halves = device.matrix(tokens, m, "f16", "scaled gradient");
      const held = randomValues(m * n, 3);
      const plain = poisoned(device, m, n);
      const [added, ofF32, ofF16, shared] = [0, 1, 2, 3].map(() =>
        uploadMatrix(device, held, m, n).matrix
      );
      await runOnce(device, (program) => {
        quantize(program, { input: original, codes, scales, granularity: "row" });
        dequantize(program, { codes, scales, out: right });
        quantize(program, { input: a.matrix, ...gradient, granularity: "row" });
        quantize(program, { input: a.matrix, ...gradient, codes: halves, granularity: "given" });
        const b = { b: columnsOf(codes), bScales: scales };
        const adds = { ...b, alpha: -0.5, accumulate: true };
        lowRankGradient(program, { a: columnsOf(a.matrix), ...b, out: plain });
        const variant = { splits: 3 };
        lowRankGradient(program, { a: columnsOf(a.matrix), ...adds, out: added, variant });
        const scale = recordGradientScale(program, gradient);
        const product = { a: columnsOf(a.matrix), ...adds, out: ofF32 };
        lowRankGradientTensor(program, product, scale, SMALL);
        const ofHalves = { a: columnsOf(halves), ...adds };
        const known = asScaleOfF16(scale, gradient, false);
        lowRankGradientTensor(program, { ...ofHalves, out: shared }, known, SMALL);
        const own = scaleOfF16Gradient(program, gradient);
        lowRankGradientTensor(program, { ...ofHalves, out: ofF16 }, own, SMALL);
      });
      const exact = Float64Array.from(await device.readMatrix(right));
      const want = matmulTN(a.exact, exact, m, n, tokens);
      const label = `${tokens} tokens, ${m}×${n}`;
      assert(relativeError(await device.readMatrix(plain), want) < 2e-6, label);
      const change = want.map((v) => -0.5 * v);
      for (const [out, tolerance] of [[added, 1e-5], [ofF32, 1e-3], [ofF16, 1e-3]] as const) {
        const got = (await device.readMatrix(out)).map((v, i) => v - held[i]);
        const size = Math.max(...change.map(Math.abs));
        const off = Math.max(...got.map((v, i) => Math.abs(v - change[i])));
        assert(off < tolerance * size + 1e-7, `${label}: off by ${off} of ${size}`);
      }
      // The same power of two: that of the codes' headroom is taken out of it.
      assertEquals(await device.readMatrix(shared), await device.readMatrix(ofF16), label);
      assertEquals([await paddingOf(device, plain), await paddingOf(device, ofF16)], [0, 0]);
    }
  });
}

Deno.test("codes without their scales, or with too few, are refused", () => {
  using program = new Program(device);
  const [rows, cols] = [5, 20];
  const a = columnsOf(device.matrix(rows, 4, "f32", "a"));
  const out = device.matrix(4, cols, "f32", "out");
  const { codes, scales } = poisonedCodes(device, rows, cols, "int8");
  lowRankGradient(program, { a, b: columnsOf(codes), bScales: scales, out });
  const refuses = (bScales: typeof scales | undefined, message: string) =>
    assertThrows(
      () => lowRankGradient(program, { a, b: columnsOf(codes), bScales, out }),
      RangeError,
      message,
    );
  refuses(undefined, "types f32, int8, f32 are not f32, f32, f32");
  refuses(device.vector(4, "f32", "scales"), "4 scales of codes are too few for 5 rows");
});
