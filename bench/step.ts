/**
 * How long a training step takes: real steps of a LLaMA model with random weights, made on the GPU,
 * and random tokens.
 *
 * ```sh
 * deno run -A bench/step.ts --width 7b --layers 8 --batch 16 --sequence-length 512 --rank 64 \
 *   --method falqon --provider native
 * ```
 *
 * Prints a line of JSON ({@linkcode StepResult}); progress goes to stderr. `--profile` adds a table
 * of the kernels with their rates, `--trace FILE` writes every dispatch.
 *
 * Steps are submitted back to back, as `Trainer` does between two read-backs, with a GPU timestamp
 * at the end of each: `stepMs` is the median time from one end to the next. It includes everything,
 * also the host's work where the GPU waits for it. `wallMs` is the same by the clock of the host.
 * Phases and kernels come from runs of their own with a timestamp around every dispatch, which
 * cannot overlap then: their sum may be a little above or below the step.
 *
 * @module
 */

import { trainingMethod } from "../src/cli/method.ts";
import { UsageError } from "../src/cli/errors.ts";
import { group, path, renamed, text, toggle, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { METHOD_FLAGS } from "../src/cli/method_flags.ts";
import { GPU_FLAGS, type MethodValues } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device } from "../src/gpu/device.ts";
import type { KernelTime } from "../src/gpu/program.ts";
import { planMemory } from "../src/train/memory.ts";
import { architecture, ARCHITECTURE_FLAGS } from "./support/architecture.ts";
import { withAttentionCosts } from "./support/attention_costs.ts";
import { median, totalMs } from "./support/measure.ts";
import { profileTable, sumBy } from "./support/profile_table.ts";
import { readFlags, runScript } from "./support/script.ts";
import { StepClock } from "./support/step_clock.ts";
import { Training, type TrainingShape } from "./support/training.ts";

/** Steps before the timed ones. */
const WARMUP = 3;

/** Flags of this script. */
export const FLAGS = {
  ...GPU_FLAGS,
  ...ARCHITECTURE_FLAGS,
  ...METHOD_FLAGS,
  ...group("Step", {
    batch: whole("Rows per batch", "16"),
    sequenceLength: whole("Tokens per row", "512"),
    gradientCheckpointing: renamed(
      toggle("Keep only each block's input and recompute the rest"),
      "checkpointing",
    ),
    steps: whole(`Steps, the first ${WARMUP} untimed`, "12"),
    seed: whole("Seeds weights and tokens", "0"),
  }),
  ...group("Output", {
    label: text("TEXT", "A name for the line"),
    profile: toggle("Print a table of the kernels"),
    top: whole("Lines of the table", "40"),
    trace: path("FILE", "Write every dispatch as a line of JSON"),
  }),
};

/** What a run measured. Times are in milliseconds. */
export interface StepResult {
  label: string | null;
  method: string;
  /** Which WebGPU. */
  gpu: string;
  adapter: string;
  width: string;
  layers: number;
  batch: number;
  sequenceLength: number;
  rank: number | null;
  checkpointing: boolean;
  /** Median time of a step. */
  stepMs: number;
  /** The same by the host's clock: all timed steps and one wait, over their number. */
  wallMs: number;
  /** Of every timed step; empty where the GPU has no timestamps, and then `stepMs` is `wallMs`. */
  stepTimes: number[];
  tokensPerSecond: number;
  /** The most bytes in GPU buffers at any time, loading included. */
  peakBytes: number;
  /** The same as `inspect` predicts it. */
  predictedPeakBytes: number;
  /** Of the dispatches of each phase; null without timestamps. */
  phases: Record<string, number> | null;
  /** Share of the dispatches' time in matrix products, packing of operands included. */
  gemmShare: number | null;
  /** From the start of the process to the first loss. */
  firstStepMs: number;
  /** The parts of that time. */
  timeline: Record<string, number>;
  firstLoss: number;
  lastLoss: number;
}

