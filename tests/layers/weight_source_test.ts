import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { fromFloat32 } from "../../src/io/dtype.ts";
import { type TensorSource, writeSafetensors } from "../../src/io/safetensors_writer.ts";
import { Weights } from "../../src/io/weights.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import { QuantizedWeight } from "../../src/layers/storage/quantized_weight.ts";
import { loadMatrix } from "../../src/layers/load.ts";
import { FolderSource, type WeightSource } from "../../src/layers/weight_source.ts";
import { ALL_FORMATS, codecOf, FORMATS } from "../../src/numerics/formats.ts";
import { decodeCodes } from "../oracle/codes.ts";
import { decodeBlocks } from "../oracle/scale_grid.ts";
import { rotateValues } from "../../src/numerics/hadamard.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { randomValues } from "../support/random.ts";

const SHAPE = [3, 20] as const;
const SCALE = 0.125;
const values = Float32Array.from({ length: 60 }, (_, i) => (i % 11 - 5) / 4);
const coded = ALL_FORMATS.filter(({ codec }) => codec);

/** A grid of one scale for a whole matrix of {@linkcode SHAPE}. */
const ONE_SCALE = { scales: Float32Array.of(SCALE), block: SHAPE };

/** A folder with a tensor in each format of codes, one scale for the tensor, and one that is not said to be codes. */
async function withFolder(action: (source: FolderSource) => Promise<void>): Promise<void> {
  const tensors: TensorSource[] = coded.map((format) => ({
    name: `${format.name}.weight`,
    dtype: format.dtype,
    shape: [...SHAPE],
    data: () => codecOf(format).encode(values),
  }));
  const bare = { ...tensors[0], name: "bare.weight" };
  const matrices = new Map(
    coded.map((format) => [`${format.name}.weight`, { format, grid: ONE_SCALE }]),
  );
  await withFolderOf(
    [...tensors, bare],
    (weights) => action(new FolderSource(weights, { coded: matrices })),
  );
}

