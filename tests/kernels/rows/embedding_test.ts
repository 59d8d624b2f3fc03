import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Matrix } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { embed, embedBackward } from "../../../src/kernels/rows/embedding.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/embedding.ts";
import { device } from "../../support/device.ts";
import { filled, paddingOf, runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** Tokens, vocabulary, width: one of each, several tiles of ids, more columns than threads. */
const SHAPES = [[1, 1, 1], [300, 5, 30], [7, 361, 64], [3, 4, 700]];

/** Few distinct ids, the last one included, so that most repeat. */
function someIds(tokens: number, vocab: number): Uint32Array<ArrayBuffer> {
  const distinct = Math.min(vocab, 4);
  return Uint32Array.from(
    randomValues(tokens, 9),
    (v) => vocab - 1 - Math.floor((v + 1) / 2 * distinct),
  );
}

Deno.test("embed copies the rows of f32 and f16 tables exactly", async () => {
  for (const [tokens, vocab, width] of SHAPES) {
    const ids = someIds(tokens, vocab);
    for (const type of ["f32", "f16"] as const) {
      const table = uploadMatrix(device, randomValues(vocab * width, 1), vocab, width, type);
      const output = filled(device, tokens, width, NaN);
      await runOnce(
        device,
        (p) => embed(p, { ids: uploadVector(device, ids).vector, table: table.matrix, output }),
      );
      const want = Float32Array.from(reference.embed(table.exact, ids, width));
      assertEquals(await device.readMatrix(output), want);
      assertEquals(await paddingOf(device, output), 0);
    }
  }
});

Deno.test("embedBackward adds to the rows that were looked up and to no other", async () => {
  for (const [tokens, vocab, width] of SHAPES) {
    const ids = someIds(tokens, vocab);
    const dy = uploadMatrix(device, randomValues(tokens * width, 2), tokens, width);
    const dTable = uploadMatrix(device, randomValues(vocab * width, 3), vocab, width);
    await runOnce(
      device,
      (p) =>
        embedBackward(p, {
          ids: uploadVector(device, ids).vector,
          dOutput: dy.matrix,
          dTable: dTable.matrix,
        }),
    );
    const want = dTable.exact.slice();
    reference.embedBackward(want, dy.exact, ids, width);
    const got = await device.readMatrix(dTable.matrix);
    const error = relativeError(got, want);
    assert(error < 1e-6, `${tokens} tokens, table ${vocab}×${width}: error ${error}`);
    for (let v = 0; v < vocab; v++) {
      if (ids.includes(v)) continue;
      assertEquals(
        got.subarray(v * width, (v + 1) * width),
        Float32Array.from(dTable.exact.subarray(v * width, (v + 1) * width)),
      );
    }
    assertEquals(await paddingOf(device, dTable.matrix), 0);
  }
});

Deno.test("embed multiplies rows by a factor, and embedBackward what it adds", async () => {
  for (const [tokens, vocab, width] of SHAPES) {
    const ids = someIds(tokens, vocab);
    const scale = 8.484375;
    const dy = uploadMatrix(device, randomValues(tokens * width, 2), tokens, width);
    const dTable = uploadMatrix(device, randomValues(vocab * width, 3), vocab, width);
    for (const type of ["f32", "f16"] as const) {
      const table = uploadMatrix(device, randomValues(vocab * width, 1), vocab, width, type);
      const output = filled(device, tokens, width, NaN);
      const { vector } = uploadVector(device, ids);
      await runOnce(device, (program) => {
        embed(program, { ids: vector, table: table.matrix, output, scale });
        if (type === "f16") return;
        embedBackward(program, {
          ids: vector,
          dOutput: dy.matrix,
          dTable: dTable.matrix,
          scale,
        });
      });
      const want = reference.embed(table.exact, ids, width, scale);
      const error = relativeError(await device.readMatrix(output), want);
      assert(error < 1e-6, `${tokens} of ${vocab}×${width} ${type}: error ${error}`);
      assertEquals(await paddingOf(device, output), 0);
    }
    const want = dTable.exact.slice();
    reference.embedBackward(want, dy.exact, ids, width, scale);
    const error = relativeError(await device.readMatrix(dTable.matrix), want);
    assert(error < 1e-6, `gradient of ${tokens} tokens, ${vocab}×${width}: error ${error}`);
  }
});

/** Rows of the slabs that tables are split into: of one row at either end, and of sizes that are no multiple of 16. */
const SLABS: Record<number, number[]> = {
  1: [1],
  5: [1, 3, 1],
  361: [17, 1, 128, 214, 1],
  4: [2, 2],
};

Deno.test("embed and embedBackward take a table slab by slab, bit for bit as a whole one", async () => {
  for (const [tokens, vocab, width] of SHAPES) {
    for (const scale of [1, 8.484375]) {
      // Ids at both ends, and one that there is no row for, which counts as the last.
      const ids = someIds(tokens, vocab).map((id, t) => t === 1 ? 0 : t === 2 ? 2 ** 32 - 1 : id);
      const { vector } = uploadVector(device, ids);
      const values = randomValues(vocab * width, 1);
      const gradients = randomValues(vocab * width, 3);
      const dOutput = uploadMatrix(device, randomValues(tokens * width, 2), tokens, width).matrix;
      for (const type of ["f32", "f16"] as const) {
        const [whole, split] = [0, 1].map(() => filled(device, tokens, width, NaN));
        const { matrix, exact } = uploadMatrix(device, values, vocab, width, type);
        const dWhole = uploadMatrix(device, gradients, vocab, width).matrix;
        const dSlabs: Matrix[] = [];
        await runOnce(device, (program) => {
          embed(program, { ids: vector, table: matrix, output: whole, scale });
          embedBackward(program, { ids: vector, dOutput, dTable: dWhole, scale });
          let firstRow = 0;
          for (const rows of SLABS[vocab]) {
            const part = (of: Float32Array) =>
              of.slice(firstRow * width, (firstRow + rows) * width);
            const table = uploadMatrix(device, part(values), rows, width, type).matrix;
            const dTable = uploadMatrix(device, part(gradients), rows, width).matrix;
            const slab = { firstRow, vocab };
            embed(program, { ids: vector, table, slab, output: split, scale });
            embedBackward(program, { ids: vector, dOutput, dTable, slab, scale });
            dSlabs.push(dTable);
            firstRow += rows;
          }
        });
        const got = await device.readMatrix(split);
        assertEquals(got, await device.readMatrix(whole));
        const known = ids.map((id) => Math.min(id, vocab - 1));
        const error = relativeError(got, reference.embed(exact, known, width, scale));
        assert(error < 1e-6, `${tokens} of ${vocab}×${width} ${type}: error ${error}`);
        const parts = await Promise.all(dSlabs.map((slab) => device.readMatrix(slab)));
        assertEquals(parts.flatMap((part) => [...part]), [...await device.readMatrix(dWhole)]);
      }
    }
  }
});

Deno.test("embed stays inside the table for ids that it has no row for", async () => {
  const values = randomValues(3 * 20, 1);
  const table = uploadMatrix(device, values, 3, 20).matrix;
  const output = filled(device, 2, 20, NaN);
  const ids = uploadVector(device, Uint32Array.from([3, 2 ** 32 - 1])).vector;
  await runOnce(device, (p) => embed(p, { ids, table, output }));
  const last = values.slice(40);
  assertEquals(await device.readMatrix(output), Float32Array.from([...last, ...last]));
});

Deno.test("embed refuses operands that do not fit", () => {
  using program = new Program(device);
  const ids = device.vector(3, "u32", "ids");
  const table = device.matrix(5, 8, "f32", "table");
  const output = device.matrix(3, 8, "f32", "output");
  assertThrows(
    () => embed(program, { ids: { ...ids, type: "i32" }, table, output }),
    TypeError,
    "embed: ids is i32, not u32",
  );
  assertThrows(
    () => embed(program, { ids, table: device.matrix(5, 8, "e4m3", "table"), output }),
    TypeError,
    "embed: table is e4m3, not f32 or f16",
  );
  assertThrows(
    () => embed(program, { ids, table, slab: { firstRow: 4, vocab: 8 }, output }),
    RangeError,
    "embed: the slab has rows 4 to 9 of 8",
  );
  assertThrows(
    () => embedBackward(program, { ids, dOutput: device.matrix(4, 8, "f32", "d"), dTable: table }),
    RangeError,
    "embedBackward: ids has 3 elements, not 4",
  );
});
