/** The kernels of attention in packed half-precision arithmetic, which a GPU without tensor cores gets for f16. */

import { assert, assertEquals } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { attentionForward } from "../../../src/kernels/attention/attention.ts";
import {
  attentionHalfBackward,
  attentionHalfForward,
} from "../../../src/kernels/attention/half.ts";
import { type AttentionCase, expectNaNSeen, runAttention } from "../../support/attention.ts";
import { device } from "../../support/device.ts";
import { kernelsOf, openDryGpu } from "../../support/dry_gpus.ts";

/**
 * 32 dims, or 64 columns, are added in f16: 4e-4 to 7e-4 of a product's size. A score's error is one of its probability
 * times the score, and dS is a difference of two such products.
 */
const TOLERANCE = 2e-3;

const RECORDERS = { forward: attentionHalfForward, backward: attentionHalfBackward };

/** Heads with and without dims that fill no run of 32; lengths that leave rows and columns of tiles over. */
const CASES: AttentionCase[] = [
  { headDim: 80, heads: 5, kvHeads: 3, lengths: [65, 1, 9] }, // groups of 2, 2 and 1 heads
  { headDim: 96, heads: 3, kvHeads: 2, lengths: [40, 1, 29, 1, 1, 1, 60] },
  { headDim: 112, heads: 2, kvHeads: 1, lengths: [17, 80] },
  { headDim: 128, heads: 1, kvHeads: 1, lengths: [64, 64] },
  { headDim: 128, heads: 2, kvHeads: 1, lengths: [3, 197], gap: 16 },
];

function run(shape: AttentionCase) {
  return runAttention(device, { gap: 8, qkvType: "f16", ...shape }, RECORDERS);
}

Deno.test({
  name: "attention in packed f16 makes no number of NaN",
  ignore: !device.hasF16,
  fn: () => expectNaNSeen(device, { headDim: 80, gap: 8, qkvType: "f16" }, RECORDERS),
});

async function expectRight(shape: AttentionCase, tolerance = TOLERANCE): Promise<void> {
  const name = JSON.stringify(shape);
  const { errors, padding, foreignColumn } = await run(shape);
  for (const [output, error] of Object.entries(errors)) {
    assert(error < tolerance, `${output} of ${name}: error ${error}`);
  }
  assertEquals(padding, 0, name);
  assert(foreignColumn.every(Number.isNaN), `${name} wrote to a column of no head`);
}

Deno.test("attention in packed f16 and its gradients agree with the oracle", async () => {
  for (const shape of CASES) await expectRight(shape);
  await expectRight({ ...CASES[0], outputType: "f16" });
});

Deno.test("packed f16 attention turns the gradients of rotated queries and keys back", async () => {
  for (const shape of CASES) await expectRight({ ...shape, rotated: true });
});

Deno.test("packed f16 attention sees a sliding window of any width", async () => {
  // Of two keys dS is a difference of nearly equal numbers.
  for (const window of [2, 7, 27, 1000]) await expectRight({ ...CASES[1], window }, 3e-3);
  await expectRight({ ...CASES[4], window: 27 });
});

Deno.test("packed f16 attention caps its scores softly", async () => {
  // Far beyond a cap nothing is left of a gradient, and of the rest the more is rounding.
  for (const softCap of [0.5, 3, 50]) {
    await expectRight({ ...CASES[0], softCap, rotated: true }, softCap < 1 ? 4e-3 : TOLERANCE);
  }
  await expectRight({ ...CASES[0], softCap: 3, scoreScale: 0.3, window: 27, rotated: true });
});

Deno.test("packed f16 attention goes back through factors and two sets of frequencies", async () => {
  for (const shape of CASES.slice(0, 2)) await expectRight({ ...shape, rotated: "stretched" });
});

Deno.test("packed f16 attention keeps gradients that f16 cannot hold", async () => {
  for (const gradientScale of [1e-9, 1e6]) await expectRight({ ...CASES[0], gradientScale });
});

Deno.test("packed f16 attention passes a gradient of zero on", async () => {
  const { errors } = await run({ ...CASES[0], gradientScale: 0 });
  assertEquals([errors.dQ, errors.dK, errors.dV], [0, 0, 0]);
});

Deno.test("packed f16 attention leaves of a document of one token little but rounding", async () => {
  const { errors } = await run({ headDim: 80, heads: 1, kvHeads: 1, lengths: [1] });
  for (const name of ["output", "logSumExp", "dV"] as const) assert(errors[name] < TOLERANCE);
  // Both gradients are zero; what is left is one part in thousands of sums of size √80.
  for (const name of ["dQ", "dK"] as const) assert(errors[name] < 0.02, `${name}: ${errors[name]}`);
});

Deno.test("packed f16 attention follows maxima that grow from tile to tile", async () => {
  // Scores have a standard deviation of 300 and an error of 6e-4 of that, which is one of their probabilities.
  const { errors } = await run({ ...CASES[0], scale: 30 });
  for (const name of ["output", "dV"] as const) {
    assert(errors[name] < 1e-2, `${name}: error ${errors[name]}`);
  }
  assert(errors.logSumExp < TOLERANCE, `logSumExp: error ${errors.logSumExp}`);
  // One probability of almost 1 a row: dS is a difference of nearly equal numbers, so the gradients of q and k say little.
  for (const name of ["dQ", "dK"] as const) assert(errors[name] < 0.3, `${name}: ${errors[name]}`);
});

Deno.test("packed f16 attention stays finite where q·k is larger than f16 can hold", async () => {
  // Sums over 16 dims have a standard deviation of 19,200, and the largest of them go beyond 65,504.
  const { errors, written } = await run({ ...CASES[0], scale: 120 });
  for (const name of ["output", "logSumExp"] as const) {
    assert(errors[name] < 2e-2, `${name}: error ${errors[name]}`);
  }
  assert(written[0].every(Number.isFinite), "output");
  assert(Number.isFinite(errors.dQ + errors.dK + errors.dV), "gradients");
});

Deno.test("packed f16 attention repeats bit for bit", async () => {
  const first = await run(CASES[0]);
  assertEquals((await run(CASES[0])).written, first.written);
});

Deno.test("a GPU without tensor cores multiplies f16 in f16 and f32 in f32", async () => {
  const kernels = async (type: "f16" | "f32", headDim: number) => {
    const asked = await kernelsOf(() => Promise.resolve(record(openDryGpu(), type, headDim)));
    return [...asked.keys()].filter((name) => /attention_(half_)?forward/.test(name));
  };
  assertEquals(await kernels("f16", 128), ["attention_half_forward"]);
  assertEquals(await kernels("f32", 128), ["attention_forward"]);
  assertEquals(await kernels("f16", 64), ["attention_forward"]);
  assertEquals(await kernels("f16", 88), ["attention_forward"]);
  assertEquals(await kernels("f16", 256), ["attention_forward"]);
});

/** Records the forward of one head. */
function record(device: Device, type: "f16" | "f32", headDim: number): void {
  const [tokens, heads] = [5, 1];
  const qkv = device.matrix(tokens, 3 * headDim, type, "qkv");
  const [q, k, v] = [0, 1, 2].map((part) => columnsOf(qkv, part * headDim, headDim));
  attentionForward(new Program(device), {
    ...{ q, k, v, heads, kvHeads: heads, headDim },
    documents: device.allocate(8 * tokens, "documents"),
    output: device.matrix(tokens, headDim, "f32", "output"),
    logSumExp: device.matrix(tokens, heads, "f32", "logSumExp"),
  });
}
