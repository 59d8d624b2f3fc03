/**
 * How fast a step's smaller kernels are on this GPU, and whether they are right at that size: the
 * weight update, dB, rotary embedding, cross-entropy, embedding, norm and AdamW, NF4 weights.
 *
 * `deno run -A bench/update_bench.ts` takes the sizes of LLaMA-7B: 8192 tokens, rank 64.
 * `--provider native|dawn` chooses the WebGPU, `--only rope` the cases by a part of their name,
 * `--sweep` adds every tile of the update and of dB, `--tokens --hidden --ffn --heads --vocab
 * --rank --layers --repeats` change sizes.
 *
 * Times are medians of all dispatches together. TFLOP/s and GB/s count the operations and bytes
 * that are necessary, `copy` is GB/s over the copy bandwidth in this run. Every case is first
 * compared with its CPU twin: a case that is wrong ends the bench with an error, after all of them
 * have run.
 *
 * @module
 */

import { group, text, toggle, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import { copyBandwidth } from "./support/copy.ts";
import { gigabytes, measure, teraflops, totalMs } from "./support/measure.ts";
import { nf4Case } from "./support/nf4_case.ts";
import { readFlags, runScript } from "./support/script.ts";
import { crossEntropyCase, embeddingCase, optimizerCase, ropeCase } from "./support/small_cases.ts";
import {
  type BenchCase,
  gradientCase,
  gradientWays,
  type StepSizes,
  UPDATE_WAYS,
  updateCase,
  updateTiles,
  type UpdateWay,
} from "./support/update_cases.ts";

const LLAMA_7B: StepSizes = {
  tokens: 8192,
  hidden: 4096,
  ffn: 11008,
  heads: 32,
  vocab: 32000,
  rank: 64,
  layers: 8,
};

/** Sizes for an emulated GPU. */
const SMALL: StepSizes = {
  tokens: 128,
  hidden: 128,
  ffn: 344,
  heads: 4,
  vocab: 500,
  rank: 24,
  layers: 2,
};

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Step", {
    tokens: whole("Tokens"),
    hidden: whole("Width of the residual stream"),
    ffn: whole("Width of the feed-forward network"),
    heads: whole("Query heads"),
    vocab: whole("Tokens of the vocabulary"),
    rank: whole("Rank of the adapters"),
    layers: whole("Blocks whose parameters the optimizer has"),
    only: text("TEXT", "Cases with this in their name", "all"),
    sweep: toggle("Time every tile of the update and of dB"),
    repeats: whole("Timed runs", "9"),
  }),
};

/** Every case, made when it is its turn. */
function cases(
  device: Device,
  sizes: StepSizes,
  sweep: boolean,
): { name: string; make: () => Promise<BenchCase> }[] {
  const { tokens, hidden, ffn, vocab } = sizes;
  const shapes = [[hidden, hidden], [ffn, hidden], [hidden, ffn]] as const;
  const chunks = [Math.min(tokens, 2048), tokens].filter((rows, i, all) => all.indexOf(rows) === i);
  const tiles = (way: UpdateWay) => sweep ? updateTiles(device, sizes, way) : [undefined];
  return [
    ...shapes.flatMap((shape) =>
      UPDATE_WAYS.flatMap((way) =>
        tiles(way).map((tile) => ({
          name: `update ${way.type} ${way.rule} ${shape.join("×")}`,
          make: () => updateCase(device, sizes, shape, way, tile),
        }))
      )
    ),
    ...[hidden, ffn].flatMap((outputs) =>
      gradientWays(device, sweep).map((way) => ({
        name: "dB",
        make: () => gradientCase(device, sizes, outputs, way),
      }))
    ),
    { name: "rope", make: () => ropeCase(device, sizes) },
    ...chunks.flatMap((rows) =>
      ([null, "f16"] as const).map((type) => ({
        name: `cross-entropy ${vocab}`,
        make: () => crossEntropyCase(device, sizes, rows, type),
      }))
    ),
    { name: "embedding", make: () => embeddingCase(device, sizes) },
    { name: "optimizer", make: () => optimizerCase(device, sizes) },
    { name: "NF4", make: () => nf4Case(device, sizes, "quantise") },
    { name: "NF4", make: () => nf4Case(device, sizes, "decode") },
  ];
}

/** Times one case and checks it. */
async function time(
  device: Device,
  { name, flops, bytes, tolerance, record, check, free }: BenchCase,
  copy: number,
  repeats: number,
): Promise<{ line: string; right: boolean }> {
  using program = new Program(device);
  record(program);
  (await program.prepare()).run();
  const error = await check();
  const right = error <= tolerance;
  const times = await measure(program, { repeats });
  const ms = totalMs(times);
  const rate = gigabytes(bytes, ms);
  const line = [
    name.padEnd(64),
    `${ms.toFixed(4)} ms`.padStart(12),
    flops > 0 ? `${teraflops(flops, ms).toFixed(1)} TFLOP/s`.padStart(14) : "".padStart(14),
    `${rate.toFixed(0)} GB/s`.padStart(10),
    `${(100 * rate / copy).toFixed(0)} % copy`.padStart(11),
    `error ${error.toExponential(1)}${right ? "" : ` WRONG: over ${tolerance}`}`,
    times.length > 1 ? times.map(({ kernel, ms }) => `${kernel} ${ms.toFixed(4)}`).join(", ") : "",
  ].join("  ").trimEnd();
  free();
  return { line, right };
}

/** Times all cases with a command line's words; ends the process by code 1 where one is wrong. */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const { provider, only = "", sweep = false, repeats = 9, ...given } = readFlags(args, FLAGS);
  using device = await openDevice({ provider }, terminal);
  const sizes: StepSizes = { ...device.isFallback ? SMALL : LLAMA_7B, ...given };
  const copy = await copyBandwidth(device, device.isFallback ? 1 << 22 : undefined);
  terminal.stdout(`${device.name} (${device.provider}): copy ${copy.toFixed(0)} GB/s\n`);
  for (const { name, make } of cases(device, sizes, sweep)) {
    if (!name.includes(only)) continue;
    const { line, right } = await time(device, await make(), copy, repeats);
    terminal.stdout(`${line}\n`);
    if (!right) Deno.exitCode = 1;
  }
}

if (import.meta.main) await runScript(run);