/** Runs the bench with a command line's words. */
export async function run(args: readonly string[], terminal: Terminal): Promise<StepResult> {
  const values = readFlags(args, FLAGS, terminal);
  const { batch = 16, sequenceLength = 512, steps = 12, seed = 0 } = values;
  const checkpointing = values.gradientCheckpointing ?? false;
  const timeline: Record<string, number> = {};
  let last = 0;
  const mark = (part: string) => {
    const now = performance.now();
    timeline[part] = now - last;
    last = now;
    terminal.stderr(`${(now / 1000).toFixed(2).padStart(7)} s  ${part}\n`);
  };
  if (batch < 1 || sequenceLength < 2) {
    throw new UsageError(
      `Cannot train on ${batch} rows of ${sequenceLength} tokens: give one row of two at least`,
    );
  }
  mark("modules");
  using device = await openDevice(values, terminal);
  mark("device");
  const config = architecture(values, sequenceLength);
  const rank = values.method === "full" ? null : Number((values as MethodValues).rank ?? 64);
  const method = await trainingMethod(
    rank === null ? values : { ...values, rank },
    device,
    terminal,
  );
  const shape: TrainingShape = {
    config,
    method,
    batchSize: batch,
    sequenceLength,
    gradientCheckpointing: checkpointing,
    seed,
  };
  using training = await Training.open(device, shape, mark);
  await training.submit();
  const [{ lossSum: firstSum }] = await training.metrics();
  mark("first step");
  const firstStepMs = last;
  const timed = await time(device, training, steps);
  const { peakBytes } = device;
  mark("other steps");
  const kernels = device.hasTimestamps ? withAttentionCosts(await training.profile(), shape) : null;
  if (kernels) {
    mark("profile");
    if (values.profile) terminal.stderr(profileTable(kernels, values.top ?? 40));
    if (values.trace) await Deno.writeTextFile(values.trace, kernels.map(toLine).join(""));
  }
  const { peak } = await planMemory({ ...shape, device });
  const targets = batch * (sequenceLength - 1);
  return {
    label: values.label ?? null,
    method: describe(method.name, values),
    gpu: device.provider,
    adapter: device.name,
    width: values.width ?? "7b",
    layers: config.numLayers,
    batch,
    sequenceLength,
    rank,
    checkpointing,
    ...timed.times,
    tokensPerSecond: batch * sequenceLength / timed.times.stepMs * 1000,
    peakBytes,
    predictedPeakBytes: peak,
    phases: kernels &&
      Object.fromEntries(sumBy(kernels, ({ phase }) => phase).map(({ name, ms }) => [name, ms])),
    gemmShare: kernels && totalMs(kernels.filter(isGemm)) / totalMs(kernels),
    firstStepMs,
    timeline,
    firstLoss: firstSum / targets,
    lastLoss: timed.lossSum / targets,
  };
}

/** Runs the remaining steps without a wait in between. */
async function time(device: Device, training: Training, steps: number) {
  for (let i = 1; i < WARMUP; i++) await training.submit();
  await device.finish();
  const count = Math.max(1, steps - WARMUP);
  using clock = device.hasTimestamps ? new StepClock(device, count + 1) : null;
  const started = performance.now();
  clock?.stamp();
  for (let i = 0; i < count; i++) {
    await training.submit();
    clock?.stamp();
  }
  await device.finish();
  const wallMs = (performance.now() - started) / count;
  const stepTimes = await clock?.intervals() ?? [];
  const stepMs = clock ? median(stepTimes) : wallMs;
  const { lossSum } = (await training.metrics()).at(-1)!;
  return { times: { stepMs, wallMs, stepTimes }, lossSum };
}

function isGemm({ kernel }: KernelTime): boolean {
  return /^(gemm|pack)/.test(kernel);
}

/** A method with the options that choose its precision. */
function describe(name: string, { base, format, updateRule }: MethodValues): string {
  return [name, base, format, updateRule].filter((word) => word !== undefined).join(" ");
}

function toLine(time: KernelTime): string {
  return `${JSON.stringify(time)}\n`;
}

if (import.meta.main) {
  await runScript(async (args, terminal) =>
    terminal.stdout(`${JSON.stringify(await run(args, terminal))}\n`)
  );
}
