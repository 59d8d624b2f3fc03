import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf, type Matrix, rowsOf, type Vector } from "../../../src/gpu/buffers.ts";
import { Device } from "../../../src/gpu/device.ts";
import { openDawn, openNative } from "../../../src/gpu/open.ts";
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
import { relativeError } from "../../oracle/compare.ts";
import { device } from "../../support/device.ts";
import { openDryGpu, openDryTensorGpu } from "../../support/dry_gpus.ts";
import { paddingOf, poisoned, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomCodes, uploadCodes } from "../../support/panels.ts";
import { randomValues } from "../../support/random.ts";

/** Every kernel, and what its tiles may be; fragments are emulated where there are no tensor cores. */
const VARIANTS: Record<string, GemmVariant> = {
  "dot products": int8Variant(128, 64, 8, { atOnce: 1 }),
  "small dot products": GEMM_VARIANTS.int8Small,
  "one row": GEMM_VARIANTS.int8Row,
  "few rows": GEMM_VARIANTS.int8Rows,
  tensor: GEMM_VARIANTS.int8Tensor,
  "small tensor": GEMM_VARIANTS.int8TensorSmall,
  "tensor of 256 rows": int8TensorVariant(256, 64, { subgroups: [4, 2], band: 2 }),
};

/** One variant of each kernel, for what does not depend on tiles. */
const KERNELS = {
  "dot products": GEMM_VARIANTS.int8Fallback,
  "few rows": GEMM_VARIANTS.int8Rows,
  tensor: GEMM_VARIANTS.int8TensorSmall,
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

Deno.test("dot products of bytes by shifts give the same bits as WGSL's own", async () => {
  const onDawn = device.provider === "dawn";
  const { gpu, info } = onDawn ? await openDawn({}) : await openNative({});
  await using plain = new Device(gpu, info, device.provider, false);
  for (const variant of Object.values(KERNELS)) {
    const [a, b] = [randomCodes(35, 131, 1), randomCodes(33, 131, 2)];
    const operands = { a: uploadCodes(plain, a), b: uploadCodes(plain, b) };
    const got = await product(
      { layout: "nt", ...operands, out: poisoned(plain, 35, 33), variant },
      plain,
    );
    assertEquals(got, finishedProduct(integerProductNT(a, b), 33, {}));
  }
});

Deno.test("the extremes of int8 do not overflow, nor does the code -128", async () => {
  const k = 1100;
  const a: Codes = { values: new Int8Array(2 * k).fill(127, 0, k).fill(-127, k), rows: 2, cols: k };
  const b: Codes = { values: new Int8Array(2 * k).fill(-128, 0, k).fill(127, k), rows: 2, cols: k };
  const operands = { a: uploadCodes(device, a), b: uploadCodes(device, b) };
  const want = Float32Array.of(-127 * 128, 127 * 127, 127 * 128, -127 * 127).map((v) => v * k);
  for (const variant of Object.values(KERNELS)) {
    const out = poisoned(device, 2, 2);
    assertEquals(await product({ layout: "nt", ...operands, out, variant }), want);
  }
});

Deno.test("int8 products along the rows of b take the first of these, and nothing behind them", async () => {
  // Of a weight with more rows than count: [k, n], of which the first 80 or 192 are contracted with gradients [m, k].
  for (const [m, n, k, rows] of [[5, 70, 80, 131], [67, 130, 192, 192], [1, 64, 16, 300]]) {
    const g = randomCodes(m, k, 3);
    const weight = randomCodes(rows, n, 4);
    const counted: Codes = { values: weight.values.subarray(0, k * n), rows: k, cols: n };
    const want = finishedProduct(integerProductNT(g, transposed(counted)), n, {});
    const a = uploadCodes(device, g);
    const b = rowsOf(uploadCodes(device, weight), 0, k);
    for (const [name, variant] of Object.entries(KERNELS)) {
      const out = poisoned(device, m, n);
      const got = await product({ layout: "nn", a, b, out, variant });
      assertEquals(got, want, `${name} ${m}×${n}×${k}`);
    }
  }
});

Deno.test("int8 products ignore columns of a where b has no rows, and what an earlier product transposed", async () => {
  const [m, n] = [3, 20];
  const [a, wide] = [randomCodes(m, 100, 1), randomCodes(128, n, 2)];
  const b: Codes = { values: wide.values.subarray(0, 97 * n), rows: 97, cols: n };
  const cut = Int8Array.from(a.values, (code, i) => i % 100 < 97 ? code : 0);
  const long: Codes = { values: transposed(b).values, rows: n, cols: 97 };
  const left: Codes = {
    values: Int8Array.from({ length: m * 97 }, (_, i) => cut[Math.floor(i / 97) * 100 + i % 97]),
    rows: m,
    cols: 97,
  };
  const [codes, whole, part] = [a, wide, b].map((each) => uploadCodes(device, each));
  const first = uploadCodes(device, randomCodes(m, 128, 5));
  const [out, other] = [poisoned(device, m, n), poisoned(device, m, n)];
  await runOnce(device, (program) => {
    gemm(program, { layout: "nn", a: first, b: whole, out: other });
    gemm(program, { layout: "nn", a: codes, b: part, out });
  });
  assertEquals(await device.readMatrix(out), finishedProduct(integerProductNT(left, long), n, {}));
});

/** Scales whose reciprocals round, as those of rows do. */
function scales(length: number, seed: number): { values: Float32Array; vector: Vector } {
  const values = randomValues(length, seed).map((value) => 3 * value + 7);
  const vector = device.vector(length, "f32", "scales");
  device.write(vector, values);
  return { values, vector };
}

Deno.test("int8 products take scales, an addend, the old output and a second one, and round to f16", async () => {
  const [m, main, side, k] = [67, 48, 16, 77];
  const n = main + side;
  const [a, b] = [randomCodes(m, k, 1), randomCodes(n, k, 2)];
  const operands = { layout: "nt", a: uploadCodes(device, a), b: uploadCodes(device, b) } as const;
  const [rows, columns] = [scales(m, 3), scales(n, 4)];
  const scaling = { rowScales: rows.vector, columnScales: columns.vector, alpha: 0.3 };
  const [addend, old] = [randomValues(m * n, 5, 90), randomValues(m * n, 6, 90)];
  const sums = integerProductNT(a, b);
  const scaled = { rowScales: rows.values, columnScales: columns.values, alpha: Math.fround(0.3) };
  const columnsFrom = (values: Float32Array, from: number, width: number) =>
    Float32Array.from(
      { length: m * width },
      (_, i) => values[Math.floor(i / width) * n + from + i % width],
    );
  const plain = finishedProduct(sums, n, scaled);
  const added = finishedProduct(sums, n, { ...scaled, old, addend });

  const seen: [Float32Array, Float32Array, Float16Array][] = [];
  for (const [name, variant] of Object.entries(KERNELS)) {
    const out = uploadMatrix(device, columnsFrom(old, 0, main), m, main).matrix;
    const second = poisoned(device, m, side);
    const residual = uploadMatrix(device, columnsFrom(addend, 0, main), m, main).matrix;
    const got = await product({
      ...operands,
      ...scaling,
      out,
      secondOutput: second,
      addend: residual,
      accumulate: true,
      variant,
    });
    const gotSecond = await device.readMatrix(second);

    const half = device.matrix(m, n, "f16", "product");
    await runOnce(
      device,
      (program) => gemm(program, { ...operands, ...scaling, out: half, variant }),
    );
    const halves = new Float16Array(await device.read(half));
    seen.push([got, gotSecond, halves]);
    assertEquals(seen.at(-1), seen[0], `${name} and another kernel`);
  }
  // GPUs divide to two units in the last place, where a CPU divides exactly.
  const want: typeof seen[0] = [
    columnsFrom(added, 0, main),
    columnsFrom(plain, main, side),
    Float16Array.from(plain),
  ];
  if (device.isFallback) assertEquals(seen[0], want);
  const errors = seen[0].map((values, i) => relativeError(values, want[i]));
  assert(errors[0] < 1e-6 && errors[1] < 1e-6 && errors[2] < 1e-3, `errors ${errors}`);
});

Deno.test("int8 products of blocks of columns begin at panels", async () => {
  const [m, n, k] = [5, 9, 80];
  const [a, b] = [randomCodes(m, 208, 1), randomCodes(n, k, 2)];
  const block: Codes = {
    values: Int8Array.from(
      { length: m * k },
      (_, i) => a.values[Math.floor(i / k) * 208 + 64 + i % k],
    ),
    rows: m,
    cols: k,
  };
  const left = uploadCodes(device, a);
  const right = uploadCodes(device, b);
  const want = finishedProduct(integerProductNT(block, b), n, {});
  for (const variant of Object.values(KERNELS)) {
    const out = poisoned(device, m, n);
    const options = { layout: "nt", a: columnsOf(left, 64, k), b: right, out, variant } as const;
    assertEquals(await product(options), want);
  }
  // And of b, whose rows are contracted.
  const weight = uploadCodes(device, transposed(a)); // [208, m]
  const wide = uploadCodes(device, randomCodes(16, 130, 3));
  assert(weight.rows === 208 && wide.cols === 130);
  using program = new Program(device);
  const refuse = (options: Omit<GemmOptions, "out">, message: string, out: [number, number]) =>
    assertThrows(
      () => gemm(program, { ...options, out: device.matrix(...out, "f32", "out") }),
      RangeError,
      message,
    );
  refuse(
    { layout: "nt", a: columnsOf(left, 16, k), b: right },
    "Cannot multiply int8 codes as columns from 16 and 0 on begin inside a panel",
    [m, n],
  );
  refuse(
    { layout: "nt", a: columnsOf(left, 64, 80), b: columnsOf(wide, 0, 80) },
    "columns of both operands end inside a panel: give multiples of 64",
    [m, 16],
  );
});

Deno.test("int8 products refuse what no kernel computes", () => {
  using program = new Program(device);
  const codes = (rows: number, cols: number) => device.matrix(rows, cols, "int8", "codes");
  const out = device.matrix(16, 16, "f32", "out");
  const f32 = device.matrix(16, 32, "f32", "f32");
  const refuse = (options: Omit<GemmOptions, "out">, message: string) =>
    assertThrows(() => gemm(program, { ...options, out }), RangeError, message);
  refuse(
    { layout: "nt", a: codes(16, 32), b: f32 },
    "Cannot multiply int8 by f32 as no kernel does",
  );
  refuse(
    { layout: "nt", a: f32, b: codes(16, 32) },
    "Cannot multiply f32 by int8 as no kernel does",
  );
  refuse(
    { layout: "tn", a: codes(32, 16), b: codes(32, 16) },
    "Cannot multiply int8 codes as the contraction runs over the rows of a (layout tn)",
  );
  refuse(
    { layout: "nt", a: codes(16, 0), b: codes(16, 0) },
    "Cannot multiply int8 codes as the contraction has the length 0, not 1 to 133000",
  );
  refuse(
    { layout: "nt", a: f32, b: f32, variant: GEMM_VARIANTS.int8 },
    "The kernel gemm_int8 does not multiply f32 by f32",
  );
  gemm(program, {
    layout: "nt",
    a: codes(0, 32),
    b: codes(16, 32),
    out: device.matrix(0, 16, "f32", "out"),
  });
  gemm(program, {
    layout: "nn",
    a: codes(16, 32),
    b: codes(32, 0),
    out: device.matrix(16, 0, "f32", "out"),
  });
  assertEquals(program.dispatches, 0);
});

Deno.test("int8 products go to tensor cores where the device lists bytes, with tiles by the size of the output", () => {
  const choose = (on: Device, m: number, n: number) => {
    const [a, b] = [on.matrix(m, 4096, "int8", "a"), on.matrix(n, 4096, "int8", "b")];
    const program = new Program(on);
    gemm(program, { layout: "nt", a, b, out: on.matrix(m, n, "f32", "out") });
    assertEquals(program.dispatches, 1); // nothing is packed
    return chooseVariant(on, { m, n, k: 4096, aType: "int8", bType: "int8" });
  };
  using tensor = openDryTensorGpu();
  using native = openDryGpu();
  assert(
    tensor.matrixConfigs.some(({ componentType }) => componentType === I8_MATRIX.componentType),
  );
  assertEquals(choose(tensor, 8192, 4096), GEMM_VARIANTS.int8Tensor);
  assertEquals(choose(tensor, 100, 576), GEMM_VARIANTS.int8TensorSmall);
  assertEquals(choose(tensor, 1, 4096), GEMM_VARIANTS.int8Row);
  assertEquals(choose(native, 8192, 4096), GEMM_VARIANTS.int8);
  assertEquals(choose(native, 100, 576), GEMM_VARIANTS.int8Small);
  assertEquals(choose(native, 5, 4096), GEMM_VARIANTS.int8Rows);
});
