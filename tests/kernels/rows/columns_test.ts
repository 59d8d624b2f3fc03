import { assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { copyColumns } from "../../../src/kernels/rows/columns.ts";
import { device } from "../../support/device.ts";
import { runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("copyColumns copies, scales and adds columns of odd places, and no others", async () => {
  const cases: [
    rows: number,
    cols: number,
    column: number,
    toColumn: number,
    type: "f32" | "f16",
  ][] = [
    [1, 1, 0, 0, "f32"],
    [5, 7, 3, 1, "f32"],
    [33, 12, 24, 16, "f32"],
    [3, 130, 2, 5, "f32"],
    [5, 6, 2, 4, "f16"],
  ];
  for (const [rows, cols, column, toColumn, type] of cases) {
    for (const how of type === "f16" ? [{}] : [{}, { factor: -0.5 }, { accumulate: true }]) {
      const { factor = 1, accumulate = false } = how as { factor?: number; accumulate?: boolean };
      const [width, toWidth] = [column + cols + 1, toColumn + cols + 3];
      const from = uploadMatrix(device, randomValues(rows * width, 1), rows, width, type);
      const to = uploadMatrix(device, randomValues(rows * toWidth, 2), rows, toWidth, type);
      await runOnce(device, (program) =>
        copyColumns(program, {
          from: columnsOf(from.matrix, column, cols),
          to: columnsOf(to.matrix, toColumn, cols),
          ...how,
        }));
      const want = Float64Array.from(to.exact);
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++) {
          const at = r * toWidth + toColumn + c;
          const value = from.exact[r * width + column + c];
          want[at] = Math.fround(accumulate ? want[at] + value : factor * value);
        }
      }
      const { pitch } = to.matrix;
      const bytes = await device.read(to.matrix);
      const values = type === "f32" ? new Float32Array(bytes) : new Float16Array(bytes);
      const got = Float64Array.from(
        { length: rows * pitch },
        (_, i) => values[i],
      );
      const wanted = Float64Array.from(
        { length: rows * pitch },
        (_, i) => i % pitch < toWidth ? want[Math.floor(i / pitch) * toWidth + i % pitch] : 0,
      );
      assertEquals(got, wanted, `${rows}×${cols} ${type} ${JSON.stringify(how)}`);
    }
  }
});

Deno.test("copyColumns of no rows records nothing, and refuses blocks that do not fit", () => {
  using program = new Program(device);
  const none = columnsOf(device.matrix(0, 5, "f32", "none"));
  copyColumns(program, { from: none, to: none });
  assertEquals(program.dispatches, 0);
  const [wide, narrow] = [8, 5].map((cols) => columnsOf(device.matrix(2, cols, "f32", "matrix")));
  const halves = columnsOf(device.matrix(2, 8, "f16", "halves"));
  const refuses = (from: typeof wide, to: typeof wide, message: string, how = {}) =>
    assertThrows(() => copyColumns(program, { from, to, ...how }), Error, message);
  refuses(wide, narrow, "cannot copy 2×8 to 2×5");
  refuses(wide, halves, "cannot copy f32 to f16");
  refuses({ ...wide, column: 4 }, wide, "8 columns from 4 on do not fit 8 of f32");
  const odd = { ...halves, column: 1, cols: 2 };
  refuses(odd, odd, "2 columns from 1 on do not fit 8 of f16");
  refuses(halves, halves, "columns of f16 cannot be scaled by 2", { factor: 2 });
});
