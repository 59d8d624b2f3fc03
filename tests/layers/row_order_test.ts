import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { fromFloat32 } from "../../src/io/dtype.ts";
import { loadPart, readPart } from "../../src/layers/load.ts";
import type { LinearPart, LinearSpec } from "../../src/layers/linear_spec.ts";
import { mergedSource } from "../../src/layers/ordered_source.ts";
import { outFeaturesOf, toMerged, toStored } from "../../src/layers/row_order.ts";
import { Nf4Base, Nf4Workspace } from "../../src/layers/storage/nf4_base.ts";
import { QuantizedWeight } from "../../src/layers/storage/quantized_weight.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { codecOf, FORMATS } from "../../src/numerics/formats.ts";
import { dequantizeNf4, quantizeNf4 } from "../../src/numerics/nf4.ts";
import { decodeBlocks } from "../oracle/scale_grid.ts";
import { device } from "../support/device.ts";
import { randomValues } from "../support/random.ts";

const COLS = 20;

/** Three matrices of 5, 3 and 4 rows as one tensor, each from a multiple of 16 on, and two rows of the last swapped. */
const order = Uint32Array.of(0, 1, 2, 3, 4, 16, 17, 18, 33, 32, 34, 35);
const part: LinearPart = { module: "m", kind: "m", start: 16, rows: 36, order };
const spec: LinearSpec = { name: "x", inFeatures: COLS, width: 64, parts: [part] };
const values = randomValues(order.length * COLS, 1);

/** What the merged weight must be, row by row. */
const merged = new Float32Array(part.rows * COLS);
for (const [i, row] of [...order].entries()) {
  for (let c = 0; c < COLS; c++) merged[row * COLS + c] = values[i * COLS + c];
}

/** The tensor, which must be asked for in its own shape. */
const source: WeightSource = {
  rows: (name, shape, first, count) => {
    assertEquals([name, ...shape], ["m.weight", 12, COLS]);
    assert(first >= 0 && count > 0 && first + count <= 12);
    return Promise.resolve(values.slice(first * COLS, (first + count) * COLS));
  },
  codes: () => Promise.resolve(null),
};

Deno.test("rows are moved to where the merged weight has them, and back, vectors and bytes too", () => {
  assertEquals(outFeaturesOf(part), 12);
  assertEquals(outFeaturesOf({ rows: 7 }), 7);
  assertEquals(toMerged(part, values), merged);
  assertEquals(toStored(part, merged), values);
  const bias = Float32Array.from(order, (_, i) => i + 1);
  const moved = toMerged(part, bias, -1);
  assertEquals(moved.length, 36);
  assertEquals([...moved.slice(14, 20)], [-1, -1, 6, 7, 8, -1]);
  assertEquals([...moved.slice(32)], [10, 9, 11, 12]);
  assertEquals(toStored(part, moved), bias);
  const bytes = Uint8Array.from({ length: 24 }, (_, i) => i);
  assertEquals(toStored(part, toMerged(part, bytes)), bytes);
  const plain = { rows: 12 };
  assertEquals(toMerged(plain, values) === values && toStored(plain, values) === values, true);
});

Deno.test("any range of merged rows is read from the rows of the tensor that are in it", async () => {
  const raw16: WeightSource["raw16"] = (_name, _shape, first, count) => {
    const rows = values.slice(first * COLS, (first + count) * COLS);
    return Promise.resolve({ dtype: "BF16", bytes: fromFloat32(rows, "BF16") });
  };
  const plain = mergedSource(part, source);
  assertEquals([plain.raw16, plain.fill], [undefined, undefined]);
  const half = mergedSource(part, { ...source, raw16 });
  const shape = [36, COLS] as const;
  const mergedHalf = fromFloat32(merged, "BF16");
  for (let first = 0; first < 36; first++) {
    for (let count = 1; first + count <= 36; count++) {
      const [start, end] = [first * COLS, (first + count) * COLS];
      assertEquals(await plain.rows("m.weight", shape, first, count), merged.slice(start, end));
      const raw = await half.raw16!("m.weight", shape, first, count);
      // Where there are zeros only, nothing tells the type: they are read as numbers.
      if (raw) assertEquals(raw.bytes, mergedHalf.slice(2 * start, 2 * end));
      else assert(merged.slice(start, end).every((x) => x === 0));
    }
  }
  assertEquals(mergedSource({ rows: 12 }, source), source);
});

