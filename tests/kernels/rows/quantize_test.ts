import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  E4M3,
  E5M2,
  encodeFp8,
  encodeFp8Array,
  fp8DecodeTable,
} from "../../../src/numerics/fp8.ts";
import type { Fp8Format } from "../../../src/numerics/fp8.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { dequantize, quantize, type QuantizeOptions } from "../../../src/kernels/rows/quantize.ts";
import {
  dequantize as dequantizeOnCpu,
  halfScale,
  largestMagnitude,
  quantize as quantizeOnCpu,
  quantizeHalf,
} from "../../oracle/quantize.ts";
import { device } from "../../support/device.ts";
import {
  poisoned,
  poisonedCodes,
  readVector,
  runOnce,
  uploadMatrix,
  uploadVector,
} from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const formats: Fp8Format[] = [E4M3, E5M2];
/** Every format with scales. */
const FORMATTED = ["e4m3", "e5m2", "int8", "f16"] as const;

/** Encodes and decodes on the GPU with scale 1, so that nothing but the codec is at work. */
async function codecOnGpu(device: Device, values: Float32Array, format: Fp8Format) {
  const cols = 64;
  const rows = Math.ceil(values.length / cols);
  const padded = new Float32Array(rows * cols);
  padded.set(values);
  const { matrix: input } = uploadMatrix(device, padded, rows, cols);
  const codes = device.matrix(rows, cols, format.name, "codes");
  const scales = device.vector(rows, "f32", "scales");
  device.write(scales, new Float32Array(rows).fill(1));
  const out = poisoned(device, rows, cols);
  const given = uploadVector(device, new Float32Array(rows).fill(1)).vector; // a scale becomes NaN beside a NaN
  await runOnce(device, (program) => {
    quantize(program, { input, codes, scales, granularity: "given" });
    dequantize(program, { codes, scales: given, out });
  });
  const encoded = new Uint8Array(await device.read(codes)).slice(0, values.length);
  const decoded = (await device.readMatrix(out)).slice(0, values.length);
  device.free(input, codes, scales, out);
  return { encoded, decoded };
}

/** Every representable value, the ties between neighbours and the f32 values beside those. */
function edgesOf(format: Fp8Format): number[] {
  const finite = [...fp8DecodeTable(format)].filter(Number.isFinite).sort((a, b) => a - b);
  const ties = finite.slice(1).map((v, i) => (v + finite[i]) / 2);
  return [...finite, ...ties, format.max * 1.04, format.max * 1.07, 3e38].flatMap((v) => {
    const ulp = Math.max(Math.abs(v), 2 ** -120) * 2 ** -23;
    return [v, v - ulp, v + ulp, -v];
  });
}

/** All f32 bit patterns are equally likely: subnormals, NaN and overflow included. */
function randomBitPatterns(length: number): Float32Array {
  const halves = randomValues(2 * length, 2).map((v) => Math.floor((v + 1) * 32768));
  const bits = Uint32Array.from({ length }, (_, i) => halves[2 * i] * 65536 + halves[2 * i + 1]);
  return new Float32Array(bits.buffer);
}

Deno.test("values in f16 are quantised as the same values in f32", async () => {
  for (const [rows, cols] of [[1, 1], [3, 70], [2, 1025]]) {
    for (const granularity of ["row", "tensor"] as const) {
      const values = Float32Array.from(Float16Array.from(randomValues(rows * cols, 8, 3)));
      const made = (["f32", "f16"] as const).map((type) => {
        const { matrix: input } = uploadMatrix(device, values, rows, cols, type);
        return { input, ...poisonedCodes(device, rows, cols, "e4m3"), granularity };
      });
      await runOnce(device, (program) => made.forEach((each) => quantize(program, each)));
      const [wide, half] = await Promise.all(
        made.map(({ codes, scales }) => device.readAll([codes, scales])),
      );
      assertEquals(half, wide, `${rows}×${cols} ${granularity}`);
    }
  }
});

