import { assertEquals } from "@std/assert";
import { F16_MATRIX } from "../../../src/gpu/subgroup_matrix.ts";
import { kernelsFor, multiplies } from "../../../src/kernels/gemm/products.ts";
import { ALL_FORMATS, FORMATS } from "../../../src/numerics/formats.ts";

const I8_MATRIX = { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 };

const plain = { hasF16: false, matrixConfigs: [] };
const half = { hasF16: true, matrixConfigs: [] };
const tensor = { hasF16: true, matrixConfigs: [I8_MATRIX, F16_MATRIX] };
const other = { hasF16: true, matrixConfigs: [I8_MATRIX] };

Deno.test("every pair of formats is multiplied in f32 on every device, as the last resort", () => {
  for (const device of [plain, half, tensor, other]) {
    for (const a of ALL_FORMATS) {
      for (const b of ALL_FORMATS) assertEquals(kernelsFor(device, a, b).at(-1), "gemm");
    }
  }
});

Deno.test("a device's f16 and matrices open the faster kernels to operands that become f16", () => {
  const { f32, f16, e4m3, e5m2 } = FORMATS;
  assertEquals(kernelsFor(plain, e4m3, e4m3), ["gemm"]);
  assertEquals(kernelsFor(half, e5m2, e4m3), ["gemm_f16", "gemm"]);
  assertEquals(kernelsFor(other, e5m2, e4m3), ["gemm_f16", "gemm"]);
  assertEquals(kernelsFor(tensor, e5m2, e4m3), ["gemm_tensor", "gemm_f16", "gemm"]);
  assertEquals(kernelsFor(tensor, f16, f16), ["gemm_tensor", "gemm_f16", "gemm"]);
  assertEquals(kernelsFor(tensor, f16, e4m3), ["gemm_f16", "gemm"]);
  for (const narrow of [f16, e4m3, e5m2, f32]) {
    assertEquals(kernelsFor(tensor, f32, narrow), ["gemm"]);
    assertEquals(kernelsFor(tensor, narrow, f32), ["gemm"]);
  }
});

Deno.test("what a kernel multiplies does not depend on the device", () => {
  assertEquals(multiplies("gemm_tensor", FORMATS.e5m2, FORMATS.e4m3), true);
  assertEquals(multiplies("gemm_tensor", FORMATS.f16, FORMATS.e4m3), false);
  assertEquals(multiplies("gemm_f16", FORMATS.f32, FORMATS.f16), false);
});
