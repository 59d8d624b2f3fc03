import { assert, assertEquals, assertThrows } from "@std/assert";
import { asVector, columnsOf, type Matrix } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { addColumnSums } from "../../../src/kernels/rows/column_sums.ts";
import { rowNormFactors } from "../../../src/kernels/rows/row_norm_factors.ts";
import { scaleColumns } from "../../../src/kernels/rows/scale_columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { rowNorms } from "../../oracle/dora.ts";
import { device } from "../../support/device.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const upload = (values: Float32Array, rows: number) =>
  uploadMatrix(device, values, rows, values.length / rows);

Deno.test("row norm factors agree with f64, and a row of zeros has factor 1", async () => {
  for (const [rows, cols, first] of [[1, 1, 0], [5, 7, 3], [33, 361, 16], [70, 1030, 1]]) {
    const values = randomValues(rows * cols, 1);
    values.fill(0, 0, rows > 1 ? cols : 0);
    const input = upload(values, rows);
    const magnitude = upload(randomValues(rows, 2), 1);
    const [factors, inverse] = [4, 5].map(() => device.vector(first + rows, "f32", "factors"));
    for (const vector of [factors, inverse]) {
      device.write(vector, new Float32Array(first + rows).fill(7));
    }
    await runOnce(device, (program) => {
      rowNormFactors(program, {
        input: input.matrix,
        magnitude: magnitude.matrix,
        factors,
        inverse,
        first,
      });
    });
    const norms = rowNorms(input.exact, cols);
    const [gotFactors, gotInverse] = await Promise.all(
      [factors, inverse].map(async (vector) =>
        new Float32Array(await device.read(vector)).slice(0, first + rows)
      ),
    );
    const before = new Array(first).fill(7);
    const want = [...norms].map((norm, i) => norm > 0 ? magnitude.exact[i] / norm : 1);
    assert(relativeError(gotFactors, Float64Array.from([...before, ...want])) < 1e-6);
    const inverses = [...norms].map((norm) => norm > 0 ? 1 / norm : 0);
    assert(relativeError(gotInverse, Float64Array.from([...before, ...inverses])) < 1e-6);
  }
});

Deno.test("scaled columns agree with f64, with and without bias and addend", async () => {
  for (const [rows, cols] of [[1, 1], [5, 48], [67, 1035]]) {
    for (const [withBias, withAddend] of [[false, false], [true, false], [true, true]]) {
      const input = upload(randomValues(rows * cols, 1), rows);
      const factors = upload(randomValues(cols, 2), 1);
      const bias = upload(randomValues(cols, 3), 1);
      const whole = (matrix: Matrix) => asVector(matrix, matrix.pitch);
      const addend = upload(randomValues(rows * cols, 4), rows);
      const out = poisoned(device, rows, cols);
      await runOnce(device, (program) =>
        scaleColumns(program, {
          input: input.matrix,
          factors: whole(factors.matrix),
          ...(withBias && { bias: whole(bias.matrix), biasFactor: 0.3 }),
          ...(withAddend && { addend: addend.matrix }),
          out,
        }));
      const want = input.exact.map((x, i) =>
        x * factors.exact[i % cols] + (withBias ? 0.3 * bias.exact[i % cols] : 0) +
        (withAddend ? addend.exact[i] : 0)
      );
      assert(relativeError(await device.readMatrix(out), want) < 1e-6);
      assertEquals(await paddingOf(device, out), 0);
    }
  }
  using program = new Program(device);
  const input = device.matrix(3, 7, "f32", "input");
  const factors = device.vector(7, "f32", "factors");
  assertThrows(
    () => scaleColumns(program, { input, factors, out: input }),
    RangeError,
    "7 elements, not 16",
  );
  const none = device.matrix(0, 16, "f32", "input");
  const some = device.vector(16, "f32", "factors");
  scaleColumns(program, { input: none, factors: some, out: none });
  assertEquals(program.dispatches, 0);
});

Deno.test("column sums of products agree with f64, for a block of columns", async () => {
  for (const [rows, width, column, cols] of [[1, 16, 0, 3], [67, 64, 16, 21], [3000, 48, 32, 16]]) {
    const input = upload(randomValues(rows * width, 1), rows);
    const times = upload(randomValues(rows * width, 2), rows);
    const factors = upload(randomValues(width, 3), 1);
    const out = upload(randomValues(cols, 4), 1);
    await runOnce(device, (program) =>
      addColumnSums(program, {
        input: columnsOf(input.matrix, column, cols),
        out: columnsOf(out.matrix),
        alpha: 0.5,
        product: { times: times.matrix, factors: asVector(factors.matrix) },
      }));
    const want = out.exact.slice();
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const at = r * width + column + c;
        want[c] += 0.5 * factors.exact[column + c] * input.exact[at] * times.exact[at];
      }
    }
    assert(relativeError(await device.readMatrix(out.matrix), want) < 2e-6);
    assertEquals(await paddingOf(device, out.matrix), 0);
  }
});
