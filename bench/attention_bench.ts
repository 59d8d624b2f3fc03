/**
 * How fast attention is on this GPU, and whether it is right.
 *
 * `deno run -A bench/attention_bench.ts` times forward and backward at LLaMA-7B shapes: 16
 * documents of 512 tokens, 32 heads of 128. `--documents --length --heads --kv-heads --head-dim
 * --repeats` change them, `--qkv f16` the type of q, k and v, `--gradient` the size of the output's gradient, `--provider
 * native|dawn|auto` the WebGPU. The last document is compared with the f64 oracle for the last key
 * head and its query heads, which takes seconds for 512 tokens and grows with the square.
 *
 * `--sweep` also times and checks the tensor-core kernels with every tile that they can have. A
 * difference that rounding does not explain is an error. Tests check small odd shapes (docs/DAWN.md
 * explains how to run them on tensor cores).
 *
 * TFLOP/s count the products over visible keys only: 4, 6 and 8 · headDim for each (query, key,
 * head) in the forward, the queries' and the keys' gradients.
 *
 * @module
 */

import { choice, group, number, toggle, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device } from "../src/gpu/device.ts";
import type { Tuning } from "../src/gpu/tuning.ts";
import { Program } from "../src/gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../src/gpu/subgroup_matrix.ts";
import { attentionBackward, attentionForward } from "../src/kernels/attention/attention.ts";
import {
  attentionTensorBackward,
  attentionTensorForward,
  suitsTensorTile,
  TENSOR_KERNELS,
  TENSOR_TILES,
  type TensorTile,
  tensorTilesFor,
} from "../src/kernels/attention/tensor.ts";
import { withAttentionCosts } from "./support/attention_costs.ts";
import { AttentionRun } from "./support/attention_run.ts";
import { measure, teraflops } from "./support/measure.ts";
import { readFlags, runScript } from "./support/script.ts";

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Attention", {
    documents: whole("Documents", "16"),
    length: whole("Tokens per document", "512"),
    heads: whole("Query heads", "32"),
    kvHeads: whole("Key and value heads", "as many as query heads"),
    headDim: whole("Components per head", "128"),
    gradient: number("Standard deviation of the output's gradient", "1"),
    qkv: choice(["f32", "f16"], "Element type of q, k and v", "f32"),
    repeats: whole("Timed runs", "9"),
    unroll: choice(["16", "8", "4", "2"], "Slices that native attention writes out", "8"),
    sweep: toggle("Time all tiles of the kernels for tensor cores"),
  }),
};

/** Largest errors that rounding explains: to f32, and of factors and probabilities to f16. */
const [F32_TOLERANCE, F16_TOLERANCE] = [1e-5, 2e-3];

/** Recorders of both passes. */
type AttentionRecorders =
  & Record<"forward", typeof attentionForward>
  & Record<"backward", typeof attentionBackward>;

/** The kernels that training runs. */
const CHOSEN: AttentionRecorders = { forward: attentionForward, backward: attentionBackward };

/**
 * Compares and times with a command line's words; ends the process by code 1 where a result is
 * wrong.
 */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const { documents = 16, length = 512, heads = 32, headDim = 128, repeats = 9, ...values } =
    readFlags(args, FLAGS);
  const { kvHeads = heads, gradient: gradientScale, qkv: qkvType } = values;
  const shape = { documents, length, heads, kvHeads, headDim, gradientScale, qkvType };
  using device = await openDevice(values, terminal);
  if (values.unroll) {
    const attentionUnroll = Number(values.unroll) as Tuning["attentionUnroll"];
    device.tuning = { ...device.tuning, attentionUnroll };
  }
  terminal.stdout(`${device.name} (${device.provider}): ${JSON.stringify(shape)}\n`);
  const tensor = supportsMatrix(device, F16_MATRIX);
  const half = !tensor && device.hasF16 && qkvType === "f16";
  const tolerance = tensor || half ? F16_TOLERANCE : F32_TOLERANCE;
  using attention = await AttentionRun.open(device, shape);
  const all: [string, AttentionRecorders, number][] = [["as trained", CHOSEN, tolerance]];
  if (values.sweep) {
    for (const [tile, recorders] of sweep(device, headDim)) {
      all.push([tile, recorders, F16_TOLERANCE]);
    }
  }
  for (const [name, { forward, backward }, tolerance] of all) {
    using program = new Program(device);
    attention.forward(program, forward);
    attention.backward(program, backward);
    const started = performance.now();
    (await program.prepare()).run();
    await device.finish();
    const firstMs = performance.now() - started;
    terminal.stdout(`\n${name}: first run, compilation included: ${firstMs.toFixed(0)} ms\n`);
    const errors = await attention.errors();
    terminal.stdout(showErrors("the last document and key head", errors, tolerance));
    const times = withAttentionCosts(await measure(program, { repeats }), {
      config: { numHeads: heads, headDim },
      batchSize: documents,
      sequenceLength: length,
    });
    for (const { kernel, ms, flops } of times) {
      const rate = flops > 0 ? `${teraflops(flops, ms).toFixed(1).padStart(10)} TFLOP/s` : "";
      terminal.stdout(`${kernel.padEnd(32)}${ms.toFixed(3).padStart(10)} ms${rate}\n`);
    }
  }
}

/**
 * Every tile, in all of the three kernels that can have it at once, and in the others the one used.
 */
function* sweep(device: Device, headDim: number): Generator<[string, AttentionRecorders]> {
  for (const columns of [32, 64]) {
    for (const subgroups of [4, 6, 8, 12]) {
      const tile: TensorTile = { subgroups, columns };
      const suited = TENSOR_KERNELS.filter((kernel) =>
        suitsTensorTile(device, kernel, tile, headDim)
      );
      if (suited.length === 0) continue;
      const tiles = { ...tensorTilesFor(device, headDim) ?? TENSOR_TILES };
      for (const kernel of suited) tiles[kernel] = tile;
      yield [`${subgroups} subgroups, ${columns} columns: ${suited.join(", ")}`, {
        forward: (program, options) => attentionTensorForward(program, options, tiles.forward),
        backward: (program, options) => attentionTensorBackward(program, options, tiles),
      }];
    }
  }
}

/** A line of errors; one that rounding does not explain sets the exit code. */
function showErrors(what: string, errors: Record<string, number>, tolerance: number): string {
  const numbers = Object.entries(errors).map(([name, error]) => {
    const right = error < tolerance;
    if (!right) Deno.exitCode = 1;
    return `${name} ${error.toExponential(1)}${right ? "" : " WRONG"}`;
  });
  return `${what}: errors ${numbers.join(", ")}\n`;
}

if (import.meta.main) await runScript(run);
