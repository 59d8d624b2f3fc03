import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Device, requestDevice } from "../../../src/gpu/device.ts";
import { Program } from "../../../src/gpu/program.ts";
import { attentionBackward, attentionForward } from "../../../src/kernels/attention/attention.ts";
import {
  assertAlike,
  type AttentionCase,
  expectNaNSeen,
  runAttention,
} from "../../support/attention.ts";
import { device } from "../../support/device.ts";

/**
 * Sums of at most 130 terms in f32, one after the other, err by about √130 · 2⁻²⁴ = 7e-7 of their size, and
 * a score of size s makes an error of s · 2⁻²⁴ in its probability; the chain of products has a few of each.
 */
const TOLERANCE = 2e-6;

/** Head sizes of every tile shape; no token count is a multiple of a tile. */
const CASES: AttentionCase[] = [
  { headDim: 8, heads: 8, kvHeads: 4, lengths: [1] },
  { headDim: 8, heads: 8, kvHeads: 3, lengths: [65, 1, 9] }, // groups of 3, 3 and 2 heads
  { headDim: 10, heads: 1, kvHeads: 1, lengths: [17] },
  { headDim: 16, heads: 3, kvHeads: 2, lengths: [40, 1, 29, 1, 1, 1, 60] },
  { headDim: 24, heads: 4, kvHeads: 2, lengths: [70, 33] },
  { headDim: 48, heads: 2, kvHeads: 2, lengths: [1, 1, 66] },
  { headDim: 64, heads: 7, kvHeads: 1, lengths: [31] },
  { headDim: 80, heads: 5, kvHeads: 5, lengths: [3, 34] },
  { headDim: 96, heads: 6, kvHeads: 3, lengths: [33] },
  { headDim: 128, heads: 2, kvHeads: 1, lengths: [5, 125] },
  { headDim: 136, heads: 3, kvHeads: 2, lengths: [1, 37] },
  { headDim: 192, heads: 2, kvHeads: 2, lengths: [33, 6] },
  { headDim: 200, heads: 2, kvHeads: 1, lengths: [70] },
  { headDim: 256, heads: 3, kvHeads: 1, lengths: [5, 1, 68] },
  { headDim: 258, heads: 1, kvHeads: 1, lengths: [3, 40] },
  { headDim: 512, heads: 2, kvHeads: 1, lengths: [5, 68] },
];

/** One of each tile shape. */
const SOME = CASES.filter(({ headDim }) => [10, 24, 48, 80, 200].includes(headDim));

Deno.test("attention makes no number of NaN", () =>
  expectNaNSeen(device, { headDim: 10, softCap: 3 }));

/** Compares head sizes, all by default. */
async function expectRight(more: Partial<AttentionCase>, cases = CASES): Promise<void> {
  for (const shape of cases) {
    const name = JSON.stringify(shape);
    const { errors, padding, foreignColumn } = await runAttention(device, { ...shape, ...more });
    for (const [output, error] of Object.entries(errors)) {
      assert(error < TOLERANCE, `${output} of ${name}: error ${error}`);
    }
    assertEquals(padding, 0, name);
    assert(foreignColumn.every(Number.isNaN), `${name} wrote to a column of no head`);
  }
}

Deno.test("attention and its gradients agree with the oracle for all head sizes", async () => {
  await expectRight({});
});

Deno.test("gradients of rotated queries and keys are turned back for all head sizes", async () => {
  await expectRight({ rotated: true });
});

Deno.test("attention sees a sliding window of any width", async () => {
  for (const window of [2, 7, 27, 64, 1000]) await expectRight({ window }, SOME);
  await expectRight({ window: 27, lengths: [150, 1, 200] }, SOME);
});

Deno.test("attention in a window of one token gives its value, and passes only that gradient", async () => {
  for (const shape of SOME) {
    const { errors } = await runAttention(device, { ...shape, window: 1 });
    for (const name of ["output", "logSumExp", "dV"] as const) {
      assert(errors[name] < TOLERANCE, `${name}: error ${errors[name]}`);
    }
    // Both are zero: what is left of differences of equal sums is rounding.
    for (const name of ["dQ", "dK"] as const) {
      assert(errors[name] < 1e-4, `${name}: ${errors[name]}`);
    }
  }
});

Deno.test("attention caps its scores softly, and takes another scale", async () => {
  // Scores are up to 4 · √headDim before the cap.
  for (const softCap of [0.5, 50]) await expectRight({ softCap, rotated: true }, SOME);
  await expectRight({ softCap: 3, scoreScale: 0.7, window: 27, rotated: true }, SOME);
  await expectRight({ scoreScale: 0.02 }, SOME);
});

Deno.test("a cap is right where scores are far beyond it", async () => {
  const { errors, written } = await runAttention(device, { ...CASES[3], scale: 300, softCap: 20 });
  for (const name of ["output", "logSumExp", "dV"] as const) {
    assert(errors[name] < 1e-5, `${name}: error ${errors[name]}`);
  }
  assert(written.slice(0, 2).every((values) => values.every(Number.isFinite)));
});

Deno.test("gradients go back through factors of planes and of queries, and two sets of frequencies", async () => {
  const cases = CASES.filter(({ headDim }) => [10, 24, 96].includes(headDim));
  await expectRight({ rotated: "stretched" }, cases);
});

