import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { addColumnSums } from "../../../src/kernels/rows/column_sums.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { columnSums } from "../../oracle/linear.ts";
import { device } from "../../support/device.ts";
import { paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("column sums agree with f64, are added to what is there, and leave zeros behind the last column", async () => {
  for (const [rows, cols] of [[1, 1], [5, 7], [33, 16], [100, 361], [3000, 18]]) {
    const input = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
    const out = uploadMatrix(device, randomValues(cols, 2), 1, cols);
    await runOnce(device, (program) => {
      addColumnSums(program, { input: columnsOf(input.matrix), out: columnsOf(out.matrix) });
    });
    const want = columnSums(input.exact, rows).map((sum, c) => sum + out.exact[c]);
    const error = relativeError(await device.readMatrix(out.matrix), want);
    assert(error < 1e-6, `${rows}×${cols}: error ${error}`);
    assertEquals(await paddingOf(device, out.matrix), 0);
  }
});

Deno.test("column sums of a block of columns reach no other columns, neither of the input nor of the output", async () => {
  const [rows, width] = [67, 64];
  const input = uploadMatrix(device, randomValues(rows * width, 3), rows, width);
  const out = uploadMatrix(device, randomValues(width, 4), 1, width);
  const block = { column: 16, cols: 21 }; // inside the 32 columns of a part
  await runOnce(device, (program) => {
    addColumnSums(program, {
      input: columnsOf(input.matrix, block.column, block.cols),
      out: columnsOf(out.matrix, block.column, block.cols),
      alpha: 0.3,
    });
  });
  const sums = columnSums(takeColumns(input.exact, width, block), rows);
  const want = out.exact.map((old, c) => old + 0.3 * (sums[c - block.column] ?? 0));
  const got = await device.readMatrix(out.matrix);
  assert(relativeError(got, want) < 1e-6);
  const outside = (_: number, c: number) => c < block.column || c >= block.column + block.cols;
  assertEquals(got.filter(outside), Float32Array.from(out.exact).filter(outside));
});

Deno.test("column sums record nothing for empty matrices, and refuse mismatched ones", () => {
  using program = new Program(device);
  const matrix = (rows: number, cols: number) => device.matrix(rows, cols, "f32", "operand");
  addColumnSums(program, { input: columnsOf(matrix(0, 5)), out: columnsOf(matrix(1, 5)) });
  assertEquals(program.dispatches, 0);
  const input = columnsOf(matrix(3, 32), 0, 20);
  assertThrows(
    () => addColumnSums(program, { input, out: columnsOf(matrix(1, 32), 0, 24) }),
    RangeError,
    "out is 1×24 from column 0 on, not 1×20 from a multiple of 16 on",
  );
  assertThrows(
    () => addColumnSums(program, { input, out: columnsOf(matrix(1, 32), 16, 20) }),
    RangeError,
    "columns from 16 on are not inside out",
  );
  assertThrows(
    () =>
      addColumnSums(program, { input: columnsOf(device.matrix(3, 20, "f16", "a")), out: input }),
    TypeError,
  );
});
