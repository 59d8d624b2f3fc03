/**
 * NF4 weights, to be measured: quantising one when it is loaded, decoding it before each GEMM.
 *
 * @module
 */

import { roundUp } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Program } from "../../src/gpu/program.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import {
  dequantizeNf4,
  nf4Weight,
  quantizeNf4,
  uploadNf4Tables,
} from "../../src/kernels/rows/nf4.ts";
import {
  dequantizeNf4 as decodeOnCpu,
  NF4_BLOCK,
  NF4_GROUP,
  quantizeNf4 as encodeOnCpu,
} from "../../src/numerics/nf4.ts";
import { type BenchCase, fillNormal, normalElements, type StepSizes } from "./update_cases.ts";
import { relativeError } from "../../tests/oracle/compare.ts";

const DEVIATION = 0.02;

/**
 * The weight of gate or up. The error is relative, of sampled groups of blocks, against the CPU's
 * codes of the same values; it includes the rounding to f16.
 */
export async function nf4Case(
  device: Device,
  { hidden, ffn }: StepSizes,
  what: "quantise" | "decode",
): Promise<BenchCase> {
  const [rows, cols] = [ffn, hidden];
  const tables = uploadNf4Tables(device);
  const input = device.matrix(rows, cols, "f32", "weight");
  await fillNormal(device, input, 1, DEVIATION);
  const weight = nf4Weight(device, rows, cols, "gate");
  const out = device.matrix(roundUp(rows, 16), cols, "f16", "decoded weight");
  const encode = (program: Program) => quantizeNf4(program, { input, weight, tables });
  const decode = (program: Program) => dequantizeNf4(program, { weight, tables, out });
  const run = (record: (program: Program) => void) => submitOnce(device, record);
  await run(encode);
  const elements = rows * cols;
  return {
    name: `NF4 ${what} ${rows}×${cols}`,
    flops: 0,
    bytes: elements * (what === "decode" ? 2 + 0.5 : 2 * 4 + 0.5),
    tolerance: 5e-4,
    record: what === "decode" ? decode : encode,
    async check() {
      await run(decode);
      const { statistics } = weight;
      const offset = new Float32Array(await device.read(statistics))[statistics.length - 1];
      const group = NF4_BLOCK * NF4_GROUP;
      const last = Math.floor((elements - 1) / group);
      let worst = 0;
      for (const at of [0, last >> 1, last]) {
        const count = Math.min(group, elements - at * group);
        const values = normalElements(1, DEVIATION, at * group, count);
        const want = decodeOnCpu(encodeOnCpu(values, offset));
        const view = { ...out, offset: 2 * at * group, size: 2 * count };
        const got = Float64Array.from(new Float16Array(await device.read(view)));
        worst = Math.max(worst, relativeError(got, want));
      }
      return worst;
    },
    free() {
      const { codes, absmaxCodes, statistics } = weight;
      device.free(tables, input, codes, absmaxCodes, statistics, out);
    },
  };
}
