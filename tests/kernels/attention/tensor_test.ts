/** The tensor core kernels of attention, run anywhere by emulated fragments: everything but the products themselves. */

import { assert, assertEquals } from "@std/assert";
import type { Device } from "../../../src/gpu/device.ts";
import { F16_MATRIX, supportsMatrix } from "../../../src/gpu/subgroup_matrix.ts";
import {
  attentionTensorBackward,
  attentionTensorForward,
  type TensorTile,
  tensorTilesFor,
} from "../../../src/kernels/attention/tensor.ts";
import {
  assertAlike,
  type AttentionCase,
  type AttentionRecorders,
  expectNaNSeen,
  runAttention,
} from "../../support/attention.ts";
import { device } from "../../support/device.ts";

/**
 * Factors and probabilities are rounded to f16, 2⁻¹² of their size on average: a sum of such products errs by about
 * √2 · 2⁻¹² = 3.5e-4, and dS, a difference, by some times that.
 */
const TOLERANCE = 1.5e-3;

/** Recorders with a tile in all three kernels. */
function withTile(tile: TensorTile): AttentionRecorders {
  const tiles = { forward: tile, queries: tile, keysValues: tile };
  return {
    forward: (program, options) => attentionTensorForward(program, options, tile),
    backward: (program, options) => attentionTensorBackward(program, options, tiles),
  };
}

const SMALL = withTile({ subgroups: 4, columns: 32 });

/** Few head sizes, as each is compiled anew; lengths that leave rows and columns of tiles over. */
const CASES: AttentionCase[] = [
  { headDim: 16, heads: 1, kvHeads: 1, lengths: [1] },
  { headDim: 16, heads: 8, kvHeads: 3, lengths: [65, 1, 9] }, // groups of 3, 3 and 2 heads
  { headDim: 16, heads: 3, kvHeads: 2, lengths: [40, 1, 29, 1, 1, 1, 60] },
  { headDim: 16, heads: 2, kvHeads: 2, lengths: [64, 64] },
  { headDim: 16, heads: 1, kvHeads: 1, lengths: [3, 130], gap: 8 },
  { headDim: 48, heads: 2, kvHeads: 1, lengths: [17, 80] }, // an odd number of fragments
];

async function expectRight(
  shape: AttentionCase,
  recorders?: AttentionRecorders,
  tolerance = TOLERANCE,
): Promise<void> {
  const name = JSON.stringify(shape);
  const { errors, padding, foreignColumn } = await runAttention(
    device,
    { gap: 4, ...shape },
    recorders,
  );
  for (const [output, error] of Object.entries(errors)) {
    assert(error < tolerance, `${output} of ${name}: error ${error}`);
  }
  assertEquals(padding, 0, name);
  assert(foreignColumn.every(Number.isNaN), `${name} wrote to a column of no head`);
}

Deno.test("tensor core attention and its gradients agree with the oracle", async () => {
  for (const shape of CASES) await expectRight(shape, SMALL);
});

Deno.test("tensor core attention turns the gradients of rotated queries and keys back", async () => {
  for (const shape of CASES) await expectRight({ ...shape, rotated: true }, SMALL);
});

Deno.test("tensor core attention goes back through factors and two sets of frequencies", async () => {
  for (const shape of CASES) await expectRight({ ...shape, rotated: "stretched" }, SMALL);
});

Deno.test("tensor core attention takes q, k and v in f16 as they are", async () => {
  for (const shape of CASES) {
    await expectRight({ ...shape, rotated: true, qkvType: "f16" }, SMALL);
    // The same values in f32 are the same in f16: so are all results.
    const halves = await runAttention(device, { ...shape, gap: 4, qkvType: "f16" }, SMALL);
    const floats = await runAttention(device, { ...shape, gap: 4, qkvType: "rounded" }, SMALL);
    assertAlike(halves.written, floats.written, device);
    const narrow = { ...shape, gap: 4, qkvType: "f16", outputType: "f16" } as const;
    const [output] = (await runAttention(device, narrow, SMALL)).written;
    assertAlike([output], [Float32Array.from(Float16Array.from(halves.written[0]))], device);
  }
});

Deno.test("tensor core attention agrees with the oracle in every form of its tiles", async () => {
  const shape = CASES[2];
  await expectRight(shape, withTile({ subgroups: 8, columns: 32 }));
  await expectRight(shape, withTile({ subgroups: 6, columns: 64 }));
});

Deno.test("tensor core attention sees a sliding window of any width", async () => {
  for (const window of [2, 7, 27, 1000]) await expectRight({ ...CASES[2], window }, SMALL);
  await expectRight({ ...CASES[4], window: 27 }, SMALL);
});

Deno.test("tensor core attention caps its scores softly", async () => {
  for (const softCap of [0.5, 3, 50]) await expectRight({ ...CASES[2], softCap }, SMALL);
  await expectRight({ ...CASES[5], softCap: 3, scoreScale: 0.5, window: 27 }, SMALL);
});

