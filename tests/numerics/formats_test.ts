import { assert, assertEquals, assertThrows } from "@std/assert";
import { ELEMENT_BYTES } from "../../src/gpu/buffers.ts";
import { bytesPerElement } from "../../src/io/dtype.ts";
import { PRECISIONS } from "../../src/layers/operand.ts";
import {
  ALL_FORMATS,
  codecOf,
  codeFormatOf,
  formatOf,
  FORMATS,
  type NumberFormat,
  SCALED_FORMATS,
} from "../../src/numerics/formats.ts";
import { decodeCodes } from "../oracle/codes.ts";

/** Formats of codes, and their codecs. */
const coded = ALL_FORMATS.filter(({ codec }) => codec);
/** The values that are encoded: −128 of int8 is only decoded. */
const finite = (format: NumberFormat) =>
  [...codecOf(format).values()].filter((value) => Math.abs(value) <= format.max);

/** The largest magnitude that a format's scale can bring values to. */
function largestScaled({ scale, max }: NumberFormat): number {
  return scale?.kind === "power of two" ? scale.below : max;
}

for (const format of coded) {
  Deno.test(`${format.name}: the record agrees with the codec`, () => {
    const { encode } = codecOf(format);
    const values = finite(format);
    assertEquals(format.bytes, 1);
    assertEquals(Math.max(...values), format.max);
    assertEquals(codecOf(format).values().length, 256);
    const codes = encode(Float32Array.from(values));
    assertEquals([...decodeCodes(format, codes)], values);
    const beyond = encode(Float32Array.of(2 * format.max, -2 * format.max, 3e38));
    assertEquals([...decodeCodes(format, beyond)], [format.max, -format.max, format.max]);
    assertEquals(codeFormatOf(format.dtype), format);
  });

  Deno.test(`${format.name}: every value is an f16, also as kernels shift and pack it`, () => {
    if (!format.f16) return; // not an operand of half-precision kernels
    const { decodeFactor, packFactor, packFactorBesideSame } = format.f16;
    for (const factor of [1, packFactor, packFactorBesideSame]) {
      const packed = finite(format).map((value) => value / decodeFactor * factor);
      // Packed arithmetic may drop the smallest gradients; nothing may overflow.
      const kept = packed.filter((value) => factor >= 1 || Math.abs(value) >= 2 ** -14);
      assertEquals(kept.map(Math.f16round), kept);
    }
  });
}

Deno.test("f32 and f16 are those of typed arrays", () => {
  const { f32, f16 } = FORMATS;
  assertEquals([f32.max, f16.max].map(Math.fround), [f32.max, f16.max]);
  assertEquals(Math.f16round(f16.max), f16.max);
  assertEquals(Math.f16round(f16.max * (1 + 2 ** -11)), Infinity);
  assertEquals(Math.fround(f32.max * (1 + 2 ** -24)), Infinity);
  assertEquals([f32.bytes, f16.bytes], [
    Float32Array.BYTES_PER_ELEMENT,
    Float16Array.BYTES_PER_ELEMENT,
  ]);
});

Deno.test("a format is as large in GPU buffers and in files as it says, and found by its names", () => {
  for (const format of ALL_FORMATS) {
    assertEquals(ELEMENT_BYTES[format.name], format.bytes);
    assertEquals(bytesPerElement(format.dtype), format.bytes);
    assertEquals(formatOf(format.name), format);
    assertEquals(SCALED_FORMATS.includes(format.name), format.granularities.length > 0);
  }
  assertEquals(new Set(ALL_FORMATS.map(({ dtype }) => dtype)).size, ALL_FORMATS.length);
  assertEquals(["F32", "BF16", "U8"].map(codeFormatOf), [null, null, null]);
  assertThrows(() => formatOf("u32"), TypeError, '"u32" is no number format');
  assertThrows(() => codecOf(FORMATS.f16), TypeError, '"f16" is no format of one byte');
});

Deno.test("a gradient scaled to its format and grown by the headroom stays within f16", () => {
  for (const format of ALL_FORMATS) {
    const { name, scale, f16Headroom } = format;
    assertEquals(f16Headroom === null, scale === null, name);
    if (f16Headroom === null) continue;
    assertEquals(Math.log2(f16Headroom) % 1, 0, name);
    assert(largestScaled(format) * f16Headroom <= FORMATS.f16.max, name);
  }
});

Deno.test("rows of zeros in a gradient have a large scale, so that the smallest scale tells the largest row", () => {
  for (const [name, { gradient: { scale } }] of Object.entries(PRECISIONS)) {
    assert(scale?.kind !== "to maximum" || scale.vanishing === undefined, name);
  }
});

Deno.test("64 products of packed values stay within f16 in every precision", () => {
  for (const [name, { input, gradient }] of Object.entries(PRECISIONS)) {
    for (const left of [input, gradient]) {
      if (!left.f16 || !input.f16) continue;
      const a = largestScaled(left) / left.f16.decodeFactor * left.f16.packFactor;
      const { decodeFactor, packFactor, packFactorBesideSame } = input.f16;
      const factor = left === input ? packFactorBesideSame : packFactor;
      const b = largestScaled(input) / decodeFactor * factor;
      assert(64 * a * b <= FORMATS.f16.max, `${name}: 64 · ${a} · ${b}`);
    }
  }
});
