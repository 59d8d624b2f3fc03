import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import type { Matrix } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { rope, type RopeOptions } from "../../../src/kernels/attention/rope.ts";
import { uploadRopeFrequencies } from "../../../src/kernels/attention/rope_angles.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import * as reference from "../../oracle/rope.ts";
import { paddingOf, runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { device } from "../../support/device.ts";
import { assertAlike } from "../../support/attention.ts";
import { randomValues } from "../../support/random.ts";

/** Positions where rounding f32(position) · frequency would show, up to the last allowed. */
const POSITIONS = [0, 1, 2, 511, 4095, 32_767, 131_071, 131_072, 2 ** 20 - 1];

function inverseFrequencies(headDim: number, theta = 10_000): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => theta ** (-2 * i / headDim));
}

Deno.test("rope turns queries and keys like the oracle; values stay", async () => {
  const positions = uploadVector(device, Uint32Array.from(POSITIONS)).vector;
  const tokens = POSITIONS.length;
  // The last number: columns between queries and keys.
  const shapes = [[8, 1, 1, 0], [10, 3, 2, 5], [64, 2, 1, 16], [128, 4, 4, 0]];
  for (const [headDim, heads, kvHeads, gap] of shapes) {
    const shape = { headDim, heads, kvHeads };
    const keyColumn = heads * headDim + gap;
    const width = keyColumn + 2 * kvHeads * headDim;
    const queries = { column: 0, cols: heads * headDim };
    const keys = { column: keyColumn, cols: kvHeads * headDim };
    const others = [{ column: queries.cols, cols: gap }, {
      column: keyColumn + keys.cols,
      cols: keys.cols,
    }];
    const { matrix: qkv, exact } = uploadMatrix(
      device,
      randomValues(tokens * width, 3),
      tokens,
      width,
    );
    const frequencies = inverseFrequencies(headDim);
    const options = {
      ...shape,
      qkv,
      ...(gap && { keyColumn }), // by default right behind the queries
      positions,
      frequencies: uploadRopeFrequencies(device, frequencies),
    };
    await runOnce(device, (program) => rope(program, options));
    const got = await device.readMatrix(qkv);
    for (const block of [queries, keys]) {
      const want = reference.applyRope(takeColumns(exact, width, block), POSITIONS, frequencies);
      const error = relativeError(takeColumns(got, width, block), want);
      assert(error < 2e-7, `${JSON.stringify(shape)}: error ${error}`);
    }
    for (const block of others) {
      assertEquals(takeColumns(got, width, block), takeColumns(exact, width, block));
    }
    assertEquals(await paddingOf(device, qkv), 0);
  }
});

Deno.test("rope takes any frequency: none, tiny, whole turns", async () => {
  const frequencies = [0, 1e-9, 1, 2 * Math.PI, 6.5, 1e4 / 3];
  const headDim = 2 * frequencies.length;
  const position = 1000;
  const row = new Float32Array(3 * headDim).fill(1, 0, headDim / 2); // cos, then sin of every angle
  const { matrix: qkv } = uploadMatrix(device, row, 1, row.length);
  await runOnce(device, (program) =>
    rope(program, {
      qkv,
      positions: uploadVector(device, Uint32Array.of(position)).vector,
      frequencies: uploadRopeFrequencies(device, frequencies),
      heads: 1,
      kvHeads: 1,
      headDim,
    }));
  const got = await device.readMatrix(qkv);
  frequencies.forEach((frequency, i) => {
    assertAlmostEquals(got[i], Math.cos(position * frequency), 2e-7, `cos of ${frequency}`);
    assertAlmostEquals(got[i + headDim / 2], Math.sin(position * frequency), 2e-7);
  });
});

Deno.test("rope turns queries and keys in f16 as in f32, and rounds them once", async () => {
  const positions = uploadVector(device, Uint32Array.from(POSITIONS)).vector;
  const tokens = POSITIONS.length;
  for (const [headDim, heads, kvHeads, gap] of [[8, 1, 1, 0], [64, 2, 1, 16], [128, 3, 2, 4]]) {
    const keyColumn = heads * headDim + gap;
    const width = keyColumn + 2 * kvHeads * headDim;
    const frequencies = uploadRopeFrequencies(device, inverseFrequencies(headDim));
    const options = { heads, kvHeads, headDim, keyColumn, positions, frequencies };
    const values = Float32Array.from(Float16Array.from(randomValues(tokens * width, 4, 3)));
    values[1] = 65504; // with its neighbour it turns past f16's largest value
    values[1 + headDim / 2] = 65504;
    const { matrix: wide } = uploadMatrix(device, values, tokens, width);
    const { matrix: half } = uploadMatrix(device, values, tokens, width, "f16");
    await runOnce(device, (program) => {
      rope(program, { ...options, qkv: wide });
      rope(program, { ...options, qkv: half });
    });
    const want = Float16Array.from(
      await device.readMatrix(wide),
      (value) => Math.max(-65504, Math.min(65504, value)),
    );
    const raw = new Float16Array(await device.read(half));
    for (let t = 0; t < tokens; t++) {
      const row = raw.subarray(t * half.pitch, (t + 1) * half.pitch);
      const [got, wanted] = [row.subarray(0, width), want.subarray(t * width, (t + 1) * width)];
      assertAlike([Float32Array.from(got)], [Float32Array.from(wanted)], device);
      assert(row.subarray(width).every((value) => value === 0));
    }
  }
});

