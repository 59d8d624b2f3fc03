/**
 * The parts of a training step, compared under `deno bench`: GEMMs, row kernels, attention, a
 * block, whole steps by method.
 *
 * `deno bench -A bench/overview_bench.ts` (or `deno task bench`) takes the sizes of LLaMA-7B on a
 * GPU, tiny ones on an emulated GPU. `-- --provider dawn` chooses the WebGPU. See
 * support/deno_bench.ts for what the times mean.
 *
 * @module
 */

import { trainingMethod } from "../src/cli/method.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import { processTerminal } from "../src/cli/terminal.ts";
import { Program } from "../src/gpu/program.ts";
import { chooseVariant, GEMM_VARIANTS } from "../src/kernels/gemm/variants.ts";
import { GemmRun } from "./gemm_bench.ts";
import { architecture } from "./support/architecture.ts";
import { AttentionRun } from "./support/attention_run.ts";
import { benchGroup, type Runnable } from "./support/deno_bench.ts";
import { RowCases } from "./support/row_cases.ts";
import { readFlags } from "./support/script.ts";
import { Training } from "./support/training.ts";

const device = await openDevice(readFlags(Deno.args, GPU_FLAGS), processTerminal());
const small = device.isFallback;
const width = small ? "tiny" : "7b";
const [batchSize, sequenceLength, rank] = small ? [2, 32, 8] : [16, 512, 64];
const tokens = batchSize * sequenceLength;
const { hiddenSize, intermediateSize, numHeads, numKeyValueHeads, headDim } = architecture(
  { width, layers: 1 },
  sequenceLength,
);
/** Runs of kernels and of steps per iteration. */
const [kernelRuns, stepRuns] = small ? [16, 1] : [64, 2];

/** Output features and input features of linear layers: o, gate and up together, down. */
const linears = [
  [hiddenSize, hiddenSize],
  [2 * intermediateSize, hiddenSize],
  [hiddenSize, intermediateSize],
];
for (const [[outputs, inputs], layout] of linears.flatMap((l) => [[l, "nt"], [l, "nn"]] as const)) {
  const [n, k] = layout === "nt" ? [outputs, inputs] : [inputs, outputs];
  const shape = { m: tokens, n, k };
  const open = (types: GemmTypes) => async () => {
    const [aType, bType] = types;
    const variant = aType === "f32"
      ? GEMM_VARIANTS.large
      : chooseVariant(device, { ...shape, aType, bType });
    const product = new GemmRun(device, { layout, ...shape, types, variant });
    await product.program.prepare();
    return running(product.program, product);
  };
  benchGroup(device, {
    name: `product ${layout} ${shape.m}×${shape.n}×${shape.k}`,
    runs: kernelRuns,
    variants: {
      fp8: open([layout === "nt" ? "e4m3" : "e5m2", "e4m3"]),
      f16: open(["f16", "f16"]),
      f32: open(["f32", "f32"]),
    },
  });
}

const rowShape = { rows: tokens, cols: hiddenSize, ffn: intermediateSize };
benchGroup(device, {
  name: "rows",
  runs: kernelRuns,
  variants: Object.fromEntries(
    namesOfRowCases().map((name, i) => [name, async () => {
      const cases = new RowCases(device, rowShape);
      await cases.fill();
      const program = new Program(device);
      cases.list()[i].record(program);
      return running(await program.prepare(), cases);
    }]),
  ),
});

benchGroup(device, {
  name: "attention",
  runs: Math.ceil(kernelRuns / 8),
  variants: { "forward": () => openAttention(false), "and backward": () => openAttention(true) },
});

benchGroup(device, {
  name: "one block, forward and backward",
  runs: stepRuns * 4,
  variants: {
    falqon: () => openTraining("falqon", 1, true),
    lora: () => openTraining("lora", 1, true),
  },
});

benchGroup(device, {
  name: "step of two blocks",
  runs: stepRuns,
  variants: Object.fromEntries(
    ["falqon", "fp8-lora", "torchao-style", "lora f16", "qlora", "lora"]
      .map((name) => [name, () => openTraining(name, 2, false)]),
  ),
});

type GemmTypes = ConstructorParameters<typeof GemmRun>[1]["types"];

function running(program: Program, ...owned: Disposable[]): Runnable {
  return {
    run: () => program.run(),
    [Symbol.dispose]() {
      program[Symbol.dispose]();
      for (const each of owned) each[Symbol.dispose]();
    },
  };
}

function namesOfRowCases(): string[] {
  using cases = new RowCases(device, { rows: 1, cols: 16, ffn: 16 });
  return cases.list().map(({ name }) => name);
}

async function openAttention(backward: boolean): Promise<Runnable> {
  const attention = await AttentionRun.open(device, {
    documents: batchSize,
    length: sequenceLength,
    heads: numHeads,
    kvHeads: numKeyValueHeads,
    headDim,
  });
  const program = new Program(device);
  attention.forward(program);
  if (backward) attention.backward(program);
  return running(await program.prepare(), attention);
}

/**
 * A model of some blocks under a method; `blocks`: forward and backward only, with a tiny
 * vocabulary.
 */
async function openTraining(name: string, layers: number, blocks: boolean): Promise<Runnable> {
  const [methodName, base] = name.split(" ");
  const values = { method: methodName, base, rank } as Parameters<typeof trainingMethod>[0];
  const training = await Training.open(device, {
    config: architecture({ width, layers, ...(blocks && { vocab: 64 }) }, sequenceLength),
    method: await trainingMethod(values, device, processTerminal()),
    batchSize,
    sequenceLength,
    gradientCheckpointing: false,
    seed: 0,
  });
  await training.begin();
  return {
    run: () => blocks ? training.backward() : training.submit(),
    [Symbol.dispose]: () => training[Symbol.dispose](),
  };
}