Deno.test("the FP8 codec of the GPU is bit-equal to that of the CPU on ties, specials and 1e6 random f32", async () => {
  const specials = [0, -0, NaN, Infinity, -Infinity, 2 ** -149, -(2 ** -149), 2 ** -126];
  for (const format of formats) {
    const random = randomBitPatterns(1_000_000);
    const values = Float32Array.from([...specials, ...edgesOf(format), ...random]);
    const { encoded, decoded } = await codecOnGpu(device, values, format);
    const want = encodeFp8Array(values, format);
    const wrong = want.findIndex((code, i) => code !== encoded[i]);
    assertEquals(
      wrong,
      -1,
      `${format.name}: ${values[wrong]} gave ${encoded[wrong]}, not ${want[wrong]}`,
    );
    const exact = fp8DecodeTable(format);
    const bad = decoded.findIndex((v, i) => !Object.is(v, exact[want[i]]));
    assertEquals(bad, -1, `${format.name}: code ${want[bad]} decodes to ${decoded[bad]}`);
  }
});

Deno.test("all 256 codes of both FP8 formats decode on the GPU to the table's value", async () => {
  for (const format of formats) {
    const codes = device.matrix(4, 64, format.name, "codes");
    device.write(codes, Uint8Array.from({ length: 256 }, (_, code) => code));
    const scales = device.vector(4, "f32", "scales");
    device.write(scales, new Float32Array(4).fill(1));
    const out = poisoned(device, 4, 64);
    await runOnce(device, (program) => dequantize(program, { codes, scales, out }));
    const got = await device.readMatrix(out);
    const exact = fp8DecodeTable(format);
    for (let code = 0; code < 256; code++) {
      assert(
        Object.is(got[code], exact[code]),
        `${format.name} ${code}: ${got[code]}, not ${exact[code]}`,
      );
    }
  }
});

Deno.test("quantize gives the codes of the oracle with row, tensor and column scales and trailing columns, on odd shapes", async () => {
  for (const format of formats) {
    for (const [rows, cols] of [[1, 1], [3, 172], [5, 361], [2, 600]]) {
      for (const granularity of ["row", "tensor"] as const) {
        const values = randomValues(rows * cols, rows + cols, 5);
        values.fill(0, 0, Math.min(cols, values.length - 1)); // a row of zeros, or nearly one
        const { matrix: input } = uploadMatrix(device, values, rows, cols);
        const codes = device.matrix(rows, cols, format.name, "codes");
        device.write(codes, new Uint8Array(codes.size).fill(0x55));
        const scales = device.vector(rows, "f32", "scales");
        await runOnce(device, (p) => quantize(p, { input, codes, scales, granularity }));
        const got = new Uint8Array(await device.read(codes));
        const gotScales = new Float32Array(await device.read(scales)).slice(0, rows);
        const want = quantizeOnCpu(values, cols, format, granularity);
        for (let r = 0; r < rows; r++) {
          const wantScale = want.scales[r];
          // WGSL divides within 2.5 ulp; the codes are exact for the scale that was used.
          assert(
            Math.abs(gotScales[r] / wantScale - 1) < 3e-7,
            `scale ${gotScales[r]}, not ${wantScale}`,
          );
          for (let c = 0; c < codes.pitch; c++) {
            const x = c < cols ? values[r * cols + c] : 0;
            assertEquals(
              got[r * codes.pitch + c],
              encodeFp8(Math.fround(x * gotScales[r]), format),
            );
          }
        }
      }
    }
  }
});

