import { assertEquals } from "@std/assert";
import { encodeInt8Array, int8DecodeTable } from "../../src/numerics/int8.ts";

Deno.test("int8 rounds to the nearest integer, ties to the even one, and saturates at ±127", () => {
  const cases = [
    [0, 0],
    [-0, 0],
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [0.50001, 1],
    [126.5, 126],
    [126.51, 127],
    [127.5, 127],
    [-127.5, -127],
    [-1000, -127],
    [Infinity, 127],
    [-Infinity, -127],
    [NaN, 0],
  ];
  const codes = encodeInt8Array(Float32Array.from(cases, ([value]) => value));
  assertEquals([...new Int8Array(codes.buffer)], cases.map(([, code]) => code));
});

Deno.test("int8 decodes all codes as two's complement", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, code) => code);
  assertEquals([...int8DecodeTable()], [...new Int8Array(bytes.buffer)]);
});
