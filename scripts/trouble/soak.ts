/**
 * A long run, watched: its memory stays flat, and a run of the same length cut into pieces by kills has the same log but
 * for its times, and the same model, bit for bit.
 *
 *     deno run -A scripts/trouble/soak.ts [--steps 1000 | --minutes 8] [--pieces 5] [--provider native|dawn]
 *       [--growth MIB] [-- FLAGS OF train]
 *
 * By default it trains the tiny model. With `--minutes` a short run tells the pace first, and the whole run makes as many
 * steps as should take so long; the pieces make as many again, so all takes a little more than twice the minutes. With
 * `--pieces 0` there is the whole run alone.
 *
 * Memory is told in pots (`watched.ts`), of the GPU by `nvidia-smi` where there is one. What is resident may grow by
 * `--growth` MiB per 1,000 steps in the second half, and by what waits to be collected ({@linkcode GARBAGE}), which hides
 * little only in a long run: natively 1.5 KB per step in one of 40,000 steps.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { TextLineStream } from "@std/streams/text-line-stream";
import { join } from "node:path";
import { growthOf, type Point } from "./growth.ts";
import { lastStep, resultOf, ROOT } from "./run.ts";
import type { Pots } from "./watched.ts";

const MIB = 2 ** 20;
/**
 * MiB per 1,000 steps that nobody can mend here. With Dawn, Deno frees neither 50 bytes of each object nor 33 of each
 * look for the end of a wait: some 0.9 KB per step of 7 ms.
 */
const GROWTH: Readonly<Record<string, number>> = { native: 0.25, dawn: 1.25 };
/** MiB that two moments may differ by as one is just before a collection of garbage and the other behind it. */
const GARBAGE = 24;
/** MiB that the GPU's memory may grow by, whatever the number of steps. */
const GPU_GROWTH = 2;
/** Milliseconds between two looks at the memory, and at the log of a run that is to be killed. */
const [LOOK, POLL] = [1000, 200];
/** Steps of the run that tells the pace, and those of them that compile kernels. */
const [PACE_STEPS, COMPILING] = [300, 100];
/** Lines about the memory of the whole run. */
const LINES = 20;

const dashes = Deno.args.indexOf("--");
const flags = parseArgs(dashes === -1 ? Deno.args : Deno.args.slice(0, dashes), {
  string: ["provider", "steps", "minutes", "pieces", "growth"],
  default: { provider: "native", pieces: "5" },
  unknown: (word) => {
    throw new Error(`There is no ${word}: flags of train stand behind --`);
  },
});
const given = dashes === -1 ? [] : Deno.args.slice(dashes + 1);
const words = given.length > 0 ? given : [
  ...["--model", join(ROOT, "examples/tiny/model")],
  ...["--data", join(ROOT, "examples/tiny/instructions_train.jsonl")],
  ...["--batch-size", "4", "--sequence-length", "64", "--rank", "8", "--save-every", "20"],
];

/** Memory after a step, in bytes. */
interface Sample extends Pots {
  step: number;
  /** Of the process on the GPU. */
  gpu: number | null;
}

/** A number that a flag gives. */
function numberOf(name: "steps" | "minutes" | "pieces" | "growth", least: number): number {
  const value = Number(flags[name]);
  if (Number.isFinite(value) && value >= least) return value;
  throw new Error(`Cannot use --${name} ${flags[name]}: give a number from ${least}`);
}

async function gpuBytes(pid: number): Promise<number | null> {
  const args = ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"];
  try {
    const { stdout } = await new Deno.Command("nvidia-smi", { args }).output();
    const lines = new TextDecoder().decode(stdout).split("\n");
    const rows = lines.map((line) => line.split(",").map(Number)).filter(([of]) => of === pid);
    return rows.length === 0 ? null : MIB * rows.reduce((sum, [, used]) => sum + used, 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null; // no GPU of NVIDIA's
    throw error;
  }
}

async function hasCheckpoint(output: string): Promise<boolean> {
  const names = await Array.fromAsync(Deno.readDir(output)).catch(() => []);
  return names.some(({ name }) => name.startsWith("checkpoint-"));
}

/** What a run is told and tells. */
interface Watch {
  /** The run is killed when so many steps are logged. Default: never. */
  until?: number;
  /** Is given the memory. */
  onSample?: (sample: Sample) => void;
  /** Is given a step of the log, as soon as it is seen. */
  onStep?: (step: number) => void;
}

/** Trains to the end, or goes on with what is in the folder; an error if it fails without being killed. */
async function train(output: string, steps: number, watch: Watch): Promise<void> {
  const { until = Infinity, onSample, onStep } = watch;
  const begin = [...words, "--steps", `${steps}`, "--provider", flags.provider];
  const start = [...begin, "--output-dir", output, "--overwrite"];
  const going = ["--resume-from", output];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-lock", "--no-check", join(ROOT, "scripts/trouble/watched.ts")],
      ...[`${LOOK}`, "train", ...await hasCheckpoint(output) ? going : start],
    ],
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let [killed, ended] = [false, false];
  const timer = setInterval(async () => {
    const step = await lastStep(output);
    onStep?.(step);
    if (step < until || killed || ended) return;
    killed = true;
    child.kill("SIGKILL");
  }, POLL);
  try {
    const errors = lastLine(child.stderr);
    for await (const line of linesOf(child.stdout)) {
      const step = line.startsWith("{") ? await lastStep(output) : 0;
      if (step > 0) onSample?.({ step, gpu: await gpuBytes(child.pid), ...JSON.parse(line) });
    }
    const { code } = await child.status;
    ended = true;
    if (code !== 0 && !killed) {
      throw new Error(`The run ended with exit code ${code}: ${await errors}`);
    }
  } finally {
    clearInterval(timer);
    if (!ended) child.kill("SIGKILL");
  }
}

function linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStream<string> {
  return stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
}

async function lastLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let last = "";
  for await (const line of linesOf(stream)) last = line;
  return last;
}

/** The steps that take so many minutes. */
async function stepsIn(minutes: number, output: string): Promise<number> {
  let first: { step: number; time: number } | null = null;
  let pace = 0;
  await train(output, PACE_STEPS, {
    onStep: (step) => {
      if (step < COMPILING) return;
      const time = performance.now();
      first ??= { step, time };
      if (step > first.step && step < PACE_STEPS) pace = (step - first.step) / (time - first.time);
    },
  });
  if (pace === 0) throw new Error(`No pace was seen in ${PACE_STEPS} steps: give --steps`);
  return Math.max(PACE_STEPS, 100 * Math.round(pace * minutes * 60_000 / 100));
}

const POTS = ["resident", "heap", "external", "worker", "native", "gpu"] as const;

function shown(sample: Sample): string {
  const parts = POTS.flatMap((pot) =>
    sample[pot] === null ? [] : [`${pot} ${(sample[pot] / MIB).toFixed(1)}`]
  );
  return `step ${sample.step}: ${parts.join(", ")} MiB`;
}

/** Says how each pot grew. */
function judge(samples: readonly Sample[], growth: number): boolean {
  let flat = true;
  for (const pot of POTS) {
    const points = samples.filter((it) => it[pot] !== null)
      .map((it): Point => [it.step, it[pot]! / MIB]);
    const allowed = pot === "gpu"
      ? { perThousand: 0, once: GPU_GROWTH }
      : { perThousand: growth, once: GARBAGE };
    const found = growthOf(points, allowed);
    if (found === null) {
      console.log(`${pot}: read ${points.length} times, too seldom to say anything`);
      continue;
    }
    // The others are in what is resident, or were and are free for what comes.
    const counts = pot === "resident" || pot === "gpu";
    if (counts && found.verdict === "GROWS") flat = false;
    const verdict = counts ? `, at most ${found.allowed.toFixed(3)} may be: ${found.verdict}` : "";
    const slope = found.perThousand.toFixed(3);
    console.log(`${pot}: ${slope} MiB per 1,000 steps in the last ${found.steps} steps${verdict}`);
  }
  return flat;
}

const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

async function soak(folder: string): Promise<boolean> {
  const pieces = numberOf("pieces", 0);
  const growth = flags.growth === undefined ? GROWTH[flags.provider] : numberOf("growth", 0);
  if (growth === undefined) {
    throw new Error(`Cannot use --provider ${flags.provider}: give native or dawn`);
  }
  if (flags.steps !== undefined && flags.minutes !== undefined) {
    throw new Error(
      "Cannot use --steps and --minutes together as each says how long it takes: give one",
    );
  }
  let steps = flags.steps === undefined ? 1000 : numberOf("steps", 1);
  if (flags.minutes !== undefined) {
    const minutes = numberOf("minutes", 0.1);
    steps = await stepsIn(minutes, join(folder, "pace"));
    console.log(
      `${steps} steps should take ${minutes} minutes` +
        (pieces > 0 ? `, and as many in ${pieces} pieces the same again` : ""),
    );
  }
  const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
  const samples: Sample[] = [];
  const begun = performance.now();
  let told = 0;
  await train(whole, steps, {
    onSample: (sample) => {
      samples.push(sample);
      if (sample.step < told * steps / LINES) return;
      told = Math.floor(LINES * sample.step / steps) + 1;
      console.log(shown(sample));
    },
  });
  console.log(`${steps} steps in ${seconds(begun)}, memory read ${samples.length} times`);
  const flat = judge(samples, growth);
  if (pieces === 0) return flat;
  const again = performance.now();
  for (let piece = 1; piece <= pieces; piece++) {
    // The kills are spread over the run, each somewhere between two checkpoints.
    const until = piece === pieces ? Infinity : Math.floor(piece * steps / pieces) + piece;
    await train(cut, steps, { until });
    console.log(`piece ${piece}: ${await lastStep(cut)} steps logged, after ${seconds(again)}`);
  }
  const same = await resultOf(cut) === await resultOf(whole);
  console.log(`log and model of the pieces ${same ? "have the same bits" : "DIFFER"}`);
  return flat && same;
}

const folder = await Deno.makeTempDir();
try {
  if (!await soak(folder)) Deno.exitCode = 1;
} finally {
  await Deno.remove(folder, { recursive: true });
}