Deno.test("quantize folds column scales in before rounding, and trailing columns continue the row", async () => {
  const [rows, cols, extra] = [3, 32, 16];
  const width = cols + extra;
  const x = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
  const trailing = uploadMatrix(device, randomValues(rows * extra, 2, 4), rows, extra);
  const columnScales = device.vector(width, "f32", "column scales");
  const divisors = Float32Array.from({ length: width }, (_, i) => 2 ** (i % 5 - 2));
  device.write(columnScales, divisors);
  const joined = Float32Array.from({ length: rows * width }, (_, i) => {
    const [r, c] = [Math.floor(i / width), i % width];
    return (c < cols ? x.exact[r * cols + c] : trailing.exact[r * extra + c - cols]) / divisors[c];
  });
  for (const granularity of ["row", "tensor"] as const) {
    const codes = device.matrix(rows, width, "e5m2", "codes");
    const scales = device.vector(rows, "f32", "scales");
    await runOnce(device, (program) =>
      quantize(program, {
        input: x.matrix,
        trailingColumns: trailing.matrix,
        columnScales,
        codes,
        scales,
        granularity,
      }));
    const got = new Float32Array(await device.read(scales)).slice(0, rows);
    const wanted = quantizeOnCpu(joined, width, E5M2, granularity).scales;
    assert(got.every((scale, r) => Math.abs(scale / wanted[r] - 1) < 3e-7));
    const want = joined.map((v, i) => Math.fround(v * got[Math.floor(i / width)]));
    assertEquals(new Uint8Array(await device.read(codes)), encodeFp8Array(want, E5M2));
  }
});

/** The bits of f16 codes, every NaN the same. */
function halfBits(codes: Float16Array<ArrayBuffer>): Uint16Array {
  return new Uint16Array(codes.buffer).map((bits) => (bits & 0x7fff) > 0x7c00 ? 0x7e00 : bits);
}

Deno.test("quantising to f16 is bit-equal to the CPU on ties, specials and random f32 of all sizes", async () => {
  const cols = 64;
  const patterns = Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits);
  const halves = [...new Float16Array(patterns.buffer)]; // every finite one from 0 up
  const values = [
    ...[0, -0, NaN, Infinity, -Infinity, 2 ** -149, 65504, 65519, 65520, 1e9, -1e9],
    ...halves.flatMap((v, i) => {
      const tie = (v + (halves[i + 1] ?? 65536)) / 2;
      return [v, -tie, tie * (1 + 2 ** -23)];
    }),
    ...randomBitPatterns(100_000),
  ];
  const rows = Math.ceil(values.length / cols);
  const padded = new Float32Array(rows * cols);
  padded.set(values);
  const { matrix: input } = uploadMatrix(device, padded, rows, cols);
  const codes = device.matrix(rows, cols, "f16", "codes");
  const scales = device.vector(rows, "f32", "scales");
  const ones = new Float32Array(rows).fill(1);
  device.write(scales, ones);
  await runOnce(device, (p) => quantize(p, { input, codes, scales, granularity: "given" }));
  const got = new Uint16Array(await device.read(codes));
  const want = halfBits(quantizeHalf(padded, cols, ones).codes);
  const wrong = want.findIndex((bits, i) => bits !== got[i]);
  assertEquals(wrong, -1, `${padded[wrong]} gave ${got[wrong]}, not ${want[wrong]}`);
});

Deno.test("quantising to f16 uses powers of two as scales, and decoding gives the codes over them", async () => {
  const [rows, cols] = [7, 172];
  const values = randomValues(rows * cols, 4).map((v, i) =>
    v * [1e-3, 3e4, 1, 0, 1e-33, 7, 31.99][Math.floor(i / cols)]
  );
  values[0] = NaN; // makes the scale of its row NaN
  const { matrix: input } = uploadMatrix(device, values, rows, cols);
  const codes = device.matrix(rows, cols, "f16", "codes");
  device.write(codes, new Uint8Array(codes.size).fill(0x55));
  const scales = device.vector(rows, "f32", "scales");
  const out = poisoned(device, rows, cols);
  for (const granularity of ["row", "tensor"] as const) {
    await runOnce(device, (p) => {
      quantize(p, { input, codes, scales, granularity });
      dequantize(p, { codes, scales, out });
    });
    const gotScales = new Float32Array(await device.read(scales)).slice(0, rows);
    const shared = new Float32Array(rows).fill(halfScale(largestMagnitude(values)));
    const want = quantizeHalf(values, cols, granularity === "tensor" ? shared : undefined);
    assertEquals(gotScales, want.scales);
    const got = halfBits(new Float16Array(await device.read(codes)));
    const bits = halfBits(want.codes);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < codes.pitch; c++) {
        const expected = c < cols ? bits[r * cols + c] : 0;
        assertEquals(got[r * codes.pitch + c], expected, `${granularity} ${r}, ${c}`);
      }
    }
    const decoded = await device.readMatrix(out);
    const exact = Float32Array.from(want.codes, (v, i) => v / want.scales[Math.floor(i / cols)]);
    assertEquals(decoded, exact);
  }
});

