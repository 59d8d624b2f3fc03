import { assert, assertEquals, assertThrows } from "@std/assert";
import { rowsOf } from "../../../src/gpu/buffers.ts";
import { copyCodes, placeCodes, rowsFromPanels } from "../../../src/kernels/rows/copy_codes.ts";
import { dequantize, quantize } from "../../../src/kernels/rows/quantize.ts";
import { encodeInt8Array } from "../../../src/numerics/int8.ts";
import { device } from "../../support/device.ts";
import { poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { placeOf } from "../../support/panels.ts";
import { randomValues } from "../../support/random.ts";

const SHAPES = [[1, 1], [1, 64], [3, 172], [129, 65], [130, 300]];

Deno.test("int8 is quantised into panels with zeros up to the pitch, and decoded from them, on odd shapes", async () => {
  for (const [rows, cols] of SHAPES) {
    const values = randomValues(rows * cols, rows + cols, 5);
    const { matrix: input } = uploadMatrix(device, values, rows, cols);
    const codes = device.matrix(rows, cols, "int8", "codes");
    assertEquals([codes.pitch % 64, codes.size % 8192], [0, 0]);
    device.write(codes, new Uint8Array(codes.size).fill(0x55));
    const scales = device.vector(rows, "f32", "scales");
    const out = poisoned(device, rows, cols);
    await runOnce(device, (program) => {
      quantize(program, { input, codes, scales, granularity: "row" });
      dequantize(program, { codes, scales, out });
    });
    const got = new Uint8Array(await device.read(codes));
    const gotScales = new Float32Array(await device.read(scales)).subarray(0, rows);
    const decoded = await device.readMatrix(out);
    for (let r = 0; r < rows; r++) {
      const row = values.subarray(r * cols, (r + 1) * cols);
      const largest = row.reduce((amax, x) => Math.max(amax, Math.abs(x)), 0);
      assert(Math.abs(gotScales[r] * largest / 127 - 1) < 3e-7);
      const want = new Int8Array(
        encodeInt8Array(row.map((x) => Math.fround(x * gotScales[r]))).buffer,
      );
      for (let c = 0; c < codes.pitch; c++) {
        const code = got[placeOf(r, c, codes.pitch)] << 24 >> 24;
        assertEquals(code, c < cols ? want[c] : 0, `${r}, ${c} of ${rows}×${cols}`);
        if (c >= cols) continue;
        assert(Math.abs(decoded[r * cols + c] - code / gotScales[r]) <= 1e-6 * Math.abs(code));
      }
    }
    device.free(input, codes, scales, out);
  }
});

Deno.test("rows are written into panels from any row on, beside others, and found there", async () => {
  const [rows, cols, first] = [70, 90, 100]; // over the edge of a panel
  const codes = device.matrix(200, cols, "int8", "codes");
  device.write(codes, new Uint8Array(codes.size).fill(7));
  const { matrix: input } = uploadMatrix(device, randomValues(rows * cols, 4, 3), rows, cols);
  const scales = device.vector(rows, "f32", "scales");
  const decoded = poisoned(device, rows, cols);
  const direct = device.matrix(rows, cols, "int8", "from row 0 on");
  const moved = device.matrix(150, cols, "int8", "moved");
  await runOnce(device, (program) => {
    quantize(program, { input, codes, scales, granularity: "row", firstRow: first });
    dequantize(program, { codes, scales, out: decoded, firstRow: first });
    quantize(program, { input, codes: direct, scales, granularity: "given" });
    copyCodes(program, { codes, first }, { codes: moved, first: 61 }, rows);
  });
  const read = async (matrix: typeof codes, from: number, count: number) =>
    rowsFromPanels(new Uint8Array(await device.read(matrix)), matrix, from, count);
  const want = await read(direct, 0, rows);
  assertEquals(await read(codes, first, rows), want);
  assertEquals(await read(moved, 61, rows), want);
  assertEquals(new Set(await read(codes, 0, first)), new Set([7]));
  assertEquals(new Set(await read(codes, 170, 30)), new Set([7]));
  const values = await device.readMatrix(decoded);
  assert(values.every(Number.isFinite) && values.some((value) => value !== 0));
});

Deno.test("row-major codes of a file are placed into panels, zeros behind them", async () => {
  const [rows, cols] = [5, 70];
  const bytes = Uint8Array.from({ length: rows * 128 }, (_, i) => i % 128 < cols ? i * 31 : 0);
  const source = device.matrix(rows, 32, "u32", "codes of a file");
  device.write(source, bytes);
  const codes = device.matrix(140, cols, "int8", "codes");
  device.write(codes, new Uint8Array(codes.size).fill(9));
  await runOnce(device, (program) => placeCodes(program, source, { codes, first: 126 }));
  const got = new Uint8Array(await device.read(codes));
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < codes.pitch; c++) {
      assertEquals(got[placeOf(126 + r, c, codes.pitch)], bytes[r * 128 + c]);
    }
  }
});

Deno.test("rows of codes that a panel does not begin with are no view, and copies stay inside", () => {
  const codes = device.matrix(300, 64, "int8", "codes");
  assertEquals(rowsOf(codes, 128, 100).offset - codes.offset, 8192);
  assertThrows(() => rowsOf(codes, 64, 64), RangeError, "no multiple of 128");
  const other = device.matrix(300, 65, "int8", "wider");
  runOnce(device, (program) => {
    const from = { codes, first: 250 };
    assertThrows(() => copyCodes(program, from, { codes: other, first: 0 }, 10), RangeError);
    assertThrows(() => copyCodes(program, from, { codes, first: 0 }, 60), RangeError);
  });
  device.free(codes, other);
});