Deno.test("tensor core attention has heads over 128", async () => {
  // Emulated, wider ones compile for minutes.
  await expectRight({ headDim: 144, heads: 3, kvHeads: 2, lengths: [3, 1, 40] }, SMALL);
});

Deno.test("heads too wide for the tiles of the gradients get smaller ones", () => {
  const rows = (headDim: number, kilobytes: number) => {
    const limits = { maxComputeWorkgroupStorageSize: 1024 * kilobytes };
    return tensorTilesFor({ limits } as Device, headDim)?.queries.subgroups;
  };
  assertEquals([128, 192, 224].map((headDim) => rows(headDim, 48)), [8, 8, 8]);
  assertEquals([240, 256].map((headDim) => rows(headDim, 48)), [4, 4]);
  assertEquals(rows(256, 64), 8);
  assertEquals(rows(256, 32), undefined);
  assertEquals(rows(128, 32), undefined); // as ever: packed f16 is measured there
});

Deno.test("tensor core attention keeps gradients that f16 cannot hold", async () => {
  for (const gradientScale of [1e-9, 1e6]) {
    await expectRight({ ...CASES[2], gradientScale }, SMALL);
  }
});

Deno.test("tensor core attention passes a gradient of zero on", async () => {
  const { errors } = await runAttention(device, { ...CASES[3], gap: 4, gradientScale: 0 }, SMALL);
  assertEquals([errors.dQ, errors.dK, errors.dV], [0, 0, 0]);
});

Deno.test("tensor core attention follows maxima that grow from tile to tile", async () => {
  // Scores have a standard deviation of 10 and more, in units of log 2: later maxima exceed earlier ones by far.
  await expectRight({ ...CASES[4], scale: 5 }, SMALL, 3e-3);
  // One probability of almost 1 a row: dS is a difference of nearly equal numbers, so the gradients of q and k say little.
  const { errors } = await runAttention(device, { ...CASES[4], scale: 30 }, SMALL);
  for (const name of ["output", "logSumExp", "dV"] as const) {
    assert(errors[name] < 6e-3, `${name}: error ${errors[name]}`);
  }
});

Deno.test("tensor core attention makes no number of NaN", async () => {
  await expectNaNSeen(device, { headDim: 16 }, SMALL);
  await expectNaNSeen(device, { headDim: 16, qkvType: "f16", window: 100, softCap: 3 }, SMALL);
});

Deno.test("tensor core attention takes what is beyond f16 as its largest number", async () => {
  const of = (bits: number) => ({
    ...CASES[2],
    gap: 4,
    odd: { of: "v" as const, token: 3, head: 0, bits },
  });
  const [beyond, largest] = await Promise.all(
    [0x4a000000, 0x477fe000].map((bits) => runAttention(device, of(bits), SMALL)), // 2^21 and 65504
  );
  assertEquals(beyond.written[0], largest.written[0]);
});

Deno.test("tensor core attention repeats bit for bit", async () => {
  const shape = { ...CASES[2], gap: 4 };
  const first = await runAttention(device, shape, SMALL);
  assertEquals((await runAttention(device, shape, SMALL)).written, first.written);
});

/** Shapes that fit no tile, for the kernels and tiles that training uses. */
const ODD_CASES: readonly AttentionCase[] = [
  { headDim: 16, heads: 2, kvHeads: 1, lengths: [1] },
  { headDim: 64, heads: 3, kvHeads: 2, lengths: [1, 3, 17, 130, 1] },
  { headDim: 80, heads: 2, kvHeads: 2, lengths: [130, 3] },
  { headDim: 96, heads: 4, kvHeads: 1, lengths: [17, 130, 1, 64], gradientScale: 1e-7 },
  { headDim: 128, heads: 4, kvHeads: 2, lengths: [1, 3, 17, 130], gradientScale: 1e-9 },
  { headDim: 128, heads: 2, kvHeads: 2, lengths: [200, 100], scale: 4 },
  { headDim: 192, heads: 2, kvHeads: 1, lengths: [1, 130, 17], window: 27 },
  { headDim: 256, heads: 3, kvHeads: 2, lengths: [17, 130, 1], softCap: 3 },
  { headDim: 256, heads: 2, kvHeads: 1, lengths: [200, 3], window: 64, softCap: 50 },
];

// Emulated fragments of wide heads compile for too long; native kernels have attention_test.ts.
Deno.test({
  name: "what a GPU with tensor cores chooses agrees with the oracle",
  ignore: !supportsMatrix(device, F16_MATRIX),
  fn: async () => {
    for (const shape of ODD_CASES) {
      await expectRight(shape);
      await expectRight({ ...shape, rotated: true, qkvType: "f16" });
      await expectRight({ ...shape, rotated: "stretched", qkvType: "f16" });
    }
  },
});