/** Runs `action` on the weights of a folder with some tensors. */
async function withFolderOf(
  tensors: TensorSource[],
  action: (weights: Weights) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  await writeSafetensors(`${folder}/model.safetensors`, tensors);
  const weights = await Weights.open(folder);
  try {
    await action(weights);
  } finally {
    weights.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("codes are read with the scales that belong to them", () =>
  withFolder(async (source) => {
    for (const format of coded) {
      const stored = (await source.codes(`${format.name}.weight`, SHAPE))!;
      assertEquals(stored.format, format);
      assertEquals(stored.codes, codecOf(format).encode(values));
      assertEquals(stored.grid, ONE_SCALE);
      assert(!source.leavesUnquantized(`${format.name}.weight`));
    }
    assert(source.leavesUnquantized("bare.weight"));
    const message = '"bare.weight" as its dtype is F8_E4M3, and its codes have no scales here';
    await assertRejects(() => source.codes("bare.weight", SHAPE), ModelError, message);
  }));

Deno.test("a quantised weight takes codes of its format as they are, and encodes those of others again", () =>
  withFolder(async (source) => {
    for (const format of coded) {
      const part = { module: format.name, kind: "q_proj", rows: SHAPE[0], start: 0 };
      const spec: LinearSpec = { name: "x", inFeatures: SHAPE[1], width: 16, parts: [part] };
      const weight = new QuantizedWeight(device, spec, FORMATS.e4m3);
      assertEquals(await weight.loadPart(part, source), null);
      const got = await weight.readStored(part);
      const codes = codecOf(format).encode(values);
      assertEquals(source.rounded.has(`${format.name}.weight`), format !== FORMATS.e4m3);
      if (format === FORMATS.e4m3) {
        assertEquals(got, {
          format,
          codes,
          valueScales: new Float32Array(3).fill(SCALE),
          rotation: 1,
        });
      } else {
        const rounded = decodeCodes(format, codes).map((value) => value * SCALE);
        const largest = Math.max(...rounded.map(Math.abs));
        const want = codecOf(FORMATS.e4m3).encode(
          rounded.map((value) => value * Math.fround(FORMATS.e4m3.max / largest)),
        );
        assertEquals(got.codes, want);
      }
      weight.free();
    }
  }));

Deno.test("a code -128 of another tool is taken as it is, and decoded exactly", async () => {
  const codes = Uint8Array.from({ length: 60 }, (_, i) => 0x80 + 3 * i);
  const source: WeightSource = {
    rows: () => Promise.reject(new TypeError("The weights are stored as codes")),
    codes: () =>
      Promise.resolve({
        format: FORMATS.int8,
        codes,
        grid: ONE_SCALE,
        rotation: 1,
      }),
  };
  const part = { module: "x", kind: "q_proj", rows: SHAPE[0], start: 0 };
  const spec: LinearSpec = { name: "x", inFeatures: SHAPE[1], width: 16, parts: [part] };
  const weight = new QuantizedWeight(device, spec, FORMATS.int8);
  await weight.loadPart(part, source);
  assertEquals((await weight.readStored(part)).codes, codes);
  const want = Float32Array.from(codes, (code) => (code << 24 >> 24) * SCALE);
  assertEquals(await weight.readPart(part), want);
  weight.free();
  const dense = device.matrix(SHAPE[0], SHAPE[1], "f32", "dense");
  await loadMatrix(device, "x.weight", SHAPE[0], source, dense);
  assertEquals(await device.readMatrix(dense), want);
  device.free(dense);
});

Deno.test("weights that a file holds rotated are taken as they are where they are rotated alike, else rotated back", async () => {
  const plain = randomValues(60, 3);
  const codes = codecOf(FORMATS.int8).encode(plain.map((value) => value * 100));
  for (
    const [rotation, format] of [[4, FORMATS.int8], [2, FORMATS.int8], [4, FORMATS.e4m3]] as const
  ) {
    const stored = { format: FORMATS.int8, codes, grid: ONE_SCALE, rotation };
    const source: WeightSource = {
      rows: () => Promise.reject(new TypeError("The weights are stored as codes")),
      codes: () => Promise.resolve(stored),
    };
    const part = { module: "x", kind: "q_proj", rows: SHAPE[0], start: 0 };
    const spec: LinearSpec = { name: "x", inFeatures: SHAPE[1], width: 16, parts: [part] };
    const weight = new QuantizedWeight(device, spec, format, { rotation: 4 });
    await weight.loadPart(part, source);
    const got = await weight.readStored(part);
    assertEquals(got.rotation, 4);
    const isSame = rotation === 4 && format === FORMATS.int8;
    assertEquals(got.codes.every((code, i) => code === codes[i]), isSame);
    const decoded = decodeCodes(FORMATS.int8, codes).map((value) => value * SCALE);
    const want = rotateValues(decoded, rotation);
    const error = relativeError(await weight.readPart(part), want);
    assert(
      error < (isSame ? 1e-6 : format === FORMATS.int8 ? 0.01 : 0.04),
      `${rotation}: ${error}`,
    );
    weight.free();
  }
});

Deno.test("16-bit weights that a file holds rotated are rotated back as well", async () => {
  await withFolderOf([{
    name: "x.weight",
    dtype: "BF16",
    shape: [...SHAPE],
    data: () => fromFloat32(values, "BF16"),
  }], async (weights) => {
    const source = new FolderSource(weights, { rotations: new Map([["x.weight", 4]]) });
    assertEquals(await source.raw16("x.weight", SHAPE, 0, 2), null);
    assertEquals(await source.rows("x.weight", SHAPE, 1, 2), rotateValues(values.slice(20), 4));
    assertEquals(await new FolderSource(weights).rows("x.weight", SHAPE, 0, 3), values);
  });
});

Deno.test("codes with several scales per row are rounded under the largest, which leaves what has that as it is", async () => {
  const [rows, cols] = [5, 22];
  const block = [2, 8] as const;
  // Blocks of rows 0–1, 2–3 and 4, each of columns 0–7, 8–15 and 16–21; those of row 4 agree.
  const scales = Float32Array.of(0.5, 0.125, 0.3, 0.01, 0.02, 0.04, 0.7, 0.7, 0.7);
  const codes = codecOf(FORMATS.e4m3).encode(randomValues(rows * cols, 8).map((x) => 400 * x));
  const matrix = { format: FORMATS.e4m3, grid: { scales, block } };
  const tensor: TensorSource = {
    name: "x.weight",
    dtype: "F8_E4M3",
    shape: [rows, cols],
    data: () => codes,
  };
  await withFolderOf([tensor], async (weights) => {
    const part = { module: "x", kind: "q_proj", rows, start: 16 };
    const spec: LinearSpec = { name: "x", inFeatures: cols, width: 32, parts: [part] };
    const values = decodeBlocks(FORMATS.e4m3, codes, cols, scales, block);
    for (const granularity of ["row", "tensor"] as const) {
      const source = new FolderSource(weights, { coded: new Map([["x.weight", matrix]]) });
      const weight = new QuantizedWeight(device, spec, FORMATS.e4m3, { granularity, headroom: 2 });
      await weight.loadPart(part, source);
      assertEquals([...source.rounded], ["x.weight"]);
      const { valueScales, codes: got } = await weight.readStored(part);
      const byRow = [0.5, 0.5, 0.04, 0.04, 0.7].map((scale) => granularity === "row" ? scale : 0.7);
      const want = Float32Array.from(values, (value, i) => value / byRow[Math.floor(i / cols)]);
      assertEquals(got, codecOf(FORMATS.e4m3).encode(want));
      valueScales.forEach((scale, row) => assertAlmostEquals(scale, byRow[row], 1e-7));
      const isKept = (i: number) => got[i] === codes[i];
      const [first, last] = [0, 4 * cols];
      assert(
        Array.from({ length: 8 }, (_, i) => i).every((i) => isKept(first + i)) ===
          (granularity === "row"),
      );
      assert(Array.from({ length: cols }, (_, i) => i).every((i) => isKept(last + i)));
      weight.free();
    }
  });
});

Deno.test("a matrix of row scales goes into a weight with one scale only rounded under the largest", async () => {
  const [rows, cols] = [3, 20];
  const grid = { scales: Float32Array.of(0.5, 0.25, 0.125), block: [1, cols] as const };
  const codes = codecOf(FORMATS.e4m3).encode(values);
  const source: WeightSource = {
    rows: () => Promise.reject(new TypeError("The weights are stored as codes")),
    codes: () => Promise.resolve({ format: FORMATS.e4m3, codes, grid, rotation: 1 }),
  };
  const part = { module: "x", kind: "q_proj", rows, start: 0 };
  const spec: LinearSpec = { name: "x", inFeatures: cols, width: 16, parts: [part] };
  const weight = new QuantizedWeight(device, spec, FORMATS.e4m3, { granularity: "tensor" });
  await weight.loadPart(part, source);
  assertEquals((await weight.readStored(part)).valueScales, new Float32Array(3).fill(0.5));
  // Powers of two apart, so nothing is lost.
  const want = decodeBlocks(FORMATS.e4m3, codes, cols, grid.scales, grid.block);
  assertEquals(await weight.readPart(part), Float32Array.from(want));
  weight.free();
});