Deno.test("rope multiplies some planes, scales queries by position, and turns long documents otherwise", async () => {
  const positions = Uint32Array.from(POSITIONS);
  const tokens = positions.length;
  const long = POSITIONS.map((_, t) => t % 2 === 1);
  const flagged = positions.map((position, t) => position + (long[t] ? 2 ** 20 : 0));
  const [beta, context] = [0.1, 511];
  const tokenFactors = POSITIONS.map((p) => 1 + beta * Math.log(1 + Math.floor(p / context)));
  // One plane at a time, four at a time, and four of which some are multiplied; f16 is rounded once.
  for (
    const [headDim, heads, kvHeads, type] of [[10, 3, 2, "f32"], [16, 2, 1, "f32"], [
      64,
      5,
      2,
      "f16",
    ]] as const
  ) {
    const { frequencies, longFrequencies } = {
      frequencies: inverseFrequencies(headDim),
      longFrequencies: inverseFrequencies(headDim, 300),
    };
    const half = headDim / 2;
    const parts: [RopeFeature, reference.Turning, boolean][] = [
      [{ factor: { value: 1.25, planes: half - 2 } }, {}, false],
      [{ factor: { value: 0.8, planes: half } }, {}, false],
      [{ queryScale: { beta, context } }, {}, false],
      [{}, { long, longFrequencies }, true],
      [{ factor: { value: 1.25, planes: 1 }, queryScale: { beta, context } }, {
        long,
        longFrequencies,
      }, true],
    ];
    for (const [options, turning, isLong] of parts) {
      const width = (heads + 2 * kvHeads) * headDim;
      const { matrix: qkv, exact } = uploadMatrix(
        device,
        randomValues(tokens * width, 5),
        tokens,
        width,
        type,
      );
      await runOnce(device, (program) =>
        rope(program, {
          ...{ heads, kvHeads, headDim, qkv, ...options },
          positions: uploadVector(device, isLong ? flagged : positions).vector,
          frequencies: uploadRopeFrequencies(device, [
            ...frequencies,
            ...(isLong ? longFrequencies : []),
          ]),
        }));
      const got = type === "f32"
        ? Float64Array.from(await device.readMatrix(qkv))
        : await readHalves(qkv);
      const name = `${headDim} ${JSON.stringify(options)} ${isLong}`;
      const { factor, queryScale } = options;
      for (const ofQueries of [true, false]) {
        const block = ofQueries
          ? { column: 0, cols: heads * headDim }
          : { column: heads * headDim, cols: kvHeads * headDim };
        const factors = ofQueries && queryScale ? { tokenFactors } : {};
        const want = reference.applyRope(takeColumns(exact, width, block), POSITIONS, frequencies, {
          ...turning,
          ...factors,
          factor,
        });
        const error = relativeError(takeColumns(got, width, block), want);
        assert(
          error < (type === "f32" ? 3e-7 : 3e-4),
          `${name}, queries ${ofQueries}: error ${error}`,
        );
      }
      const values = { column: (heads + kvHeads) * headDim, cols: kvHeads * headDim };
      assertEquals(
        takeColumns(got, width, values),
        takeColumns(exact, width, values),
      );
      device.free(qkv);
    }
  }
});

type RopeFeature = Pick<RopeOptions, "factor" | "queryScale">;

async function readHalves(matrix: Matrix): Promise<Float64Array> {
  const { rows, cols, pitch } = matrix;
  const raw = new Float16Array(await device.read(matrix));
  return Float64Array.from(
    { length: rows * cols },
    (_, i) => raw[Math.floor(i / cols) * pitch + i % cols],
  );
}

Deno.test("rope refuses operands that do not fit", () => {
  using program = new Program(device);
  const good = {
    qkv: device.matrix(2, 24, "f32", "qkv"),
    positions: device.allocate(16, "positions"),
    frequencies: uploadRopeFrequencies(device, inverseFrequencies(8)),
    heads: 1,
    kvHeads: 1,
    headDim: 8,
  };
  const refuses = (bad: Partial<RopeOptions>, message: string, type: typeof Error = RangeError) =>
    assertThrows(() => rope(program, { ...good, ...bad }), type, message);
  refuses(
    { heads: 3 },
    "rope: qkv has 24 columns, not 3 heads of 8 and, from column 24 on, 1 more",
  );
  refuses({ keyColumn: 17 }, "not 1 heads of 8 and, from column 17 on, 1 more");
  refuses({ keyColumn: 6 }, "not 1 heads of 8 and, from column 6 on, 1 more");
  refuses({ headDim: 9 }, "rope: headDim is 9, not an even number");
  refuses({ qkv: { ...good.qkv, type: "u32" } }, "rope: qkv is u32, not f32 or f16", TypeError);
  const narrow = { headDim: 4, frequencies: uploadRopeFrequencies(device, inverseFrequencies(4)) };
  refuses(
    { ...narrow, qkv: { ...good.qkv, type: "f16" } },
    "rope: qkv is f16, not f32",
    TypeError,
  );
  refuses({ qkv: device.matrix(5, 24, "f32", "qkv") }, "positions has 16 bytes, not 4 for each of");
  refuses(
    { frequencies: device.vector(8, "f32", "frequencies") },
    "frequencies are 8 of f32, not 8 or twice as many of u32",
  );
});
