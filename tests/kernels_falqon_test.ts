import { assertEquals, assertThrows } from "@std/assert";
import { E4M3, encodeFp8Array } from "../src/fp8/codec.ts";
import { type Device, requestDevice } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import { selectRows, updateRows, type UpdateRowsOptions } from "../src/kernels/falqon.ts";
import * as reference from "../src/reference/falqon_update.ts";
import { randomValues, runOnce, uploadMatrix } from "./support/gpu.ts";
import { uploadVector } from "./support/vectors.ts";

/** More than one tile of rows, columns and rank, none of them whole. */
const [OUTPUTS, INPUTS, RANK] = [139, 180, 37];

async function readCodes(device: Device, matrix: Parameters<Device["read"]>[0], pitch: number) {
  const padded = new Uint8Array(await device.read(matrix));
  const rows = padded.length / pitch;
  const codes = new Uint8Array(rows * INPUTS);
  for (let r = 0; r < rows; r++) {
    codes.set(padded.subarray(r * pitch, r * pitch + INPUTS), r * INPUTS);
  }
  return { codes, padding: padded.filter((_, i) => i % pitch >= INPUTS) };
}

Deno.test("updateRows is bit-equal to its CPU transcription beyond one tile", async () => {
  using device = await requestDevice();
  const values = randomValues((OUTPUTS + RANK) * INPUTS, 1, 100);
  const { matrix: weight } = uploadMatrix(device, values, OUTPUTS + RANK, INPUTS, "e4m3");
  const start = uploadMatrix(device, values.slice(0, OUTPUTS * INPUTS), OUTPUTS, INPUTS, "e4m3");
  const b = uploadMatrix(device, randomValues(OUTPUTS * RANK, 2, 0.1), OUTPUTS, RANK);
  const scales = randomValues(OUTPUTS + RANK, 3).map((v) => 1.5 + v);
  const codes = encodeFp8Array(values, E4M3);
  const merged = { codes, scales, format: E4M3, outputs: OUTPUTS, inputs: INPUTS, rank: RANK };
  const factors = reference.updateFactors(merged, 0.5);
  const part = {
    weight,
    wRow: 0,
    aRow: OUTPUTS,
    rows: OUTPUTS,
    rank: RANK,
    rowFactors: uploadVector(device, factors.rows).vector,
    columnFactors: uploadVector(device, factors.columns).vector,
    b: b.matrix,
  };
  const base = { codes: start.matrix, row: 0 };
  const frozen = codes.slice(0, OUTPUTS * INPUTS);
  const flushed = new Float32Array(OUTPUTS * RANK);
  const master = Float32Array.from(b.exact);
  for (const count of [20, OUTPUTS]) {
    const { rows } = reference.updateRequantize(merged, frozen, master, flushed, 0.5, count);
    const selected = device.vector(rows.length, "u32", "selected rows");
    device.write(selected, Uint32Array.from(rows));
    const selection = count < OUTPUTS ? { rows: selected, count } : null;
    await runOnce(device, (program) => updateRows(program, { part, base, selection }));
    const got = await readCodes(device, weight, weight.pitch);
    assertEquals(got.codes, codes, `${count} rows`);
    assertEquals(got.padding.every((code) => code === 0), true);
  }
});

Deno.test("selectRows takes the largest scores, of equals the first, over several tiles", async () => {
  using device = await requestDevice();
  const rows = 1100;
  const scores = randomValues(rows, 5).map((v) => Math.floor(Math.abs(v) * 50));
  const want = [...scores.keys()].sort((i, j) => scores[j] - scores[i] || i - j);
  for (const count of [1, 10, rows]) {
    const selection = { rows: device.vector(count, "u32", "selected rows"), count };
    const { vector } = uploadVector(device, scores);
    await runOnce(device, (program) => selectRows(program, vector, selection));
    const got = new Uint32Array(await device.read(selection.rows)).subarray(0, count);
    assertEquals([...got], want.slice(0, count));
  }
});

Deno.test("updates of rows outside the weight, the base or the selection are refused", async () => {
  using device = await requestDevice();
  const [rows, rank, cols] = [6, 4, 20];
  const part = {
    weight: device.matrix(rows + rank, cols, "e4m3", "weight"),
    wRow: 0,
    aRow: rows,
    rows,
    rank,
    rowFactors: device.vector(rows, "f32", "row factors"),
    columnFactors: device.vector(rank, "f32", "column factors"),
    b: device.matrix(rows, rank, "f32", "b"),
  };
  const base = "in place" as const;
  const selected = device.vector(2, "u32", "selected rows");
  using program = new Program(device);
  const refuses = (change: Partial<UpdateRowsOptions>, message: string) =>
    assertThrows(
      () => updateRows(program, { part, base, selection: null, ...change }),
      RangeError,
      message,
    );
  refuses(
    { part: { ...part, aRow: rows + 1 } },
    "6 rows from 0 on and 4 from 7 on are not all among the 10 of the weight",
  );
  const codes = device.matrix(rows, cols, "e4m3", "base");
  refuses({ base: { codes, row: 1 } }, "6 rows from 1 on are not all among the 6 of the base");
  refuses(
    { selection: { rows: selected, count: 3 } },
    "a selection of 3 rows does not fit 2 places",
  );
  const scores = device.vector(1, "f32", "scores");
  assertThrows(
    () => selectRows(program, scores, { rows: selected, count: 2 }),
    RangeError,
    "does not fit 2 places and 1 rows",
  );
});
