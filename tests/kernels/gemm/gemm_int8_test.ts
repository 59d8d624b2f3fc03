import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type Matrix, rowsOf, type Vector } from "../../../src/gpu/buffers.ts";
import { Device } from "../../../src/gpu/device.ts";
import { openNative } from "../../../src/gpu/open.ts";
import { Program } from "../../../src/gpu/program.ts";
import { I8_MATRIX } from "../../../src/gpu/subgroup_matrix.ts";
import { gemm, type GemmOptions } from "../../../src/kernels/gemm/gemm.ts";
import {
  chooseVariant,
  GEMM_VARIANTS,
  type GemmVariant,
  int8TensorVariant,
  int8Variant,
} from "../../../src/kernels/gemm/variants.ts";
import {
  type Codes,
  finishedProduct,
  integerProductNT,
  transposed,
} from "../../oracle/int8_product.ts";
import { device } from "../../support/device.ts";
import { openDryGpu, openDryTensorGpu } from "../../support/dry_gpus.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomCodes, uploadCodes } from "../../support/panels.ts";
import { randomValues } from "../../support/random.ts";

/** Every kernel, and what its tiles may be; fragments are emulated where there are no tensor cores. */
const VARIANTS: Record<string, GemmVariant> = {
  "dot products": int8Variant(128, 64, 8, { atOnce: 1 }),
  "small dot products": GEMM_VARIANTS.int8Small,
  "few rows": GEMM_VARIANTS.int8Rows,
  tensor: GEMM_VARIANTS.int8Tensor,
  "small tensor": GEMM_VARIANTS.int8TensorSmall,
  "tensor of 256 rows": int8TensorVariant(256, 64, { subgroups: [4, 2], band: 2 }),
};

/** m, n, k that fill no tile, no panel and no vector; one row; one of everything. */
const SHAPES: [number, number, number][] = [[1, 1, 1], [1, 70, 130], [131, 67, 77], [9, 145, 64]];

async function product(
  options: Omit<GemmOptions, "out"> & { out: Matrix },
  on: Device = device,
): Promise<Float32Array> {
  await runOnce(on, (program) => gemm(program, options));
  assertEquals(await paddingOf(on, options.out), 0);
  return await on.readMatrix(options.out);
}

Deno.test("int8 products are exact in every kernel, on odd shapes", async () => {
  for (const [m, n, k] of SHAPES) {
    const [a, b] = [randomCodes(m, k, 1), randomCodes(n, k, 2)];
    const [left, right] = [uploadCodes(device, a), uploadCodes(device, b)];
    const want = finishedProduct(integerProductNT(a, b), n, {});
    for (const [name, variant] of Object.entries(VARIANTS)) {
      const out = poisoned(device, m, n);
      const got = await product({ layout: "nt", a: left, b: right, out, variant });
      assertEquals(got, want, `${name} ${m}×${n}×${k}`);
    }
  }
});
