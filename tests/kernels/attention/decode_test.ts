import { assert, assertEquals, assertThrows } from "@std/assert";
import { columnsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import { attentionForward } from "../../../src/kernels/attention/attention.ts";
import { appendToCache, attentionDecode } from "../../../src/kernels/attention/decode.ts";
import type { AttentionScores } from "../../../src/kernels/attention/shapes.ts";
import * as reference from "../../oracle/attention.ts";
import { takeColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import { device } from "../../support/device.ts";
import { filled, paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

/** Tokens of which all but the last few come as a prompt. */
const TOKENS = 300;
const PROMPT = 254;

Deno.test("a recorded decode step, replayed token by token, agrees with the oracle", async () => {
  const shapes: [number, number, number, AttentionScores?, number?][] = [
    [8, 8, 4],
    [10, 3, 2],
    [10, 3, 2, { softCap: 1.5, scale: 0.6 }, 27],
    [24, 4, 1],
    [24, 4, 1, {}, 1],
    [80, 1, 1],
    [80, 1, 1, { softCap: 50 }],
    [128, 2, 1],
    [128, 2, 1, {}, 255],
    [136, 3, 2],
    [200, 2, 1, { softCap: 3 }, 100],
    [256, 2, 2],
    [256, 2, 1, {}, 1000],
    [258, 1, 1],
    [512, 2, 1, { scale: 1 }, 100],
  ];
  for (const [headDim, heads, kvHeads, scores, window = Infinity] of shapes) {
    const shape = JSON.stringify({ headDim, heads, kvHeads, scores, window });
    const [wide, narrow] = [heads * headDim, kvHeads * headDim];
    const width = wide + 2 * narrow;
    const values = randomValues(TOKENS * width, 21, 2);
    const blocks = [[0, wide], [wide, narrow], [wide + narrow, narrow]];
    const [q64, k64, v64] = blocks.map(([column, cols]) =>
      takeColumns(values, width, { column, cols })
    );
    const want = reference.attention(q64, k64, v64, {
      numHeads: heads,
      numKeyValueHeads: kvHeads,
      headDim,
      ...scores,
      documentStart: Array.from({ length: TOKENS }, (_, t) => Math.max(0, t - window + 1)),
    }).out;

    const prompt = values.subarray(0, PROMPT * width);
    const { matrix: prefill } = uploadMatrix(device, prompt, PROMPT, width);
    const step = device.matrix(1, width, "f32", "qkv of one token");
    const caches = {
      keyCache: filled(device, TOKENS, narrow, 3), // what lies behind the length must not matter
      valueCache: filled(device, TOKENS, narrow, 3),
    };
    const output = filled(device, 1, wide, NaN);
    const prefillPositions = device.allocate(4 * PROMPT, "positions");
    device.write(prefillPositions, Uint32Array.from({ length: PROMPT }, (_, i) => i));
    const position = device.allocate(4, "position");
    const length = device.allocate(4, "length");
    const keyValues = (matrix: typeof step) => ({
      k: columnsOf(matrix, wide, narrow),
      v: columnsOf(matrix, wide + narrow, narrow),
    });
    await runOnce(device, (program) =>
      appendToCache(program, {
        ...keyValues(prefill),
        ...caches,
        positions: prefillPositions,
      }));
    using program = new Program(device);
    appendToCache(program, { ...keyValues(step), ...caches, positions: position });
    attentionDecode(program, {
      q: columnsOf(step, 0, wide),
      ...caches,
      length,
      output,
      heads,
      kvHeads,
      headDim,
      ...scores,
      window: window === Infinity ? null : window,
    });
    await program.prepare();
    for (let t = PROMPT; t < TOKENS; t++) {
      device.writeMatrix(step, values.slice(t * width, (t + 1) * width));
      device.write(position, Uint32Array.of(t));
      device.write(length, Uint32Array.of(t + 1));
      program.run();
      if (![PROMPT, 255, 256, TOKENS - 1].includes(t)) continue; // around a tile's end
      const error = relativeError(
        await device.readMatrix(output),
        want.subarray(t * wide, (t + 1) * wide),
      );
      assert(error < 2e-6, `token ${t} of ${shape}: error ${error}`);
    }
    const cached = await device.readMatrix(caches.keyCache);
    assertEquals(cached, Float32Array.from(k64), shape);
    for (const matrix of [output, caches.keyCache, caches.valueCache]) {
      assertEquals(await paddingOf(device, matrix), 0, shape);
    }
  }
});

/**
 * WGSL leaves it to a compiler whether it joins a multiplication and an addition, so it may do so in one of two kernels with the
 * same operations. The CPU adapter's does not; elsewhere they agree as closely as with the oracle.
 */
function expectSameSums(got: Float32Array, want: Float32Array, which: string): void {
  if (device.isFallback) assertEquals(got, want, which);
  else assert(relativeError(got, want) < 2e-6, `${which}: error ${relativeError(got, want)}`);
}

Deno.test("a decoded token is that of the forward kernel in f32, which adds up in the same order", async () => {
  const shapes = [[8, 8, 4], [10, 3, 2], [16, 2, 2], [24, 4, 1], [34, 2, 1], [80, 1, 1], [
    128,
    2,
    1,
  ]];
  shapes.push([136, 3, 2], [192, 1, 1], [256, 2, 1], [512, 1, 1]);
  const inF16 = [[10, 3, 2, 2], [80, 1, 1, 2], [200, 1, 1, 2]];
  const windows = [1, 7, 27, 100, 1000].flatMap((
    window,
  ) => [[10, 3, 2, 4, window], [80, 1, 1, 2, window], [256, 2, 1, 4, window]]);
  const cases = [...shapes, ...inF16, ...windows];
  for (const [headDim, heads, kvHeads, bytes = 4, window = Infinity] of cases) {
    const type = bytes === 4 ? "f32" : "f16";
    const [wide, narrow] = [heads * headDim, kvHeads * headDim];
    // Heads that start at column 2 no kernel takes but the one in f32: others, on tensor cores and in packed f16, round.
    const width = 2 + wide + 2 * narrow;
    const values = randomValues(TOKENS * width, 22, 2);
    const { matrix: qkv } = uploadMatrix(device, values, TOKENS, width, type);
    const [q, k, v] = [[2, wide], [2 + wide, narrow], [2 + wide + narrow, narrow]]
      .map(([column, cols]) => columnsOf(qkv, column, cols));
    const caches = {
      keyCache: device.matrix(TOKENS, narrow, type, "keys"),
      valueCache: device.matrix(TOKENS, narrow, type, "values"),
    };
    const positions = device.allocate(4 * TOKENS, "positions");
    device.write(positions, Uint32Array.from({ length: TOKENS }, (_, t) => t));
    const documents = device.allocate(8 * TOKENS, "documents");
    const bounds = Uint32Array.from({ length: 2 * TOKENS }, (_, i) => {
      const t = i >> 1;
      return i % 2 ? Math.min(TOKENS, t + window) : Math.max(0, t - window + 1);
    });
    device.write(documents, bounds);
    const forward = filled(device, TOKENS, wide, NaN);
    const logSumExp = filled(device, TOKENS, heads, NaN);
    const softCap = heads === 3 ? 5 : null;
    const shape = { heads, kvHeads, headDim, scale: 0.3, softCap };
    await runOnce(device, (program) => {
      appendToCache(program, { k, v, ...caches, positions });
      attentionForward(program, { ...shape, q, k, v, documents, output: forward, logSumExp });
    });
    const want = await device.readMatrix(forward);
    const output = filled(device, 1, wide, NaN);
    const length = device.allocate(4, "length");
    // A single key, and the ends of tiles of 16, 32 and 64 keys and of rounds of 128.
    for (const t of [0, 1, 15, 16, 31, 32, 62, 63, 64, 100, 126, 127, 128, 200, 255, 256, 299]) {
      const row = values.subarray(t * width + 2).slice(0, wide);
      const { matrix: step } = uploadMatrix(device, row, 1, wide, type);
      device.write(length, Uint32Array.of(t + 1));
      await runOnce(
        device,
        (program) =>
          attentionDecode(program, {
            ...shape,
            ...caches,
            q: columnsOf(step),
            length,
            window: window === Infinity ? null : window,
            output,
          }),
      );
      const got = await device.readMatrix(output);
      const which = `head ${headDim} in ${type}, window ${window}, token ${t}`;
      expectSameSums(got, want.slice(t * wide, (t + 1) * wide), which);
      device.free(step);
    }
    device.free(qkv, caches.keyCache, caches.valueCache, forward, logSumExp, output);
    device.free(positions, documents, length);
  }
  const forwards = device.kernels().map(({ name }) => name).filter((it) => /_forward/.test(it));
  assertEquals([...new Set(forwards)], ["attention_forward"]);
});

Deno.test("the first token attends to itself alone", async () => {
  const { matrix: qkv, exact } = uploadMatrix(device, randomValues(48, 22), 1, 48);
  const caches = {
    keyCache: device.matrix(4, 16, "f32", "keys"),
    valueCache: device.matrix(4, 16, "f32", "values"),
  };
  const length = device.allocate(4, "length");
  device.write(length, Uint32Array.of(1));
  const output = filled(device, 1, 16, NaN);
  await runOnce(device, (program) => {
    appendToCache(program, {
      k: columnsOf(qkv, 16, 16),
      v: columnsOf(qkv, 32, 16),
      ...caches,
      positions: device.allocate(4, "position"),
    });
    attentionDecode(program, {
      q: columnsOf(qkv, 0, 16),
      ...caches,
      length,
      output,
      heads: 1,
      kvHeads: 1,
      headDim: 16,
    });
  });
  assertEquals([...await device.readMatrix(output)], [...exact.subarray(32)]);
});

Deno.test("tokens past the caches are skipped", async () => {
  const { matrix: kv } = uploadMatrix(device, randomValues(64, 23), 2, 32);
  const caches = {
    keyCache: device.matrix(2, 16, "f32", "keys"),
    valueCache: device.matrix(2, 16, "f32", "values"),
  };
  const positions = device.allocate(8, "positions");
  device.write(positions, Uint32Array.of(2, 4_000_000_000));
  await runOnce(device, (program) =>
    appendToCache(program, {
      k: columnsOf(kv, 0, 16),
      v: columnsOf(kv, 16, 16),
      ...caches,
      positions,
    }));
  assertEquals(await device.readMatrix(caches.keyCache), new Float32Array(32));
  assertEquals(await device.readMatrix(caches.valueCache), new Float32Array(32));
});

Deno.test("decoding refuses operands that do not fit", () => {
  using program = new Program(device);
  const qkv = device.matrix(2, 48, "f32", "qkv");
  const keyCache = device.matrix(4, 16, "f32", "keys");
  const valueCache = device.matrix(4, 16, "f32", "values");
  const append = { k: columnsOf(qkv, 16, 16), v: columnsOf(qkv, 32, 16), keyCache, valueCache };
  const positions = device.allocate(16, "positions");
  const other = device.matrix(5, 16, "f32", "values");
  assertThrows(
    () => appendToCache(program, { ...append, positions, valueCache: other }),
    RangeError,
    "appendToCache: valueCache is 5×16 (pitch 16), not 4×16 (pitch 16)",
  );
  assertThrows(
    () => appendToCache(program, { ...append, positions, k: columnsOf(qkv, 0, 8) }),
    RangeError,
    "appendToCache: k is 2×8, not 2×16",
  );
  assertThrows(
    () => appendToCache(program, { ...append, positions: { ...positions, size: 4 } }),
    RangeError,
    "appendToCache: positions has 4 bytes, not 4 for each of 2 tokens",
  );
  const halves = device.matrix(4, 16, "f16", "values");
  assertThrows(
    () => appendToCache(program, { ...append, positions, valueCache: halves }),
    TypeError,
    "appendToCache: valueCache is f16, not f32",
  );
  const output = device.matrix(1, 16, "f32", "output");
  const decode = { keyCache, valueCache, length: positions, output, heads: 1, kvHeads: 1 };
  assertThrows(
    () => attentionDecode(program, { ...decode, q: columnsOf(qkv, 0, 16), headDim: 16 }),
    RangeError,
    "attentionDecode: q is 2×16, not 1×16",
  );
  const one = device.matrix(1, 48, "f32", "qkv");
  assertThrows(
    () => attentionDecode(program, { ...decode, q: columnsOf(one, 0, 8), headDim: 8 }),
    RangeError,
    "attentionDecode: keyCache is 4×16 (pitch 16), not 4×8 (pitch 16)",
  );
});
