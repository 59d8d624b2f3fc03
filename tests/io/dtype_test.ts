import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileError } from "../../src/errors.ts";
import {
  bytesPerElement,
  type DType,
  DTYPES,
  fromFloat32,
  isDType,
  toFloat32,
} from "../../src/io/dtype.ts";

const allCodes = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);

/** The value of a 16-bit float, from the definition of the format. */
function decode(code: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = code >> 15 ? -1 : 1;
  const exponent = (code >> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = code & (2 ** mantissaBits - 1);
  if (exponent === 2 ** exponentBits - 1) return mantissa ? NaN : sign * Infinity;
  const significand = mantissa / 2 ** mantissaBits + (exponent ? 1 : 0);
  return sign * significand * 2 ** (Math.max(exponent, 1) - bias);
}

const FORMATS = [["F16", 5], ["BF16", 8]] as const;

Deno.test("toFloat32 decodes every F16 and BF16 code exactly", () => {
  for (const [dtype, exponentBits] of FORMATS) {
    const values = toFloat32(new Uint8Array(allCodes.buffer), dtype);
    for (let code = 0; code < 1 << 16; code++) {
      const expected = decode(code, exponentBits);
      assert(Object.is(values[code], expected), `${dtype} ${code}: ${values[code]} ${expected}`);
    }
  }
});

Deno.test("fromFloat32 returns every F16 and BF16 code unchanged and keeps NaN", () => {
  for (const [dtype] of FORMATS) {
    const values = toFloat32(new Uint8Array(allCodes.buffer), dtype);
    const codes = new Uint16Array(fromFloat32(values, dtype).buffer);
    const back = toFloat32(new Uint8Array(codes.buffer), dtype);
    for (let code = 0; code < 1 << 16; code++) {
      if (Number.isNaN(values[code])) assert(Number.isNaN(back[code]), `${dtype} ${code}`);
      else assertEquals(codes[code], code, `${dtype} ${code}`);
    }
  }
});

Deno.test("fromFloat32 rounds to nearest, ties to even, between every two neighbours", () => {
  for (const [dtype, exponentBits] of FORMATS) {
    const infinity = (2 ** exponentBits - 1) << (15 - exponentBits);
    // Past the largest finite value the neighbour is what the next code would be if it were finite.
    const next = (code: number) =>
      code + 1 === infinity ? 2 ** (2 ** (exponentBits - 1)) : decode(code + 1, exponentBits);
    const between: number[] = [];
    const expected: number[] = [];
    const bits = new Uint32Array(1);
    const float = new Float32Array(bits.buffer);
    for (let code = 0; code < infinity; code++) {
      const tie = (decode(code, exponentBits) + next(code)) / 2;
      float[0] = tie;
      assertEquals(float[0], tie);
      const tieBits = bits[0];
      bits[0] = tieBits - 1;
      const below = float[0];
      bits[0] = tieBits + 1;
      const above = float[0];
      between.push(below, tie, above, -tie);
      const even = code % 2 === 0 ? code : code + 1;
      expected.push(code, even, code + 1, even | 0x8000);
    }
    const codes = new Uint16Array(fromFloat32(Float32Array.from(between), dtype).buffer);
    assertEquals(codes, Uint16Array.from(expected));
  }
});

Deno.test("fromFloat32 keeps NaN whose payload sits in the bits that are cut off", () => {
  const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001, 0x7fffffff).buffer);
  for (const [dtype] of FORMATS) {
    assert(toFloat32(fromFloat32(values, dtype), dtype).every(Number.isNaN));
  }
});

Deno.test("conversions handle views at any byte offset", () => {
  const values = Float32Array.of(1.5, -2, 0.125);
  for (const dtype of ["F32", "F16", "BF16"] as const) {
    const encoded = fromFloat32(values, dtype);
    for (let offset = 0; offset < 8; offset++) {
      const shifted = new Uint8Array(offset + encoded.length);
      shifted.set(encoded, offset);
      assertEquals(toFloat32(shifted.subarray(offset), dtype), values);
    }
    assertEquals(fromFloat32(values.subarray(1), dtype), encoded.slice(bytesPerElement(dtype)));
  }
});

Deno.test("dtypes are recognised by their exact safetensors names", () => {
  assert(DTYPES.every(isDType));
  for (const name of ["f32", "toString", "__proto__", 4, null, undefined]) {
    assertEquals(isDType(name), false);
  }
});

Deno.test("conversions refuse types that need a scale, and broken lengths", () => {
  for (const dtype of ["F8_E4M3", "I64", "F64"] as DType[]) {
    assertThrows(() => toFloat32(new Uint8Array(8), dtype), FileError, `Cannot read ${dtype}`);
    assertThrows(() => fromFloat32(new Float32Array(2), dtype), FileError, `Cannot write ${dtype}`);
  }
  assertThrows(() => toFloat32(new Uint8Array(5), "F16"), FileError, "5 bytes as F16");
});
