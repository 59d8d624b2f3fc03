/**
 * A long run of a tiny model, twice: once undisturbed, with a look at the memory of its process, and once cut into pieces
 * by kills. Every loss and every file that is saved must be the same, and the memory flat.
 *
 * Run: `deno run -A scripts/soak_steps.ts [STEPS] [KILLS] [SEED] [FLAGS…]`; flags of `train` choose the method.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { join } from "node:path";
import { randomGenerator } from "../tests/support/random.ts";
import { writeTinyModel } from "../tests/support/tiny_model.ts";

const CLI = new URL("../cli.ts", import.meta.url).pathname;

/** Resident bytes of a process after a step. */
type Sample = [step: number, bytes: number];

/** Runs a command line, and kills it after a step. */
async function run(args: readonly string[], killAfter = Infinity): Promise<Sample[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CLI, ...args],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const samples: Sample[] = [];
  let last = "";
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    last = line;
    const step = Number(/^step (\d+)\//.exec(line)?.[1] ?? 0);
    if (step === 0) continue;
    samples.push([step, residentBytes(child.pid)]);
    if (step >= killAfter) child.kill("SIGKILL");
  }
  const { code, signal } = await child.status;
  if (code !== 0 && signal !== "SIGKILL") throw new Error(last);
  return samples;
}

/** Linux tells it; elsewhere 0. */
function residentBytes(pid: number): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** What must be the same: each step's line of the log but for its times, and the weights. */
async function outcome(output: string): Promise<string[]> {
  const log = await Deno.readTextFile(join(output, "training_log.jsonl"));
  const lines = log.trim().split("\n").map((line) => {
    const { tokensPerSecond: _, waitMs: __, ...rest } = JSON.parse(line);
    return JSON.stringify(rest);
  });
  const weights = await Deno.readFile(join(output, "model.safetensors"));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", weights));
  return [...lines, `weights ${digest.toHex()}`];
}

async function main(steps: number, kills: number, seed: number, flags: string[]): Promise<boolean> {
  const folder = await Deno.makeTempDir();
  try {
    const model = join(folder, "model");
    await Deno.mkdir(model);
    await writeTinyModel(model);
    const random = randomGenerator(seed);
    const rows = Array.from({ length: 500 }, (_, i) => ({
      prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
      completion: `It is ${"bcdefghi"[i % 8]}, number ${Math.floor(random() * 100)}.`,
    }));
    const data = join(folder, "train.jsonl");
    await Deno.writeTextFile(data, rows.map((row) => JSON.stringify(row) + "\n").join(""));
    const begin = (output: string) => [
      ...["train", "--model", model, "--data", data, "--output-dir", output, "--steps", `${steps}`],
      ..."--batch-size 1 --sequence-length 32 --log-every 20 --save-every 100".split(" "),
      ...flags,
    ];

    const whole = join(folder, "whole");
    const samples = await run(begin(whole));
    for (const share of [0.1, 0.25, 0.5, 0.75, 1]) {
      const [step, bytes] = samples[Math.ceil(share * samples.length) - 1];
      console.log(`after step ${step}: ${(bytes / 2 ** 20).toFixed(0)} MiB resident`);
    }

    const pieces = join(folder, "pieces");
    const moments = Array.from({ length: kills }, () => 100 + Math.floor(random() * (steps - 100)));
    let isBegun = false;
    for (const moment of [...moments.sort((a, b) => a - b), Infinity]) {
      await run(isBegun ? ["train", "--resume-from", pieces] : begin(pieces), moment);
      isBegun = true;
    }
    const [a, b] = [await outcome(whole), await outcome(pieces)];
    const first = a.findIndex((line, i) => line !== b[i]);
    console.log(
      first < 0 && a.length === b.length
        ? `${steps} steps in ${kills + 1} pieces: every loss and the weights are those of one piece`
        : `in pieces it is otherwise from line ${first}: ${b[first]} instead of ${a[first]}`,
    );
    return first < 0 && a.length === b.length;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const [steps = "1000", kills = "5", seed = "1", ...flags] = Deno.args;
  if (!await main(Number(steps), Number(kills), Number(seed), flags)) Deno.exit(1);
}
