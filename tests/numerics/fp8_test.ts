import { assertEquals } from "@std/assert";
import {
  decodeFp8,
  decodeFp8Array,
  E4M3,
  E5M2,
  encodeFp8,
  encodeFp8Array,
  encodeFp8Bits,
  FP8_NAN,
  type Fp8Format,
} from "../../src/numerics/fp8.ts";
import { randomGenerator } from "../support/random.ts";

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const toBits = (x: number) => (f32[0] = x, u32[0]);
const fromBits = (bits: number) => (u32[0] = bits, f32[0]);

/** The format as its standard words it: sign, exponent and mantissa read out of a binary string. */
function definition(code: number, format: Fp8Format): number {
  const exponentBits = format.name === "e4m3" ? 4 : 5;
  const text = code.toString(2).padStart(8, "0");
  const exponent = parseInt(text.slice(1, 1 + exponentBits), 2);
  const fraction = text.slice(1 + exponentBits);
  const mantissa = [...fraction].reduce((sum, bit, i) => sum + Number(bit) * 2 ** -(i + 1), 0);
  const sign = text[0] === "1" ? -1 : 1;
  if (format.name === "e4m3" && exponent === 15 && fraction === "111") return NaN;
  if (format.name === "e5m2" && exponent === 31) return fraction === "00" ? sign * Infinity : NaN;
  const bias = format.name === "e4m3" ? 7 : 15;
  return exponent === 0
    ? sign * 2 ** (1 - bias) * mantissa
    : sign * 2 ** (exponent - bias) * (1 + mantissa);
}

/** Non-negative finite values in code order; a value's index is its code. */
function grid(format: Fp8Format): number[] {
  return Array.from({ length: format.maxCode + 1 }, (_, code) => definition(code, format));
}

/** Nearest by search over every value. Distances are exact in f64: both operands are f32. */
function searchNearest(x: number, values: number[]): number {
  if (Number.isNaN(x)) return FP8_NAN;
  const sign = x < 0 || Object.is(x, -0) ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(x), values[values.length - 1]);
  let best = 0;
  for (let code = 1; code < values.length; code++) {
    const closer = Math.abs(values[code] - magnitude) - Math.abs(values[best] - magnitude);
    if (closer < 0 || (closer === 0 && code % 2 === 0)) best = code;
  }
  return sign | best;
}

for (const format of [E4M3, E5M2]) {
  Deno.test(`all 256 codes of ${format.name} decode to their definition and encode back`, () => {
    for (let code = 0; code < 256; code++) {
      const value = decodeFp8(code, format);
      assertEquals(value, definition(code, format));
      assertEquals(decodeFp8Array(Uint8Array.of(code), format)[0], value);
      if (Number.isFinite(value)) assertEquals(encodeFp8(value, format), code);
    }
    assertEquals(decodeFp8(format.maxCode, format), format.max);
  });

  Deno.test(`ties go to the even code of ${format.name} and their f32 neighbours to the nearest`, () => {
    const values = grid(format);
    for (let code = 0; code < format.maxCode; code++) {
      const tie = (values[code] + values[code + 1]) / 2;
      const bits = toBits(tie);
      assertEquals(fromBits(bits), tie, "a tie is an f32");
      for (const sign of [0, 0x80]) {
        const signBit = (sign << 24) >>> 0;
        assertEquals(encodeFp8Bits((bits | signBit) >>> 0, format), sign | (code + code % 2));
        assertEquals(encodeFp8Bits(((bits - 1) | signBit) >>> 0, format), sign | code);
        assertEquals(encodeFp8Bits(((bits + 1) | signBit) >>> 0, format), sign | (code + 1));
      }
    }
  });

  Deno.test(`overflow saturates in ${format.name}, NaN stays NaN, zeros keep their sign`, () => {
    const maxBits = toBits(format.max);
    for (const bits of [maxBits - 1, maxBits, maxBits + 1, toBits(1e30), toBits(Infinity)]) {
      assertEquals(encodeFp8Bits(bits, format), format.maxCode);
      assertEquals(encodeFp8Bits((bits | 0x80000000) >>> 0, format), format.maxCode | 0x80);
    }
    assertEquals(encodeFp8(1e300, format), format.maxCode, "beyond f32 as well");
    for (const bits of [0x7f800001, 0x7fc00000, 0xffffffff, 0xff800001]) {
      assertEquals(encodeFp8Bits(bits, format), FP8_NAN);
    }
    assertEquals(encodeFp8(0, format), 0);
    assertEquals(encodeFp8(-0, format), 0x80);
    assertEquals(encodeFp8(1e-45, format), 0, "the smallest f32 subnormal");
    assertEquals(encodeFp8(-1e-45, format), 0x80);
  });

  Deno.test(`1e6 random f32 bit patterns encode to the nearest value of ${format.name}`, () => {
    const random = randomGenerator(1);
    const values = grid(format);
    const bits = new Uint32Array(1_000_000);
    // Half are any f32 at all; half lie in and around the format's range.
    const lowest = toBits(values[1] / 4);
    const span = toBits(format.max * 2) - lowest;
    for (let i = 0; i < bits.length; i++) {
      const sign = random() < 0.5 ? 0x80000000 : 0;
      bits[i] = i % 2 ? random() * 2 ** 32 : sign + lowest + Math.floor(random() * span);
    }
    const numbers = new Float32Array(bits.buffer);
    const codes = encodeFp8Array(numbers, format);
    let wrong = 0;
    for (let i = 0; i < bits.length; i++) {
      if (codes[i] !== searchNearest(numbers[i], values)) wrong++;
    }
    assertEquals(wrong, 0);
  });
}

Deno.test("encodeFp8Array honours the offset of a view", () => {
  const view = new Float32Array([9, 1, -2]).subarray(1);
  assertEquals([...encodeFp8Array(view, E4M3)], [0x38, 0xc0]);
});
