import { assert, assertEquals, assertThrows } from "@std/assert";
import { E4M3, encodeFp8Array, FP8_NAN, fp8DecodeTable } from "../../../src/numerics/fp8.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { updateRows, type UpdateRowsOptions } from "../../../src/kernels/falqon/falqon.ts";
import { selectRows } from "../../../src/kernels/falqon/selection.ts";
import * as reference from "../../oracle/falqon_update.ts";
import { device } from "../../support/device.ts";
import { runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** More than one tile of rows, columns and rank, none of them whole. */
const [OUTPUTS, INPUTS, RANK] = [139, 180, 37];

/** f32 arithmetic, and tensor cores, emulated where there are none, whose last workgroups have columns and steps over. */
const EXACT = { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 };
const MATRIX = { subgroups: 4, columns: 32, steps: 2 };

async function readCodes(device: Device, matrix: Parameters<Device["read"]>[0], pitch: number) {
  const padded = new Uint8Array(await device.read(matrix));
  const rows = padded.length / pitch;
  const codes = new Uint8Array(rows * INPUTS);
  for (let r = 0; r < rows; r++) {
    codes.set(padded.subarray(r * pitch, r * pitch + INPUTS), r * INPUTS);
  }
  return { codes, padding: padded.filter((_, i) => i % pitch >= INPUTS) };
}

/** A merged weight of random codes in both worlds, and a B that asks each row for more or less. */
function makeUpdate(
  device: Device,
  { outputs = OUTPUTS, rank = RANK, b = randomValues(outputs * rank, 2, 0.1) } = {},
) {
  const values = randomValues((outputs + rank) * INPUTS, 1, 100);
  const { matrix: weight } = uploadMatrix(device, values, outputs + rank, INPUTS, "e4m3");
  const start = uploadMatrix(device, values.slice(0, outputs * INPUTS), outputs, INPUTS, "e4m3");
  const scales = randomValues(outputs + rank, 3).map((v) => 1.5 + v);
  const codes = encodeFp8Array(values, E4M3);
  const merged = { codes, scales, format: E4M3, outputs, inputs: INPUTS, rank };
  const factors = reference.updateFactors(merged, 0.5);
  const part = {
    weight,
    wRow: 0,
    aRow: outputs,
    rows: outputs,
    rank,
    rowFactors: uploadVector(device, factors.rows).vector,
    columnFactors: uploadVector(device, factors.columns).vector,
    b: uploadMatrix(device, b, outputs, rank).matrix,
  };
  const frozen = codes.slice(0, outputs * INPUTS);
  return { merged, part, base: { codes: start.matrix, row: 0 }, frozen, b };
}

Deno.test("updateRows is bit-equal to its CPU transcription beyond one tile", async () => {
  const { merged, part, base, frozen, b } = makeUpdate(device);
  const flushed = new Float32Array(OUTPUTS * RANK);
  for (const count of [20, OUTPUTS]) {
    const { rows } = reference.updateRequantize(merged, frozen, b, flushed, 0.5, count);
    const selected = device.vector(rows.length, "u32", "selected rows");
    device.write(selected, Uint32Array.from(rows));
    const selection = count < OUTPUTS ? { rows: selected, count } : null;
    await runOnce(device, (program) => updateRows(program, { part, base, selection, tile: EXACT }));
    const got = await readCodes(device, part.weight, part.weight.pitch);
    assertEquals(got.codes, merged.codes, `${count} rows`);
    assertEquals(got.padding.every((code) => code === 0), true);
  }
});

Deno.test("updateRows rounds as the codec does, at ties and beyond the range, subnormals included", async () => {
  const finite = [...fp8DecodeTable(E4M3)].filter((value) => value >= 0);
  const edges = finite.flatMap((value, i) => {
    const tie = (value + (finite[i + 1] ?? 480)) / 2;
    return [value, tie, tie * (1 - 2 ** -18), tie * (1 + 2 ** -18)];
  });
  const rows = edges.length;
  const weight = uploadMatrix(
    device,
    Float32Array.from({ length: (rows + 1) * 16 }, (_, i) => i < rows * 16 ? 0 : i % 2 ? -1 : 1),
    rows + 1,
    16,
    "e4m3",
  ).matrix;
  const part = {
    weight,
    wRow: 0,
    aRow: rows,
    rows,
    rank: 1,
    rowFactors: uploadVector(device, new Float32Array(rows).fill(1)).vector,
    columnFactors: uploadVector(device, Float32Array.of(1)).vector,
    b: uploadMatrix(device, Float32Array.from(edges), rows, 1).matrix,
  };
  const base = { codes: device.matrix(rows, 16, "e4m3", "base"), row: 0 };
  for (const tile of [EXACT, MATRIX]) {
    await runOnce(device, (program) => updateRows(program, { part, base, selection: null, tile }));
    const got = new Uint8Array(await device.read(weight)).subarray(0, 16 * rows);
    const want = encodeFp8Array(
      Float32Array.from(got, (_, i) => edges[i >> 4] * (i % 2 ? -1 : 1) || 0),
      E4M3,
    );
    assertEquals(got, want);
  }
});

/** Places of codes in the order of their values. */
function ordinal(code: number): number {
  return code < 128 ? code : 128 - code;
}

for (
  const { tile, rank } of [
    { tile: MATRIX, rank: RANK },
    { tile: { subgroups: 2, columns: 64, steps: 3 }, rank: 16 },
    { tile: { subgroups: 8, columns: 32, steps: 1 }, rank: 64 },
  ]
) {
  Deno.test(`updateRows on tensor cores keeps to the rule but for ties: ${JSON.stringify(tile)}, rank ${rank}`, async () => {
    const b = randomValues(OUTPUTS * rank, 2, 0.1);
    // Rows that ask for nothing, for far less and for far more than a code's step, and for both at once.
    for (let j = 0; j < rank; j++) {
      b[rank + j] = 0;
      b[2 * rank + j] *= 2 ** -30;
      b[3 * rank + j] *= 2 ** 30;
      b[4 * rank + j] *= 2 ** (j % 40 - 40);
      b[5 * rank + j] = 0;
    }
    b[5 * rank + 3] = -0.75;
    const { merged, part, base, frozen } = makeUpdate(device, { rank, b });
    const { weight } = part;
    reference.updateRequantize(merged, frozen, b, new Float32Array(b.length), 0.5);
    const update = (program: Program) => updateRows(program, { part, base, selection: null, tile });
    await runOnce(device, update);
    const got = await readCodes(device, weight, weight.pitch);
    assertEquals(got.padding.every((code) => code === 0), true);
    const steps = got.codes.map((code, i) => Math.abs(ordinal(code) - ordinal(merged.codes[i])));
    const wrong = steps.filter((step) => step > 0).length;
    assert(wrong <= 1e-4 * steps.length, `${wrong} of ${steps.length} codes differ`);
    assert(Math.max(...steps) <= 1, `codes differ by ${Math.max(...steps)}`);
    await runOnce(device, update);
    assertEquals((await readCodes(device, weight, weight.pitch)).codes, got.codes);
  });
}

Deno.test("a NaN in B makes its row NaN, no other", async () => {
  const b = new Float32Array(OUTPUTS * RANK);
  b[7 * RANK + 5] = NaN;
  const { part, base, frozen } = makeUpdate(device, { b });
  for (const tile of [EXACT, MATRIX]) {
    await runOnce(device, (program) => updateRows(program, { part, base, selection: null, tile }));
    const { codes } = await readCodes(device, part.weight, part.weight.pitch);
    const want = frozen.map((code, i) => Math.floor(i / INPUTS) === 7 ? FP8_NAN : code);
    assertEquals(codes.subarray(0, want.length), want);
  }
});

Deno.test("selectRows takes the largest scores, of equals the first, over several tiles", async () => {
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

Deno.test("updates of rows outside the weight, the base or the selection are refused", () => {
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
  const selection = { rows: selected, count: 2 };
  refuses({ tile: MATRIX, selection }, "tensor cores write all rows, without change");
  const scores = device.vector(1, "f32", "scores");
  assertThrows(
    () => selectRows(program, scores, { rows: selected, count: 2 }),
    RangeError,
    "does not fit 2 places and 1 rows",
  );
});
