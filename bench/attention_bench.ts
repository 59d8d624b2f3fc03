/**
 * How fast attention is on this GPU, and whether it is right.
 *
 * `deno run -A bench/attention_bench.ts` times forward and backward at LLaMA-7B shapes: 16 documents of 512
 * tokens, 32 heads of 128. `--documents --length --heads --kv-heads --head-dim --repeats` change them,
 * `--gradient` the size of the output's gradient, `--gpu native|dawn|auto` the WebGPU. The last document is
 * compared with the f64 oracle for the last key head and its query heads, which takes seconds for 512 tokens
 * and grows with the square.
 *
 * `--odd` first compares small odd shapes in full. `--sweep` also times, and compares, the tensor core
 * kernels with each of the tiles that they could have. A difference that rounding does not explain is an error.
 *
 * TFLOP/s count the products over visible keys only: 4, 6 and 8 · headDim for each (query, key, head) in
 * the forward, the queries' and the keys' gradients.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { columnsOf } from "../src/gpu/buffers.ts";
import { type Provider, requestDevice } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import { attentionBackward, attentionForward } from "../src/kernels/attention.ts";
import {
  attentionMatrixBackward,
  attentionMatrixForward,
  MATRIX_TILES,
  type MatrixTile,
  matrixTileBytes,
} from "../src/kernels/attention_matrix.ts";
import { rope, uploadRopeFrequencies } from "../src/kernels/rope.ts";
import * as reference from "../src/reference/attention.ts";
import {
  type AttentionCase,
  type AttentionRecorders,
  documentBounds,
  runAttention,
  takeColumns,
} from "../tests/support/attention.ts";
import { relativeError } from "../tests/support/gpu.ts";

/** Products of a tile by kernel: operations are 2 · headDim times that for each visible pair. */
const PRODUCTS: Readonly<Record<string, number>> = {
  attention_forward: 2,
  attention_backward_queries: 3,
  attention_backward_keys_values: 4,
  attention_matrix_forward: 2,
  attention_matrix_queries: 3,
  attention_matrix_keys_values: 4,
};

/** Shapes that fit no tile, for `--odd`. */
const ODD_CASES: readonly AttentionCase[] = [
  { headDim: 16, heads: 2, kvHeads: 1, lengths: [1] },
  { headDim: 64, heads: 3, kvHeads: 2, lengths: [1, 3, 17, 130, 1] },
  { headDim: 80, heads: 2, kvHeads: 2, lengths: [130, 3] },
  { headDim: 96, heads: 4, kvHeads: 1, lengths: [17, 130, 1, 64], gradientScale: 1e-7 },
  { headDim: 128, heads: 4, kvHeads: 2, lengths: [1, 3, 17, 130], gradientScale: 1e-9 },
  { headDim: 128, heads: 2, kvHeads: 2, lengths: [200, 100], scale: 4 },
];

const flags = parseArgs(Deno.args, {
  string: [
    "documents",
    "length",
    "heads",
    "kv-heads",
    "head-dim",
    "repeats",
    "gradient",
    "gpu",
  ],
  boolean: ["odd", "sweep"],
  default: { gpu: "native" },
});
const count = (name: "documents" | "length" | "heads" | "kv-heads" | "head-dim" | "repeats") =>
  flags[name] === undefined ? undefined : Number(flags[name]);
const documents = count("documents") ?? 16;
const length = count("length") ?? 512;
const heads = count("heads") ?? 32;
const kvHeads = count("kv-heads") ?? heads;
const headDim = count("head-dim") ?? 128;
const repeats = count("repeats") ?? 9;
const gradientScale = Number(flags.gradient ?? 1);

const tokens = documents * length;
const [wide, narrow] = [heads * headDim, kvHeads * headDim];
const width = wide + 2 * narrow;
using device = await requestDevice({ provider: flags.gpu as Provider | "auto" });
console.log(
  `${
    device.info.description || device.info.device
  } (${device.provider}): ${documents} documents of ` +
    `${length} tokens, ${heads} heads (${kvHeads} for keys) of ${headDim}`,
);
/** What rounding to f32 explains, and rounding factors and probabilities to f16. */
const [F32_TOLERANCE, F16_TOLERANCE] = [1e-5, 2e-3];
let failed = false;

