/** What training A as well needs of kernels: the change of a product, and B in codes. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { layoutOf, type Matrix, roundUp } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { updateRows, type UpdateRowsOptions } from "../../../src/kernels/falqon/falqon.ts";
import { codesOfB, largestLength, productChange } from "../../../src/kernels/falqon/product.ts";
import { updateTensorTile } from "../../../src/kernels/falqon/tensor.ts";
import { FORMATS } from "../../../src/numerics/formats.ts";
import { relativeError, tensorCoreError } from "../../oracle/compare.ts";
import { updateProduct } from "../../oracle/falqon_update.ts";
import { device } from "../../support/device.ts";
import { ordinal } from "../../support/falqon_updates.ts";
import { TYPES, uploadBytes } from "../../support/falqon_updates.ts";
import {
  poisoned,
  poisonedCodes,
  readVector,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { openDryTensorGpu } from "../../support/dry_gpus.ts";
import { fromPanels } from "../../support/panels.ts";
import { randomValues } from "../../support/random.ts";

const EXACT = { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 };
/** Tensor cores, emulated where there are none. */
const MATRIX = { subgroups: 4, columns: 32, steps: 2 };
const WIDE_MATRIX = { subgroups: 2, columns: 64, steps: 2 };

/** Shapes without a whole tile; W between other rows, the two A not behind each other. */
const SHAPES = [
  { outputs: 139, inputs: 180, rank: 21, wRow: 16 },
  { outputs: 1, inputs: 20, rank: 1, wRow: 0 },
  { outputs: 65, inputs: 3, rank: 16, wRow: 7 },
];

/** The bytes of a matrix by rows, padding columns included. */
async function readBytes(matrix: Matrix): Promise<Uint8Array> {
  const bytes = new Uint8Array(await device.read(matrix));
  return layoutOf(matrix.type) === "panels" ? fromPanels(bytes, matrix) : bytes;
}

for (const type of TYPES) {
  Deno.test(`the change of B·A reaches ${type} codes as its CPU transcription says`, async () => {
    for (const { outputs, inputs, rank, wRow } of SHAPES) {
      const half = roundUp(rank, 16);
      const aRow = roundUp(wRow + outputs, 16);
      const secondRow = aRow + half + 16; // sixteen rows of something else between
      const height = secondRow + half;
      const { codec } = FORMATS[type];
      const all = codec.encode(randomValues(height * inputs, 1, 40));
      const scales = randomValues(height, 2).map((v) => 1.5 + v);
      const [b, change] = [3, 4].map((seed) => randomValues(outputs * rank, seed, 0.01));
      const onGpu = { scales: uploadVector(device, scales).vector, wRow };
      const largest = device.vector(largestLength(outputs), "f32", "largest");
      const b_ = uploadMatrix(device, b, outputs, rank).matrix;
      const factor = poisoned(device, outputs, 2 * half);
      await runOnce(device, (program) =>
        productChange(program, {
          b: b_,
          change: uploadMatrix(device, change, outputs, rank).matrix,
          ...onGpu,
          aRow,
          secondRow,
          loraScale: 0.5,
          largest,
          factor,
        }));

      const values = await device.readMatrix(factor);
      for (let i = 0; i < outputs; i++) {
        for (let j = 0; j < half; j++) {
          const at = i * rank + j;
          const [first, second] = [0, half].map((from) => values[2 * half * i + from + j]);
          if (j >= rank) {
            assertEquals([first, second], [0, 0]);
            continue;
          }
          const old = b[at] - change[at];
          const want = [change[at] / scales[aRow + j], old / scales[secondRow + j]];
          assert(relativeError([first, second], want.map((v) => 0.5 * v)) < 1e-6);
        }
      }
      const largestOf = (block: number) =>
        b.slice(64 * block * rank, 64 * (block + 1) * rank).reduce(
          (most, v, i) =>
            Math.max(most, Math.abs(v) * scales[wRow + 64 * block + Math.floor(i / rank)]),
          0,
        );
      const want = Float32Array.from({ length: largest.length }, (_, block) => largestOf(block));
      assertEquals(await readVector(device, largest), want);

      // W, A and ΔA below each other, as the transcription has them.
      const rows = [
        ...Array.from({ length: outputs }, (_, i) => wRow + i),
        ...Array.from({ length: rank }, (_, j) => aRow + j),
        ...Array.from({ length: rank }, (_, j) => secondRow + j),
      ];
      const codes = new Uint8Array(rows.length * inputs);
      rows.forEach((r, i) => codes.set(all.subarray(r * inputs, (r + 1) * inputs), i * inputs));
      const merged = { codes, scales: Float32Array.from(rows, (r) => scales[r]), outputs, inputs };
      const key = { low: 3, high: 4 };
      const weight = { ...merged, rank: 2 * rank, format: { name: type } };
      // From the factor as the GPU has it, whose divisions were looked at above.
      const columns = Array.from({ length: 2 * rank }, (_, j) => j + (j < rank ? 0 : half - rank));
      const divided = Float32Array.from(
        { length: outputs * 2 * rank },
        (_, i) => values[2 * half * Math.floor(i / (2 * rank)) + columns[i % (2 * rank)]],
      );
      const slack = tensorCoreError(2 * half, true);
      const { around } = updateProduct(weight, b, change, 0.5, { key, step: 9 }, {
        factor: divided,
        slack,
      });
      const wanted = (of: Uint8Array) => {
        const bytes = all.slice();
        bytes.set(of.subarray(0, outputs * inputs), wRow * inputs);
        return bytes;
      };
      const [exact, least, most] = [codes, ...around].map(wanted);
      for (const tile of [EXACT, MATRIX, WIDE_MATRIX]) {
        const onDevice = uploadBytes(all, inputs, type);
        await update(tile, {
          weight: onDevice,
          wRow,
          aRow,
          secondRow,
          rows: outputs,
          rank: 2 * half,
          rowFactors: uploadVector(device, scales.slice(wRow, wRow + outputs)).vector,
          columnFactors: uploadVector(device, new Float32Array(2 * half).fill(1)).vector,
          b: factor,
        });
        const got = await readBytes(onDevice);
        const { pitch } = onDevice;
        const bare = got.filter((_, i) => i % pitch < inputs);
        assert(got.every((code, i) => i % pitch < inputs || code === 0), "padding");
        if (!("subgroups" in tile)) assertEquals(bare, exact);
        // Tensor cores add in another order, and truncate: other codes are where the threshold lies within that of the sum.
        const off = bare.findIndex((code, i) =>
          ordinal(code, type) < ordinal(least[i], type) ||
          ordinal(code, type) > ordinal(most[i], type)
        );
        assertEquals(off, -1, `code ${bare[off]}, not ${exact[off]}, of ${outputs}×${inputs}`);
        const undecided = least.filter((code, i) => code !== most[i]).length;
        assert(undecided <= 1e-3 * least.length, `${undecided} of ${least.length} may be either`);
        assert(outputs === 1 || codes.some((code, i) => code !== all[wRow * inputs + i]));
      }
    }
  });
}