Deno.test("rows far from each other are read without those between", async () => {
  const rows = 4000;
  const swapped = Uint32Array.from({ length: rows }, (_, i) => (i + rows / 2) % rows);
  let read = 0;
  const far = mergedSource({ rows, order: swapped }, {
    ...source,
    rows: (_name, _shape, first, count) => {
      read += count;
      return Promise.resolve(Float32Array.from({ length: count }, (_, i) => first + i));
    },
  });
  const got = await far.rows("m.weight", [rows, 1], 1990, 20);
  assertEquals([...got], Array.from({ length: 20 }, (_, i) => (1990 + i + rows / 2) % rows));
  assertEquals(read, 20);
});

Deno.test("an f32 weight has a part's rows in order, gaps zero, and gives them back", async () => {
  for (const type of ["f32", "f16"] as const) {
    const weight = device.matrix(64, COLS, type, "weight");
    await loadPart(device, part, source, weight, part.start);
    const stored = type === "f16" ? Float32Array.from(new Float16Array(values)) : values;
    assertEquals(await readPart(device, part, weight), stored);
    const whole = await readPart(device, { ...part, order: undefined }, weight);
    assertEquals(whole, toMerged(part, stored));
    device.free(weight);
  }
});

Deno.test("weights that the GPU makes have gaps of zeros too", async () => {
  const weight = device.matrix(64, COLS, "f32", "weight");
  device.write(weight, new Float32Array(weight.size / 4).fill(3));
  await loadPart(device, part, { ...source, fill: () => {} }, weight, part.start);
  const threes = toMerged(part, new Float32Array(order.length * COLS).fill(3));
  assertEquals(await readPart(device, { ...part, order: undefined }, weight), threes);
  device.free(weight);
});

Deno.test("codes are made of rows in order, or taken as they are, and are given back exactly", async () => {
  const plain: LinearPart = { module: "m", kind: "m", start: 0, rows: 12 };
  for (const format of [FORMATS.e4m3, FORMATS.int8]) {
    const alone = new QuantizedWeight(device, { ...spec, width: 16, parts: [plain] }, format);
    await alone.loadPart(plain, source);
    const codes = await alone.readStored(plain);
    alone.free();
    const grid = { scales: codes.valueScales, block: [1, COLS] as const };
    const coded = { ...source, codes: () => Promise.resolve({ ...codes, grid }) };
    for (const from of [source, coded]) {
      const weight = new QuantizedWeight(device, spec, format);
      await weight.loadPart(part, from);
      const stored = await weight.readStored(part);
      assertEquals(stored, codes);
      const decoded = await weight.readPart(part);
      const whole = await weight.readPart({ ...part, order: undefined });
      assertEquals(whole, toMerged(part, decoded));
      // The scales of rows between are what they are between parts.
      assertEquals([...await weight.readScales(part.start + 5, 11)], Array(11).fill(1));
      weight.free();
    }
  }
});

Deno.test("codes with scales per block keep the scales of their own rows where these are moved", async () => {
  const cases: [readonly [number, number], number[]][] = [
    [[5, 8], [1, 0.5, 0.25, 2, 1, 4, 0.5, 0.5, 0.125]],
    [[12, COLS], [0.25]],
  ];
  const codes = codecOf(FORMATS.e4m3).encode(values.map((value) => 100 * value));
  for (const [block, scales] of cases) {
    const grid = { scales: Float32Array.from(scales), block };
    const coded: WeightSource = {
      ...source,
      codes: () => Promise.resolve({ format: FORMATS.e4m3, codes, grid, rotation: 1 }),
    };
    const want = Float32Array.from(decodeBlocks(FORMATS.e4m3, codes, COLS, scales, block));
    const dense = device.matrix(64, COLS, "f32", "weight");
    await loadPart(device, part, coded, dense, part.start);
    assertEquals(await readPart(device, part, dense), want);
    device.free(dense);
    for (const granularity of ["row", "tensor"] as const) {
      const weight = new QuantizedWeight(device, spec, FORMATS.e4m3, { granularity });
      await weight.loadPart(part, coded);
      const got = await weight.readPart(part);
      // Scales are powers of two apart, but small values lose bits under larger ones.
      got.forEach((value, i) =>
        assertAlmostEquals(value, want[i], scales.length > 1 ? 2 ** -8 : 0)
      );
      weight.free();
    }
  }
});

Deno.test("NF4 is made of the rows in order, gaps zero", async () => {
  const memory = new Nf4Workspace(device);
  const weight = new Nf4Base(device, memory, spec);
  await weight.load(source);
  const want = toStored(part, dequantizeNf4(quantizeNf4(merged)));
  const got = await weight.readPart(0);
  assertEquals(got, Float32Array.from(new Float16Array(want)));
  weight.free();
  memory.free();
});