Deno.test("attention reads q, k and v in f16, and computes in f32", async () => {
  const cases = CASES.filter(({ headDim }) => [10, 64, 256].includes(headDim));
  await expectRight({ rotated: true, qkvType: "f16" }, cases);
});

Deno.test("attention's output in f16 is that in f32, rounded, and serves the backward pass", async () => {
  for (const shape of CASES.filter(({ headDim }) => [10, 24, 256].includes(headDim))) {
    const want = await runAttention(device, shape);
    const got = await runAttention(device, { ...shape, outputType: "f16" });
    const rounded = Float32Array.from(Float16Array.from(want.written[0]));
    assertAlike([got.written[0]], [rounded], device);
    assertAlike([got.written[1]], [want.written[1]], device);
    assertEquals(got.padding, 0);
    for (const name of ["dQ", "dK", "dV"] as const) {
      assert(got.errors[name] < 3e-4, `${name}: error ${got.errors[name]}`);
    }
  }
});

Deno.test("the unrolled kernels that only a GPU gets agree with the oracle too", async () => {
  using opened = await requestDevice();
  const { vendor } = opened.info;
  using device = new Device(opened.gpu, { vendor, isFallbackAdapter: false } as GPUAdapterInfo);
  const { errors } = await runAttention(device, CASES[CASES.length - 1]);
  for (const [output, error] of Object.entries(errors)) {
    assert(error < TOLERANCE, `${output}: error ${error}`);
  }
});

Deno.test("attention repeats bit for bit", async () => {
  const first = await runAttention(device, CASES[3]);
  assertEquals((await runAttention(device, CASES[3])).written, first.written);
});

Deno.test("attention with scores of a thousand stays finite and right", async () => {
  // Scores have a standard deviation of scale² · √headDim / 3 / √headDim: about 300 here, the largest over 1000.
  const { errors } = await runAttention(device, { ...CASES[3], scale: 30 });
  // A score of 1000 is known to 6e-5, and so is the logarithm of its probability.
  for (const [output, error] of Object.entries(errors)) {
    assert(error < 3e-4, `${output}: error ${error}`);
  }
});

Deno.test("attention refuses operands that do not fit", () => {
  using program = new Program(device);
  const [heads, kvHeads, headDim, tokens] = [2, 1, 8, 3];
  const qkv = device.matrix(tokens, 32, "f32", "qkv");
  const d = device.matrix(tokens, 32, "f32", "gradients");
  const good = {
    q: columnsOf(qkv, 0, 16),
    k: columnsOf(qkv, 16, 8),
    v: columnsOf(qkv, 24, 8),
    documents: device.allocate(8 * tokens, "documents"),
    output: device.matrix(tokens, 16, "f32", "output"),
    logSumExp: device.matrix(tokens, 2, "f32", "logSumExp"),
    heads,
    kvHeads,
    headDim,
  };
  const refuses = (bad: Partial<typeof good>, message: string, type: typeof Error = RangeError) =>
    assertThrows(() => attentionForward(program, { ...good, ...bad }), type, message);
  refuses({ headDim: 7 }, "headDim is 7, not an even number from 2 to 512");
  refuses({ headDim: 514 }, "headDim is 514, not an even number from 2 to 512");
  refuses({ kvHeads: 3 }, "kvHeads is 3, not from 1 to heads (2)");
  refuses({ q: columnsOf(qkv, 0, 8) }, "q is 3×8, not 3×16");
  refuses({ k: columnsOf(qkv, 17, 8) }, "k has the columns 17 to 25, which must start evenly");
  refuses({ v: columnsOf(qkv, 26, 8) }, "v has the columns 26 to 34, which must");
  refuses({ q: columnsOf({ ...qkv, type: "u32" }, 0, 16) }, "q is u32, not f32 or f16", TypeError);
  refuses({ v: columnsOf({ ...qkv, type: "f16" }, 24, 8) }, "v is f16, not f32", TypeError);
  refuses({ documents: device.allocate(16, "short") }, "documents has 16 bytes, not 8 for each of");
  refuses({ logSumExp: good.output }, "logSumExp is 3×16 (pitch 16), not 3×2 (pitch 16)");
  const backward = {
    ...good,
    dOutput: good.output,
    dQ: columnsOf(d, 0, 16),
    dK: columnsOf(d, 16, 8),
    dV: columnsOf(d, 24, 8),
  };
  refuses(
    { v: columnsOf(device.matrix(tokens, 32, "f32", "another"), 24, 8) },
    "attentionForward: v is in another matrix than q",
  );
  const rotation = {
    positions: device.allocate(16, "positions"),
    frequencies: device.vector(6, "u32", "frequencies"),
  };
  assertThrows(
    () => attentionBackward(program, { ...backward, rotation }),
    RangeError,
    "attentionBackward: frequencies are 6 of u32, not 8 or twice as many of u32",
  );
  assertThrows(
    () => attentionBackward(program, { ...backward, dV: good.v }),
    RangeError,
    "attentionBackward: dV is in another matrix than dQ",
  );
  const odd = device.matrix(tokens, 33, "f32", "gradients");
  assertThrows(
    () =>
      attentionBackward(program, {
        ...backward,
        dQ: columnsOf(odd, 0, 16),
        dK: columnsOf(odd, 16, 8),
        dV: columnsOf(odd, 24, 8),
      }),
    RangeError,
    "the gradients' matrix has 33 columns, an odd number",
  );
});
