import { assertEquals } from "@std/assert";
import type { DType } from "../../src/io/dtype.ts";
import { findBeyondF16, findNotFinite } from "../../src/io/finite.ts";

/** Bits of elements as little-endian bytes, from an odd place in their buffer on. */
function bytesOf(bits: readonly number[], size: number, offset = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(offset + bits.length * size).subarray(offset);
  bits.forEach((value, i) => {
    for (let byte = 0; byte < size; byte++) bytes[i * size + byte] = value / 256 ** byte;
  });
  return bytes;
}

/** By dtype: bytes of an element, the largest number, and what is none. */
const KINDS: [DType, number, number, [bits: number, shown: string][]][] = [
  [
    "F32",
    4,
    0x7f7fffff,
    [
      ...[[0x7f800000, "Infinity"], [0xff800000, "-Infinity"], [0x7fc00000, "NaN"]] as const,
      ...[[0x7fffffff, "NaN"], [0xffffffff, "NaN"], [0x7f800001, "NaN"]] as const,
    ].map(([bits, shown]) => [bits, shown]),
  ],
  ["F16", 2, 0x7bff, [[0x7c00, "Infinity"], [0xfc00, "-Infinity"], [0x7fff, "NaN"], [
    0xffff,
    "NaN",
  ]]],
  ["BF16", 2, 0x7f7f, [[0x7f80, "Infinity"], [0xff80, "-Infinity"], [0x7fff, "NaN"], [
    0xff81,
    "NaN",
  ]]],
  ["F8_E4M3", 1, 0x7e, [[0x7f, "the code 0x7f, NaN"], [0xff, "the code 0xff, NaN"]]],
  ["F8_E5M2", 1, 0x7b, [[0x7c, "the code 0x7c, infinity"], [0xfd, "the code 0xfd, NaN"]]],
];

Deno.test("every NaN and infinity is found at its place, and no number is taken for one", () => {
  for (const [dtype, size, largest, others] of KINDS) {
    const sign = 2 ** (8 * size - 1);
    for (const length of [0, 1, 2, 3, 5, 17, 4096 * 4 / size, 3 * 4096 * 4 / size + 3]) {
      const numbers = Array.from({ length }, (_, i) => i % 3 * sign / 2 % largest + i % 2 * sign);
      for (const extreme of [largest, largest + sign]) {
        const bits = numbers.map((value, i) => i % 5 === 0 ? extreme : value);
        assertEquals(findNotFinite(bytesOf(bits, size), dtype), null, `${dtype} ${length}`);
      }
      for (const index of new Set([0, length >> 1, length - 1, Math.min(length - 1, 4096)])) {
        if (index < 0 || index >= length) continue;
        for (const [bits, shown] of length > 20 ? others.slice(0, 1) : others) {
          const offset = index % 3 * size % 4;
          const bytes = bytesOf(numbers.with(index, bits), size, offset);
          assertEquals(
            findNotFinite(bytes, dtype),
            { index, shown },
            `${dtype} ${length} ${index}`,
          );
        }
      }
    }
  }
  assertEquals(findNotFinite(Uint8Array.of(0x80, 0x7f, 0xff), "I8"), null);
});

Deno.test("what f16 does not hold of BF16 is found", () => {
  assertEquals(findBeyondF16(bytesOf([0x477f, 0xc77f, 0, 0x8000], 2)), null); // ±65280
  assertEquals(findBeyondF16(bytesOf([1, 2, 0x4780], 2)), { index: 2, shown: "65536" });
  assertEquals(findBeyondF16(bytesOf([0xff80], 2)), { index: 0, shown: "-Infinity" });
});
