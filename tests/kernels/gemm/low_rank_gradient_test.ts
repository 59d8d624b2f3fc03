import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { lowRankGradient } from "../../../src/kernels/gemm/low_rank_gradient.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { matmulTN } from "../../oracle/matmul.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("lowRankGradient agrees with f64 on any shape, split or not, and adds on request", async () => {
  // tokens, rows, columns: one of each; odd; every width of tile, either way; more than one tile of rows and columns.
  const tall = [[37, 20, 5], [130, 150, 16], [65, 37, 24], [90, 133, 70]];
  const wide = tall.map(([tokens, m, n]) => [tokens, n, m]);
  for (const [tokens, m, n] of [[1, 1, 1], ...tall, ...wide]) {
    const [aStart, bStart] = [8, 16];
    const aCols = aStart + m + 3;
    const bCols = bStart + n + 9;
    const a = uploadMatrix(device, randomValues(tokens * aCols, 1), tokens, aCols);
    const b = uploadMatrix(device, randomValues(tokens * bCols, 2), tokens, bCols);
    const held = randomValues(m * n, 3);
    const product = matmulTN(
      takeColumns(a.exact, aCols, { column: aStart, cols: m }),
      takeColumns(b.exact, bCols, { column: bStart, cols: n }),
      m,
      n,
      tokens,
    );
    const operands = { a: columnsOf(a.matrix, aStart, m), b: columnsOf(b.matrix, bStart, n) };
    for (const splits of [1, 3]) {
      const fresh = poisoned(device, m, n);
      const added = uploadMatrix(device, held, m, n).matrix;
      await runOnce(device, (program) => {
        lowRankGradient(program, { ...operands, out: fresh, variant: { splits } });
        lowRankGradient(program, {
          ...operands,
          out: added,
          alpha: -0.5,
          accumulate: true,
          variant: { splits },
        });
      });
      const label = `${tokens} tokens, ${m}×${n}, ${splits} shares`;
      assert(relativeError(await device.readMatrix(fresh), product) < 2e-6, label);
      const want = product.map((v, i) => held[i] - 0.5 * v);
      assert(relativeError(await device.readMatrix(added), want) < 2e-6, label);
      assertEquals(await paddingOf(device, fresh), 0);
      assertEquals(await paddingOf(device, added), 0);
    }
  }
});

Deno.test("lowRankGradient refuses operands that do not fit", () => {
  using program = new Program(device);
  const matrix = (rows: number, cols: number) => device.matrix(rows, cols, "f32", "operand");
  const a = columnsOf(matrix(5, 20));
  const b = columnsOf(matrix(5, 4));
  assertThrows(
    () => lowRankGradient(program, { a, b, out: matrix(20, 5) }),
    RangeError,
    "(5×20)ᵀ · 5×4 does not give 20×5",
  );
  assertThrows(
    () => lowRankGradient(program, { a: columnsOf(a.matrix, 2, 8), b, out: matrix(8, 4) }),
    RangeError,
    "columns must start at a multiple of 16 bytes",
  );
  assertThrows(
    () => lowRankGradient(program, { a, b, out: device.matrix(20, 4, "f16", "out") }),
    RangeError,
    "types f32, f32, f16 are not f32, f32, f32",
  );
});