/** NaNs as hosts write them, as NVIDIA's GPUs do, and signalling; and infinities. */
const NOT_FINITE = [0x7fc00000, 0x7fffffff, 0xffffffff, 0x7f800001, 0x7f800000, 0xff800000];

Deno.test("a value that is not finite makes the scale of its row NaN, wherever it is, and no other", async () => {
  const kinds = [
    ...FORMATTED.map((type) => ({ type, cols: 70, rows: 13 })),
    { type: "e4m3" as const, cols: 70_000, rows: 2 }, // fits in no workgroup's registers
  ];
  for (const { type, cols, rows } of kinds) {
    const values = randomValues(rows * cols, 3);
    const clean = uploadMatrix(device, values, rows, cols).matrix;
    const bits = new Uint32Array(values.buffer);
    // The last column, the first, and some between; every other row.
    const places = NOT_FINITE.slice(0, Math.floor(rows / 2))
      .map((_, i) => (2 * i + 1) * cols + [cols - 1, 0, 5, 17, 66, cols - 3][i]);
    places.forEach((at, i) => bits[at] = NOT_FINITE[i]);
    const bad = new Set(places.map((at) => Math.floor(at / cols)));
    const input = uploadMatrix(device, values, rows, cols).matrix;
    for (const granularity of ["row", "tensor", "given"] as const) {
      const [made, alone] = [input, clean].map((input) => {
        const codes = device.matrix(rows, cols, type, "codes");
        const scales = uploadVector(device, new Float32Array(rows).fill(0.5)).vector;
        const out = poisoned(device, rows, cols);
        return { input, codes, scales, out };
      });
      await runOnce(device, (program) => {
        for (const { out, ...each } of [made, alone]) {
          quantize(program, { ...each, granularity });
          dequantize(program, { ...each, out });
        }
      });
      const [scales, want] = await Promise.all([
        readVector(device, made.scales),
        readVector(device, alone.scales),
      ]);
      const label = `${type} ${cols} ${granularity}`;
      const isBad = (row: number) => granularity === "tensor" ? bad.size > 0 : bad.has(row);
      assertEquals([...scales], [...want].map((scale, row) => isBad(row) ? NaN : scale), label);
      const [got, right] = [await device.readMatrix(made.out), await device.readMatrix(alone.out)];
      const wrong = got.findIndex((value, i) =>
        !Object.is(value, isBad(Math.floor(i / cols)) ? NaN : right[i])
      );
      assertEquals(wrong, -1, `${label}: ${got[wrong]} in place of ${right[wrong]}`);
      for (const { codes, scales, out } of [made, alone]) device.free(codes, scales, out);
    }
  }
});

