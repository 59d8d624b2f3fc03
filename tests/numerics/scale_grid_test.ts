import { assert, assertEquals } from "@std/assert";
import { FORMATS } from "../../src/numerics/formats.ts";
import {
  type BlockShape,
  decodeRows,
  gridByRow,
  gridShape,
  largestRowScales,
  rowScales,
  type ScaleGrid,
} from "../../src/numerics/scale_grid.ts";
import { decodeBlocks } from "../oracle/scale_grid.ts";
import { randomGenerator } from "../support/random.ts";

/** Shapes and blocks: whole ones, cut at either edge, one row, one column, one for all, one each. */
const CASES: [shape: [number, number], block: BlockShape, grid: [number, number]][] = [
  [[8, 12], [4, 4], [2, 3]],
  [[7, 11], [4, 4], [2, 3]],
  [[5, 3], [128, 128], [1, 1]],
  [[130, 129], [128, 128], [2, 2]],
  [[6, 10], [1, 10], [6, 1]],
  [[6, 10], [6, 10], [1, 1]],
  [[6, 10], [1, 4], [6, 3]],
  [[1, 9], [128, 2], [1, 5]],
  [[9, 1], [2, 128], [5, 1]],
  [[3, 4], [1, 1], [3, 4]],
];

function randomGrid(shape: [number, number], block: BlockShape): ScaleGrid {
  const random = randomGenerator(shape[0] * 1000 + shape[1]);
  const [rows, cols] = gridShape(shape, block);
  return {
    scales: Float32Array.from({ length: rows * cols }, () => 2 ** (8 * random() - 6)),
    block,
  };
}

Deno.test("codes are decoded with the scale of their block, as the twin does, in any range of rows", () => {
  for (const [shape, block, grid] of CASES) {
    assertEquals(gridShape(shape, block), grid);
    const [rows, cols] = shape;
    const scales = randomGrid(shape, block);
    for (const format of [FORMATS.e4m3, FORMATS.int8]) {
      // 0x7f and 0xff are no numbers in e4m3.
      const codes = Uint8Array.from(
        { length: rows * cols },
        (_, i) => (i * 37 + 11) % 127 + 128 * (i % 2),
      );
      const want = Float32Array.from(decodeBlocks(format, codes, cols, scales.scales, block));
      assertEquals(decodeRows(format, codes, scales, cols, 0, rows), want);
      assertEquals(decodeRows(format, codes, gridByRow(scales, shape), cols, 0, rows), want);
      for (let first = 0; first < rows; first += 3) {
        const count = Math.min(3, rows - first);
        const got = decodeRows(format, codes, scales, cols, first, count);
        assertEquals(got, want.slice(first * cols, (first + count) * cols));
      }
    }
  }
  const none = { scales: new Float32Array(0), block: [1, 4] as const };
  assertEquals(decodeRows(FORMATS.e4m3, new Uint8Array(0), none, 4, 0, 0).length, 0);
});

Deno.test("rows have one scale each where all their blocks agree", () => {
  for (const [shape, block, [, perRow]] of CASES) {
    const grid = randomGrid(shape, block);
    const largest = largestRowScales(grid, shape);
    assertEquals(largest.length, shape[0]);
    largest.forEach((scale, row) => {
      const first = Math.floor(row / block[0]) * perRow;
      assertEquals(scale, Math.max(...grid.scales.slice(first, first + perRow)));
    });
    assertEquals(rowScales(grid, shape), perRow === 1 ? largest : null);
    const equal = grid.scales.map((_, i) => grid.scales[i - i % perRow]);
    const found = rowScales({ scales: equal, block }, shape);
    assert(found !== null);
    found.forEach((scale, row) => assertEquals(scale, equal[Math.floor(row / block[0]) * perRow]));
  }
});