async function update(tile: UpdateRowsOptions["tile"], part: UpdateRowsOptions["part"]) {
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  state.begin({ step: 9, learningRate: 0, targetCount: 1 });
  const rounding = { key: { low: 3, high: 4 }, state };
  await runOnce(
    device,
    (program) => updateRows(program, { part, base: "in place", selection: null, rounding, tile }),
  );
}

for (const type of TYPES) {
  Deno.test(`B in ${type} codes is that of G·B, all parts of a layer below each other`, async () => {
    // Parts of a layer of 100 columns: the first rows of each, and how many.
    const parts = [{ wRow: 0, rows: 37, rank: 5 }, { wRow: 48, rows: 1, rank: 5 }, {
      wRow: 64,
      rows: 36,
      rank: 5,
    }];
    const [width, height] = [100, 48];
    const scales = randomValues(width + 10, 5).map((v) => 1.5 + v);
    for (const inverse of [false, true]) {
      const codes = poisonedCodes(device, height, width, type).codes;
      const columnScales = device.vector(height, "f32", "column scales");
      const { codec, max } = FORMATS[type];
      const want = new Uint8Array(height * codes.pitch);
      const wantScales = new Float32Array(height);
      for (const [p, { wRow, rows, rank }] of parts.entries()) {
        // A part that is zero has the scale 1.
        const b = randomValues(rows * rank, 6 + p, p === 1 ? 0 : 0.02);
        const b_ = uploadMatrix(device, b, rows, rank).matrix;
        const largest = device.vector(largestLength(rows), "f32", "largest");
        const scaled = b.map((v, i) => v * scales[wRow + Math.floor(i / rank)]);
        const amax = scaled.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        device.write(largest, Float32Array.of(amax));
        const where = { b: b_, scales: uploadVector(device, scales).vector, wRow, largest };
        const first = 16 * p;
        await runOnce(
          device,
          (program) => codesOfB(program, { ...where, codes, first, columnScales, inverse }),
        );
        const scale = p === 1 ? 1 : Math.fround(max / amax);
        for (let j = 0; j < 16; j++) {
          wantScales[first + j] = inverse ? 1 / scale : scale;
          for (let i = 0; i < rows && j < rank; i++) {
            const value = Float32Array.of(scaled[i * rank + j] * scale);
            want[(first + j) * codes.pitch + wRow + i] = codec.encode(value)[0];
          }
        }
      }
      const got = await readBytes(codes);
      const decoded = codec.values();
      const wrong = got.filter((code, i) => decoded[code] !== decoded[want[i]]);
      assert(wrong.length <= 2, `${wrong.length} codes differ`); // the scale may be off by its last bit
      assert(want.filter((code) => code !== 0).length > 300);
      assert(relativeError(await readVector(device, columnScales), wantScales) < 1e-6);
    }
  });
}