Deno.test("quantize gives the same codes however a row is shared among threads", async () => {
  for (const [rows, cols] of [[3, 600], [2, 70_000]]) { // the second fits in no workgroup's registers
    const { matrix: input } = uploadMatrix(device, randomValues(rows * cols, 9), rows, cols);
    const all: { codes: Uint8Array; scales: Float32Array }[] = [];
    const variants = cols > 65_536
      ? [{}, { threads: 64 }]
      : [{}, { threads: 16 }, { threads: 128 }, { threads: 64, registers: false }];
    for (const variant of variants) {
      const codes = device.matrix(rows, cols, "e4m3", "codes");
      device.write(codes, new Uint8Array(codes.size).fill(0x55));
      const scales = device.vector(rows, "f32", "scales");
      await runOnce(
        device,
        (p) => quantize(p, { input, codes, scales, granularity: "row", variant }),
      );
      all.push({
        codes: new Uint8Array(await device.read(codes)),
        scales: new Float32Array(await device.read(scales)),
      });
    }
    for (const one of all.slice(1)) assertEquals(one, all[0]);
    const want = encodeFp8Array(
      (await device.readMatrix(input)).map((v, i) => v * all[0].scales[Math.floor(i / cols)]),
      E4M3,
    );
    const pitch = all[0].codes.length / rows;
    for (let r = 0; r < rows; r++) {
      const row = all[0].codes.subarray(r * pitch, r * pitch + cols);
      assertEquals(row, want.subarray(r * cols, (r + 1) * cols));
    }
  }
});

Deno.test("quantize refuses operands that do not fit", () => {
  using program = new Program(device);
  const input = device.matrix(2, 20, "f32", "input");
  const codes = device.matrix(2, 20, "e4m3", "codes");
  const scales = device.vector(2, "f32", "scales");
  const good = { input, codes, scales, granularity: "row" } as const;
  const refuses = (bad: Partial<QuantizeOptions>, message: string) =>
    assertThrows(() => quantize(program, { ...good, ...bad }), RangeError, message);
  refuses({ codes: device.matrix(2, 20, "f32", "codes") }, "f32 becomes f32");
  refuses({ codes: device.matrix(2, 40, "e4m3", "codes") }, "codes of 2×48 cannot hold 2×32");
  refuses({ scales: device.vector(1, "f32", "scales") }, "1 scales are too few for 2 rows");
  refuses({ firstScale: 1 }, "2 scales are too few for 2 rows from 1 on");
  const more = device.vector(3, "f32", "scales");
  refuses(
    { scales: more, firstScale: 1, granularity: "tensor" },
    "scales from 1 on are those of rows",
  );
});

Deno.test("scales can be some of a longer vector, found or given", async () => {
  const [rows, cols] = [3, 21];
  const input = uploadMatrix(device, randomValues(rows * cols, 4), rows, cols).matrix;
  const [whole, part] = [0, 2].map((first) => ({
    ...poisonedCodes(device, rows, cols, "e4m3"),
    scales: uploadVector(device, new Float32Array(rows + first).fill(7)).vector,
    firstScale: first,
  }));
  await runOnce(device, (program) => {
    for (const place of [whole, part]) quantize(program, { input, ...place, granularity: "row" });
  });
  const found = await readVector(device, whole.scales);
  assertEquals(await readVector(device, part.scales), Float32Array.of(7, 7, ...found));
  const codes = await device.read(whole.codes);
  assertEquals(await device.read(part.codes), codes);
  device.write(part.codes, new Uint8Array(part.codes.size));
  await runOnce(device, (program) => quantize(program, { input, ...part, granularity: "given" }));
  assertEquals(await device.read(part.codes), codes);
});

Deno.test("the error that dequantize gives is what was decoded less the original", async () => {
  const [rows, cols] = [3, 21];
  const original = uploadMatrix(device, randomValues(rows * cols, 3), rows, cols);
  const codes = device.matrix(rows, cols, "e4m3", "codes");
  const scales = device.vector(rows, "f32", "scales");
  const out = poisoned(device, rows, cols);
  await runOnce(device, (program) => {
    quantize(program, { input: original.matrix, codes, scales, granularity: "row" });
    dequantize(program, { codes, scales, out, subtract: original.matrix });
  });
  const quantized = quantizeOnCpu(Float32Array.from(original.exact), cols, E4M3, "row");
  const want = dequantizeOnCpu(quantized).map((v, i) => v - original.exact[i]);
  // Differences of nearly equal f32 keep few digits: compare with the size of the original.
  const got = await device.readMatrix(out);
  assert(got.every((v, i) => Math.abs(v - want[i]) < 1e-6));
});
