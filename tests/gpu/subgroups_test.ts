import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Device } from "../../src/gpu/device.ts";
import { openDryDevice } from "../../src/gpu/dry_device.ts";
import { OptionError } from "../../src/errors.ts";
import { internalDevice } from "../../src/gpu/public_device.ts";
import {
  defaultSubgroupUses,
  subgroupConstants,
  type SubgroupUses,
} from "../../src/gpu/subgroups.ts";
import { crossEntropyLoss } from "../../src/kernels/rows/cross_entropy.ts";
import { quantize } from "../../src/kernels/rows/quantize.ts";
import { rmsNorm } from "../../src/kernels/rows/rms_norm.ts";
import { FORMATS } from "../../src/numerics/formats.ts";
import { relativeError } from "../oracle/compare.ts";
import { rmsNorm as rmsNormOnCpu } from "../oracle/norm.ts";
import { device } from "../support/device.ts";
import { poisonedCodes, runOnce, uploadMatrix } from "../support/gpu.ts";
import { randomValues } from "../support/random.ts";

const sizes = (subgroupMinSize: number, subgroupMaxSize: number) =>
  ({ subgroupMinSize, subgroupMaxSize }) as GPUAdapterInfo;
const gpu = {
  hasSubgroups: true,
  isFallback: false,
  provider: "native",
  info: sizes(32, 32),
  subgroupDirective: false,
} as const;

Deno.test("maxima go by way of subgroups on native GPUs that have them and tell their size; sums never by themselves", () => {
  assertEquals(defaultSubgroupUses(gpu), { max: true, sum: false, shuffle: true });
  for (
    const other of [
      { hasSubgroups: false },
      { isFallback: true },
      { provider: "dawn" as const },
      { info: {} as GPUAdapterInfo },
    ]
  ) {
    const { max, sum } = defaultSubgroupUses({ ...gpu, ...other });
    assertEquals({ max, sum }, { max: false, sum: false });
  }
});

Deno.test("rotations shuffle where the smallest subgroup has a tile's sixteen threads, on Dawn as well", () => {
  const shuffles = (other: object) => defaultSubgroupUses({ ...gpu, ...other }).shuffle;
  assert(shuffles({ provider: "dawn", info: sizes(16, 32) }));
  for (const other of [{ hasSubgroups: false }, { info: sizes(8, 32) }, { info: {} }]) {
    assert(!shuffles(other), JSON.stringify(other));
  }
});

Deno.test("the constants name the smallest subgroup, and the directive where it is taken; sums want subgroups of one size", () => {
  const max = { max: true, sum: false, shuffle: false };
  const shuffle = { max: false, sum: false, shuffle: true };
  assertEquals(subgroupConstants(max, { ...gpu, info: sizes(8, 32) }), {
    SUBGROUP_MAX: true,
    SUBGROUP_SUM: false,
    SHUFFLES: false,
    ENABLE_SUBGROUPS: false,
    ENABLE_SHUFFLES: false,
    SUBGROUP_SIZE: "8",
  });
  const taken = { ...gpu, subgroupDirective: true };
  assertEquals(subgroupConstants(max, taken).ENABLE_SUBGROUPS, true);
  assertEquals(subgroupConstants(shuffle, taken).ENABLE_SHUFFLES, true);
  const refuses = (which: SubgroupUses, device: Partial<typeof gpu>) =>
    assertThrows(() => subgroupConstants(which, { ...gpu, ...device }), RangeError);
  refuses({ max: false, sum: true, shuffle: false }, { info: sizes(8, 32) as typeof gpu.info });
  refuses(max, { info: {} as typeof gpu.info });
  refuses(max, { hasSubgroups: false as true });
  refuses(shuffle, { info: sizes(8, 32) as typeof gpu.info });
});

Deno.test("only devices of this package are taken", () => {
  const { device } = openDryDevice();
  assertEquals(internalDevice(device), device);
  assertThrows(() => internalDevice({ ...device } as Device), OptionError, "requestDevice()");
});

/** Runs on a device with each way to reduce that it has, the usual one first. */
async function eachWay(action: (device: Device) => Promise<void>): Promise<void> {
  const { subgroupMinSize, subgroupMaxSize } = device.info;
  if (!device.hasSubgroups || !subgroupMinSize) {
    console.log("skipped: this adapter has no subgroups");
    return;
  }
  const ways = [{ max: false, sum: false }, { max: true, sum: false }];
  if (subgroupMinSize === subgroupMaxSize) ways.push({ max: true, sum: true });
  const { shuffle } = device.tuning.subgroups;
  for (const way of ways) {
    device.tuning = { ...device.tuning, subgroups: { ...way, shuffle } };
    await action(device);
  }
}

Deno.test("codes and scales of rows are the same bits whether maxima go by way of subgroups or not", async () => {
  const seen = new Map<string, unknown>();
  await eachWay(async (device) => {
    for (const type of [FORMATS.e4m3.name, FORMATS.f16.name]) {
      for (const [rows, cols] of [[3, 5], [7, 1100]]) {
        for (const threads of [16, 256]) {
          const values = randomValues(rows * cols, 3, 100);
          const { matrix: input } = uploadMatrix(device, values, rows, cols);
          const { codes, scales } = poisonedCodes(device, rows, cols, type);
          const variant = { threads };
          await runOnce(
            device,
            (program) => quantize(program, { input, codes, scales, granularity: "row", variant }),
          );
          const got = [await device.read(codes), await device.read(scales)];
          const key = `${type} ${rows}×${cols} by ${threads}`;
          if (!seen.has(key)) seen.set(key, got);
          assertEquals(got, seen.get(key), key);
          device.free(input, codes, scales);
        }
      }
    }
  });
});

Deno.test("norms and losses are the CPU's, whichever way sums go", () =>
  eachWay(async (device) => {
    for (const [rows, cols] of [[3, 5], [5, 1100]]) {
      const x = uploadMatrix(device, randomValues(rows * cols, 5, 3), rows, cols);
      const weight = device.vector(cols, "f32", "weight");
      const w = randomValues(cols, 6);
      device.write(weight, w);
      const rstd = device.vector(rows, "f32", "rstd");
      const output = device.matrix(rows, cols, "f32", "output");
      const targets = device.vector(rows, "i32", "targets");
      const classes = Int32Array.from({ length: rows }, (_, row) => row * 7 % cols);
      device.write(targets, classes);
      const rowLoss = device.vector(rows, "f32", "losses");
      await runOnce(device, (program) => {
        rmsNorm(program, { input: x.matrix, weight, eps: 1e-5, output, rstd });
        crossEntropyLoss(program, { logits: x.matrix, targets, rowLoss });
      });
      const want = rmsNormOnCpu(x.exact, Float64Array.from(w), 1e-5);
      assert(relativeError(await device.readMatrix(output), want) < 1e-6);
      const losses = new Float32Array(await device.read(rowLoss)).subarray(0, rows);
      const exact = Array.from(classes, (target, row) => {
        const logits = x.exact.subarray(row * cols, (row + 1) * cols);
        return Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0)) - logits[target];
      });
      assert(relativeError(losses, exact) < 1e-6);
    }
  }));
