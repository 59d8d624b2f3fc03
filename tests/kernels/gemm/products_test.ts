import { assertEquals } from "@std/assert";
import { F16_MATRIX, I8_MATRIX } from "../../../src/gpu/subgroup_matrix.ts";
import { kernelsFor, multiplies } from "../../../src/kernels/gemm/products.ts";
import { ALL_FORMATS, FORMATS } from "../../../src/numerics/formats.ts";

const plain = { hasF16: false, matrixConfigs: [] };
const half = { hasF16: true, matrixConfigs: [] };
const tensor = { hasF16: true, matrixConfigs: [I8_MATRIX, F16_MATRIX] };
const other = { hasF16: true, matrixConfigs: [I8_MATRIX] };

Deno.test("every pair of formats by rows is multiplied in f32 on every device, as the last resort", () => {
  const byRows = ALL_FORMATS.filter(({ layout }) => layout === "rows");
  for (const device of [plain, half, tensor, other]) {
    for (const a of byRows) {
      for (const b of byRows) assertEquals(kernelsFor(device, a, b).at(-1), "gemm");
    }
  }
});

Deno.test("a device's f16 and matrices open the faster kernels to operands that become f16", () => {
  const { f32, f16, e4m3, e5m2 } = FORMATS;
  assertEquals(kernelsFor(plain, e4m3, e4m3), ["gemm"]);
  assertEquals(kernelsFor(half, e5m2, e4m3), ["gemm_f16", "gemm"]);
  assertEquals(kernelsFor(other, e5m2, e4m3), ["gemm_f16", "gemm"]);
  assertEquals(kernelsFor(tensor, e5m2, e4m3), [
    "gemm_tensor",
    "gemm_f16",
    "gemm",
  ]);
  assertEquals(kernelsFor(tensor, f16, f16), ["gemm_tensor", "gemm_f16", "gemm"]);
  assertEquals(kernelsFor(tensor, f16, e4m3), ["gemm_f16", "gemm"]);
  for (const narrow of [f16, e4m3, e5m2, f32]) {
    assertEquals(kernelsFor(tensor, f32, narrow), ["gemm"]);
    assertEquals(kernelsFor(tensor, narrow, f32), ["gemm"]);
  }
});

Deno.test("int8 is multiplied by int8 alone, on every device, and on tensor cores that take bytes", () => {
  const { int8, f16, e4m3 } = FORMATS;
  const withoutBytes = { hasF16: true, matrixConfigs: [F16_MATRIX] };
  for (const device of [plain, half, withoutBytes]) {
    assertEquals(kernelsFor(device, int8, int8), ["gemm_int8", "gemm_int8_rows"]);
  }
  const [first, ...rest] = kernelsFor(other, int8, int8);
  assertEquals([first, rest], ["gemm_int8_tensor", kernelsFor(plain, int8, int8)]);
  for (const format of [f16, e4m3]) {
    assertEquals(kernelsFor(tensor, int8, format), []);
    assertEquals(kernelsFor(tensor, format, int8), []);
  }
});

Deno.test("what a kernel multiplies does not depend on the device", () => {
  assertEquals(multiplies("gemm_tensor", FORMATS.e5m2, FORMATS.e4m3), true);
  assertEquals(multiplies("gemm_tensor", FORMATS.f16, FORMATS.e4m3), false);
  assertEquals(multiplies("gemm_f16", FORMATS.f32, FORMATS.f16), false);
});
