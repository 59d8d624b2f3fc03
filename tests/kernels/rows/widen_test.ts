import { assert, assertEquals, assertThrows } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { toFloat32 } from "../../../src/io/dtype.ts";
import { writeSafetensors } from "../../../src/io/safetensors.ts";
import { Weights } from "../../../src/io/weights.ts";
import { inF32, widen } from "../../../src/kernels/rows/widen.ts";
import { loadMatrix, readDense } from "../../../src/layers/load.ts";
import { FolderSource } from "../../../src/layers/weight_source.ts";
import { device } from "../../support/device.ts";
import { filled, paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { withFolder } from "../../support/io.ts";

const DTYPES = ["F16", "BF16"] as const;

/** The bits of f32 values: NaN is compared too. */
function bitsOf(values: Float32Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

Deno.test("widen turns every 16-bit pattern into the same f32 as the host does, with zero padding", async () => {
  const codes = Uint16Array.from({ length: 2 ** 16 }, (_, code) => code);
  for (const dtype of DTYPES) {
    const want = bitsOf(toFloat32(new Uint8Array(codes.buffer), dtype));
    for (const [rows, cols] of [[64, 1024], [585, 112], [1285, 51]]) { // the last: rows of odd length
      const raw = device.allocate(2 * rows * cols, "raw");
      device.write(raw, codes.subarray(0, rows * cols & ~1));
      const out = filled(device, rows, cols, 7);
      await runOnce(device, (program) => widen(program, { raw, dtype, out }));
      const got = new Uint32Array(await device.read(out));
      const padded = new Uint32Array(rows * out.pitch);
      for (let i = 0; i < (rows * cols & ~1); i++) {
        padded[Math.floor(i / cols) * out.pitch + i % cols] = want[i];
      }
      const differ = got.findIndex((bits, i) => bits !== padded[i] && !bothNaN(bits, padded[i]));
      assertEquals(differ, -1, `${dtype} ${rows}×${cols}: ${got[differ]} for ${padded[differ]}`);
    }
  }
});

/** A NaN may come back quiet. */
function bothNaN(...bits: number[]): boolean {
  return bits.every((word) => (word & 0x7fffffff) > 0x7f800000);
}

Deno.test("widen into f16 keeps f16 as it is and rounds bfloat16", async () => {
  const values = Float32Array.from({ length: 12 * 20 }, (_, i) => Math.sin(i) / 2 ** (i % 9));
  for (const dtype of DTYPES) {
    const codes = dtype === "F16"
      ? new Uint16Array(Float16Array.from(values).buffer)
      : Uint16Array.from(bitsOf(values), (bits) => bits >>> 16);
    const raw = device.allocate(codes.byteLength, "raw");
    device.write(raw, codes);
    const out = device.matrix(12, 20, "f16", "out");
    await runOnce(device, (program) => widen(program, { raw, dtype, out }));
    const got = await readDense(device, out);
    const exact = toFloat32(new Uint8Array(codes.buffer), dtype);
    const tolerance = dtype === "F16" ? 0 : 2 ** -10;
    assert(
      got.every((x, i) => Math.abs(x - exact[i]) <= Math.abs(exact[i]) * tolerance + 2 ** -25),
    );
  }
  const short = device.allocate(16, "raw");
  const out = device.matrix(3, 3, "f32", "out");
  using program = new Program(device);
  const options = { raw: short, dtype: "F16", out } as const;
  assertThrows(() => widen(program, options), RangeError, "16 bytes, not 18");
});

Deno.test("inF32 gives a matrix in f16 its values and its zero padding in f32, and f32 as it is", async () => {
  const [rows, cols] = [7, 13];
  const values = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i) / 2 ** (i % 19));
  const { matrix, exact } = uploadMatrix(device, values, rows, cols, "f16");
  const out = filled(device, rows, cols, 7);
  await runOnce(device, (program) => {
    assertEquals(inF32(program, out), out);
    const { rows, cols, pitch, type, ...wide } = inF32(program, matrix);
    assertEquals([rows, cols, pitch, type], [out.rows, out.cols, out.pitch, "f32"]);
    program.copy(wide, out);
  });
  assertEquals(await device.readMatrix(out), Float32Array.from(exact));
  assertEquals(await paddingOf(device, out), 0);
});

Deno.test("a GPU that is given 16-bit weights as they are holds what the host would upload", () =>
  withFolder(async (folder) => {
    // What is tested is the path of a real GPU, on whatever is here.
    Object.defineProperty(device, "isFallback", { value: false });
    const [rows, cols] = [75, 13]; // an odd number of elements, more than the 64 rows of a read
    const values = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i));
    for (const dtype of DTYPES) {
      const codes = Uint16Array.from(bitsOf(values), (bits) => bits >>> 17); // some pattern
      const data = () => new Uint8Array(codes.buffer);
      await writeSafetensors(`${folder}/model.safetensors`, [
        { name: "w", dtype, shape: [rows, cols], data },
      ]);
      using weights = await Weights.open(folder);
      const source = new FolderSource(weights);
      const target = filled(device, rows + 16, cols, 7);
      await loadMatrix(device, "w", rows, source, target, 16);
      const got = (await device.readMatrix(target)).subarray(16 * cols);
      assertEquals(bitsOf(Float32Array.from(got)), bitsOf(toFloat32(data(), dtype)));
    }
  }));