/** Uniform in [-scale, scale), repeated with a prime period, so that no two rows or heads are alike. */
function testData(size: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  const block = new Float32Array(1_000_003);
  let state = seed;
  for (let i = 0; i < block.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[i] = (state / 2 ** 31 - 1) * scale;
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
const dOutputValues = testData(tokens * wide, 2, gradientScale);
device.writeMatrix(qkv, qkvValues);
device.writeMatrix(dOutput, dOutputValues);
device.write(bounds, documentBounds(new Array(documents).fill(length)));
device.write(positions, Uint32Array.from({ length: tokens }, (_, t) => t % length));

const shape = { heads, kvHeads, headDim };
const q = columnsOf(qkv, 0, wide);
const k = columnsOf(qkv, wide, narrow);
const v = columnsOf(qkv, wide + narrow, narrow);
const inputs = { ...shape, q, k, v, documents: bounds, output, logSumExp };
const pairs = documents * length * (length + 1) / 2 * heads;
const oracle = lastHead();

const chosen: AttentionRecorders = { forward: attentionForward, backward: attentionBackward };
const tolerance = device.hasSubgroupMatrix ? F16_TOLERANCE : F32_TOLERANCE;
for (const odd of flags.odd ? ODD_CASES : []) {
  const { errors } = await runAttention(device, { gap: 4, ...odd });
  report(JSON.stringify(odd), errors, tolerance);
}
await measure(chosen, tolerance);
for (const [name, recorders] of flags.sweep ? sweep() : []) {
  console.log(`\n${name}`);
  await measure(recorders, F16_TOLERANCE);
}

console.log();
using turning = new Program(device);
const inverseFrequencies = Float32Array.from(
  { length: headDim / 2 },
  (_, i) => 10_000 ** (-2 * i / headDim),
);
const frequencies = uploadRopeFrequencies(device, inverseFrequencies);
rope(turning, { ...shape, qkv, positions, frequencies });
await turning.prepare();
await time(turning);
if (failed) Deno.exitCode = 1;

/** Every tile that fits, in all three kernels at once. */
function* sweep(): Generator<[string, AttentionRecorders]> {
  for (const columns of [32, 64]) {
    for (const subgroups of [4, 6, 8, 12]) {
      for (const tiles of [1, 2] as const) {
        const forward: MatrixTile = { subgroups, columns, tiles };
        // One tile is for the forward only.
        const backward: MatrixTile = tiles === 2 ? forward : MATRIX_TILES.queries;
        const bytes = Math.max(
          ...[forward, backward].map((tile) => matrixTileBytes(tile, headDim)),
        );
        if (bytes > device.limits.maxComputeWorkgroupStorageSize) continue;
        yield [`${subgroups} subgroups, ${columns} columns, ${tiles} tiles`, {
          forward: (program, options) => attentionMatrixForward(program, options, forward),
          backward: (program, options) =>
            attentionMatrixBackward(program, options, {
              forward,
              queries: backward,
              keysValues: backward,
            }),
        }];
      }
    }
  }
}

/** Runs once, compares, and prints times. */
async function measure(
  { forward, backward }: AttentionRecorders,
  tolerance: number,
): Promise<void> {
  using program = new Program(device);
  forward(program, inputs);
  backward(program, {
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
  const [gotQ, gotK, gotV] = lastBlocks(await device.readMatrix(gradients));
  report("the last document and key head", {
    output: relativeError(lastQueries(await device.readMatrix(output)), oracle.out),
    logSumExp: relativeError(
      take(await device.readMatrix(logSumExp), heads, heads - oracle.group, oracle.group),
      oracle.logSumExp,
    ),
    dQ: relativeError(gotQ, oracle.dq),
    dK: relativeError(gotK, oracle.dk),
    dV: relativeError(gotV, oracle.dv),
  }, tolerance);
  await time(program);
}

/** Prints the median time of every kernel, and its rate where it is bound by arithmetic. */
async function time(program: Program): Promise<void> {
  await program.profile(2); // clocks rise
  for (const { kernel, ms } of await program.profile(repeats)) {
    const products = PRODUCTS[kernel];
    const rate = products
      ? `${(2 * headDim * products * pairs / ms / 1e9).toFixed(1).padStart(10)} TFLOP/s`
      : "";
    console.log(`${kernel.padEnd(32)}${ms.toFixed(3).padStart(10)} ms${rate}`);
  }
}

/** Prints errors, and which of them rounding does not explain. */
function report(what: string, errors: Record<string, number>, tolerance: number): void {
  const numbers = Object.entries(errors).map(([name, error]) => {
    const wrong = !(error < tolerance);
    failed ||= wrong;
    return `${name} ${error.toExponential(1)}${wrong ? " WRONG" : ""}`;
  });
  console.log(`${what}: errors ${numbers.join(", ")}`);
}

/** Columns of the last document's rows. */
function take(values: Float32Array, rowWidth: number, column: number, cols: number): Float64Array {
  return takeColumns(values.subarray((tokens - length) * rowWidth), rowWidth, { column, cols });
}

/** What belongs to the query heads of the last key head. */
function lastQueries(values: Float32Array): Float64Array {
  const group = Math.ceil(heads / kvHeads);
  return take(values, wide, (heads - group) * headDim, group * headDim);
}

/** Queries, key and value of the last key head. */
function lastBlocks(values: Float32Array): Float64Array[] {
  const group = Math.ceil(heads / kvHeads);
  const keyColumn = wide + narrow - headDim;
  return [
    take(values, width, (heads - group) * headDim, group * headDim),
    take(values, width, keyColumn, headDim),
    take(values, width, keyColumn + narrow, headDim),
  ];
}

/** What the last document and key head should be, by the f64 oracle. */
function lastHead() {
  const group = Math.ceil(heads / kvHeads);
  const one = {
    numHeads: group,
    numKeyValueHeads: 1,
    headDim,
    documentStart: new Uint32Array(length),
  };
  const [q64, k64, v64] = lastBlocks(qkvValues);
  const want = reference.attention(q64, k64, v64, one);
  const dOut = lastQueries(dOutputValues);
  return {
    ...want,
    ...reference.attentionBackward(dOut, q64, k64, v64, want, one),
    group,
  };
}