Deno.test("tensor cores take an update by the largest tile that workgroup memory has room for and keeps a GPU busy", () => {
  const gpu = openDryTensorGpu();
  const part = (rank: number, type: typeof TYPES[number], [rows, cols] = [4096, 4096]) => ({
    weight: gpu.matrix(rows + 261, cols, type, "W"),
    wRow: 0,
    aRow: rows + 5,
    rows,
    rank,
    rowFactors: gpu.vector(rows, "f32", "row factors"),
    columnFactors: gpu.vector(rank, "f32", "column factors"),
    b: gpu.matrix(rows, rank, "f32", "factor"),
  });
  const tile = (memory: number, given: ReturnType<typeof part>, recovers: boolean) => {
    const limits = { ...gpu.limits, maxComputeWorkgroupStorageSize: memory * 1024 };
    const device = Object.create(gpu, { limits: { value: limits } });
    const tile = updateTensorTile(device, given, recovers ? { change: given.b } : "in place");
    return tile && `${tile.subgroups}/${tile.steps}`;
  };
  for (
    const [memory, type, rank, recovers, wanted] of [
      [48, "int8", 128, false, "4/16"],
      [32, "int8", 128, false, "4/16"],
      [16, "int8", 128, false, null],
      [16, "int8", 64, false, "4/16"],
      [48, "int8", 160, false, null],
      // e4m3 has a larger tile, and two sets of sums take more steps.
      [48, "e4m3", 64, false, "8/32"],
      [16, "e4m3", 64, false, "4/16"],
      [48, "int8", 64, true, "4/32"],
      [16, "int8", 64, true, "4/32"],
      [48, "e4m3", 64, true, "4/32"],
      [48, "e4m3", 128, true, "4/32"],
    ] as const
  ) {
    const label = `${memory} KiB, ${type}, rank ${rank}${recovers ? ", recovered" : ""}`;
    assertEquals(tile(memory, part(rank, type), recovers), wanted, label);
  }
  for (
    const [rows, cols, wanted] of [
      [11008, 4096, "4/64"],
      [4096, 4096, "4/32"], // 128 workgroups of the largest
      [1024, 4096, "4/16"],
      [1536, 576, "2/2"],
      [576, 576, "2/2"],
      [64, 16, "2/2"],
      [63, 4096, null],
    ] as const
  ) assertEquals(tile(48, part(64, "int8", [rows, cols]), true), wanted, `${rows}×${cols}`);
});

Deno.test("operands that do not fit are refused", () => {
  using program = new Program(device);
  const b = device.matrix(70, 5, "f32", "B");
  const part = {
    b,
    scales: device.vector(112, "f32", "scales"),
    wRow: 0,
    largest: device.vector(2, "f32", "largest"),
  };
  const change = {
    ...part,
    change: device.matrix(70, 5, "f32", "ΔB"),
    aRow: 80,
    secondRow: 96,
    loraScale: 1,
    factor: device.matrix(70, 32, "f32", "factor"),
  };
  productChange(program, change);
  const refuses = (wrong: Partial<typeof change>, message: string) =>
    assertThrows(() => productChange(program, { ...change, ...wrong }), RangeError, message);
  refuses({ secondRow: 112 }, "not all among 112");
  refuses({ aRow: 81 }, "no multiples of 16");
  refuses({ factor: device.matrix(70, 16, "f32", "factor") }, "factor is 70×16");
  refuses({ largest: device.vector(1, "f32", "largest") }, "largest has 1 elements, not 2");
  const codes = {
    ...part,
    codes: device.matrix(16, 70, "int8", "codes"),
    first: 0,
    columnScales: device.vector(16, "f32", "scales"),
    inverse: false,
  };
  codesOfB(program, codes);
  for (const wrong of [{ first: 16 }, { wRow: 16 }]) {
    assertThrows(
      () => codesOfB(program, { ...codes, ...wrong }),
      RangeError,
      "not all inside 16×70",
    );
  }
  const vectors = (rows: number, rank: number) => ({
    rowFactors: device.vector(rows, "f32", "row factors"),
    columnFactors: device.vector(rank, "f32", "column factors"),
  });
  const place = { weight: device.matrix(200, 20, "e4m3", "W"), wRow: 0, aRow: 80, rows: 70 };
  for (
    const [secondRow, rank, message] of [[96, 5, "rank of 5 has no halves"], [
      199,
      6,
      "70 rows",
    ]] as const
  ) {
    const factor = device.matrix(70, rank, "f32", "factor");
    const wrong = { ...place, ...vectors(70, rank), secondRow, rank, b: factor };
    assertThrows(
      () => updateRows(program, { part: wrong, base: "in place", selection: null }),
      RangeError,
      message,
    );
  }
});
