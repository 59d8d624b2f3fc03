/**
 * How fast attention is on this GPU, and whether it is right at that size.
 *
 * `deno run -A bench/attention_bench.ts` times forward and backward at LLaMA-7B shapes: 16 documents of 512
 * tokens, 32 heads of 128. `--documents --length --heads --kv-heads --head-dim --repeats` change them. The
 * last document is compared with the f64 oracle for the last key head and its query heads, which takes
 * seconds for 512 tokens and grows with the square.
 *
 * GFLOP/s count the products over visible keys only: 4, 6 and 8 · headDim for each (query, key, head) in
 * the forward, the queries' and the keys' gradients.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { columnsOf } from "../src/gpu/buffers.ts";
import { requestDevice } from "../src/gpu/device.ts";
import { type KernelTime, Program } from "../src/gpu/program.ts";
import { attentionBackward, attentionForward } from "../src/kernels/attention.ts";
import { rope, uploadRopeFrequencies } from "../src/kernels/rope.ts";
import * as reference from "../src/reference/attention.ts";
import { documentBounds, takeColumns } from "../tests/support/attention.ts";
import { relativeError } from "../tests/support/gpu.ts";

/** Products of a tile by kernel: operations are 2 · headDim times that for each visible pair. */
const PRODUCTS: Readonly<Record<string, number>> = {
  attention_forward: 2,
  attention_backward_queries: 3,
  attention_backward_keys_values: 4,
};

const flags = parseArgs(Deno.args, {
  string: ["documents", "length", "heads", "kv-heads", "head-dim", "repeats"],
});
const count = (name: keyof typeof flags, otherwise: number) => Number(flags[name] ?? otherwise);
const documents = count("documents", 16);
const length = count("length", 512);
const heads = count("heads", 32);
const kvHeads = count("kv-heads", heads);
const headDim = count("head-dim", 128);
const repeats = count("repeats", 9);

const tokens = documents * length;
const [wide, narrow] = [heads * headDim, kvHeads * headDim];
const width = wide + 2 * narrow;
using device = await requestDevice();
console.log(
  `${device.info.description || device.info.device}: ${documents} documents of ${length} tokens, ` +
    `${heads} heads (${kvHeads} for keys) of ${headDim}`,
);

/** Uniform in [-1, 1), repeated with a prime period, so that no two rows or heads are alike. */
function testData(size: number, seed: number): Float32Array<ArrayBuffer> {
  const block = new Float32Array(1_000_003);
  let state = seed;
  for (let i = 0; i < block.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[i] = state / 2 ** 31 - 1;
  }
  const data = new Float32Array(size);
  for (let at = 0; at < size; at += block.length) {
    data.set(block.subarray(0, Math.min(block.length, size - at)), at);
  }
  return data;
}

const qkv = device.matrix(tokens, width, "f32", "qkv");
const dOutput = device.matrix(tokens, wide, "f32", "dOutput");
const output = device.matrix(tokens, wide, "f32", "output");
const logSumExp = device.matrix(tokens, heads, "f32", "logSumExp");
const gradients = device.matrix(tokens, width, "f32", "gradients");
const bounds = device.allocate(8 * tokens, "documents");
const positions = device.allocate(4 * tokens, "positions");
const qkvValues = testData(tokens * width, 1);
const dOutputValues = testData(tokens * wide, 2);
device.writeMatrix(qkv, qkvValues);
device.writeMatrix(dOutput, dOutputValues);
device.write(bounds, documentBounds(new Array(documents).fill(length)));
device.write(positions, Uint32Array.from({ length: tokens }, (_, t) => t % length));

const shape = { heads, kvHeads, headDim };
const q = columnsOf(qkv, 0, wide);
const k = columnsOf(qkv, wide, narrow);
const v = columnsOf(qkv, wide + narrow, narrow);
const inputs = { ...shape, q, k, v, documents: bounds, output, logSumExp };
using program = new Program(device);
attentionForward(program, inputs);
attentionBackward(program, {
  ...inputs,
  dOutput,
  dQ: { ...q, matrix: gradients },
  dK: { ...k, matrix: gradients },
  dV: { ...v, matrix: gradients },
});
const started = performance.now();
await program.prepare();
program.run();
await device.finish();
console.log(`first run, compilation included: ${(performance.now() - started).toFixed(0)} ms`);

await check();

using turning = new Program(device);
const inverseFrequencies = Float32Array.from(
  { length: headDim / 2 },
  (_, i) => 10_000 ** (-2 * i / headDim),
);
const frequencies = uploadRopeFrequencies(device, inverseFrequencies);
rope(turning, { ...shape, qkv, positions, frequencies });
await turning.prepare();
const pairs = documents * length * (length + 1) / 2 * heads;
await report(program);
await report(turning);

/** Prints the median time of every kernel, and its rate where it is bound by arithmetic. */
async function report(measured: Program): Promise<void> {
  const runs: KernelTime[][] = [];
  for (let i = 0; i < repeats; i++) runs.push(await measured.profile());
  runs[0].forEach(({ kernel }, i) => {
    const ms = runs.map((run) => run[i].ms).sort((a, b) => a - b)[repeats >> 1];
    const products = PRODUCTS[kernel];
    const rate = products
      ? `${(2 * headDim * products * pairs / ms / 1e6).toFixed(1).padStart(10)} GFLOP/s`
      : "";
    console.log(`${kernel.padEnd(32)}${ms.toFixed(3).padStart(10)} ms${rate}`);
  });
}

/** Compares the last document and key head with the oracle; throws beyond f32 rounding. */
async function check(): Promise<void> {
  const group = Math.ceil(heads / kvHeads);
  const first = tokens - length;
  const take = (values: Float32Array, rowWidth: number, column: number, cols: number) =>
    takeColumns(values.subarray(first * rowWidth), rowWidth, { column, cols });
  const queryColumn = (heads - group) * headDim;
  const keyColumn = wide + narrow - headDim;
  const block = (values: Float32Array) => [
    take(values, width, queryColumn, group * headDim),
    take(values, width, keyColumn, headDim),
    take(values, width, keyColumn + narrow, headDim),
  ];
  const [q64, k64, v64] = block(qkvValues);
  const one = {
    numHeads: group,
    numKeyValueHeads: 1,
    headDim,
    documentStart: new Uint32Array(length),
  };
  const want = reference.attention(q64, k64, v64, one);
  const dOut = take(dOutputValues, wide, queryColumn, group * headDim);
  const { dq, dk, dv } = reference.attentionBackward(dOut, q64, k64, v64, want, one);
  const [gotQ, gotK, gotV] = block(await device.readMatrix(gradients));
  const comparisons: [string, Float64Array, Float64Array][] = [
    ["output", take(await device.readMatrix(output), wide, queryColumn, group * headDim), want.out],
    [
      "logSumExp",
      take(await device.readMatrix(logSumExp), heads, heads - group, group),
      want.logSumExp,
    ],
    ["dQ", gotQ, dq],
    ["dK", gotK, dk],
    ["dV", gotV, dv],
  ];
  for (const [name, got, exact] of comparisons) {
    const error = relativeError(got, exact);
    console.log(`${name.padEnd(32)}error ${error.toExponential(1)}`);
    if (!(error < 1e-5)) throw new Error(`${name} is wrong`);
  }
}
