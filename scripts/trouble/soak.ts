/**
 * A long run, watched: its memory stays flat, and a run of the same length cut into pieces by kills has the same losses
 * and the same model, bit for bit.
 *
 *     deno run -A scripts/trouble/soak.ts [--steps 1000] [--pieces 5] [--provider native|dawn] [-- FLAGS OF train]
 *
 * By default it trains the tiny model. Memory is read a hundred times: of the process from /proc, and of the GPU by
 * `nvidia-smi` where there is one. It is flat if the last third of the run has at most 5 % more than the second.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { commandLine, resultOf, ROOT } from "./run.ts";

const dashes = Deno.args.indexOf("--");
const own = dashes === -1 ? Deno.args : Deno.args.slice(0, dashes);
const flags = parseArgs(own, {
  string: ["provider", "steps", "pieces"],
  default: { provider: "native", steps: "1000", pieces: "5" },
});
const pieces = Number(flags.pieces);
const given = dashes === -1 ? [] : Deno.args.slice(dashes + 1);
const words = given.length > 0 ? given : [
  ...["--model", join(ROOT, "examples/tiny/model")],
  ...["--data", join(ROOT, "examples/tiny/instructions_train.jsonl")],
  ...["--batch-size", "4", "--sequence-length", "64", "--rank", "8", "--save-every", "20"],
];
const folder = await Deno.makeTempDir();

/** Memory of a process in MiB: resident, and on the GPU, null where nobody tells. */
interface Sample {
  resident: number;
  gpu: number | null;
}

async function sample(pid: number): Promise<Sample> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const resident = Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
  const query = ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"];
  const output = await new Deno.Command("nvidia-smi", { args: query }).output().catch(() => null);
  const lines = output === null ? [] : new TextDecoder().decode(output.stdout).split("\n");
  const rows = lines.map((line) => line.split(",").map(Number)).filter(([of]) => of === pid);
  return {
    resident,
    gpu: rows.length === 0 ? null : rows.reduce((sum, [, used]) => sum + used, 0),
  };
}

/** Steps in the log of a run. */
async function stepsOf(output: string): Promise<number> {
  const text = await Deno.readTextFile(join(output, "training_log.jsonl")).catch(() => "");
  return text.split("\n").filter((line) => line.includes('"loss"')).length;
}

async function hasCheckpoint(output: string): Promise<boolean> {
  const names = await Array.fromAsync(Deno.readDir(output)).catch(() => []);
  return names.some(({ name }) => name.startsWith("checkpoint-"));
}

/** Trains until the end, or until so many steps are logged, and kills it then. */
async function train(
  output: string,
  until: number,
  samples: Sample[],
): Promise<{ code: number; seconds: number }> {
  const begun = performance.now();
  const isStarted = await hasCheckpoint(output);
  const start = [
    ...words,
    "--steps",
    flags.steps,
    "--output-dir",
    output,
    "--provider",
    flags.provider,
  ];
  const child = new Deno.Command(Deno.execPath(), {
    args: commandLine([
      "train",
      ...isStarted ? ["--resume-from", output] : [...start, "--overwrite"],
    ]),
    env: { DENO_WEBGPU_BACKEND: "vulkan" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let seen = 0;
  let killed = false;
  const timer = setInterval(async () => {
    const step = await stepsOf(output);
    if (step >= until && !killed) {
      killed = true;
      child.kill("SIGKILL");
    }
    if (step - seen < Number(flags.steps) / 100) return;
    seen = step;
    samples.push(await sample(child.pid).catch(() => ({ resident: 0, gpu: null })));
  }, 200);
  const { code } = await child.status;
  clearInterval(timer);
  return { code, seconds: (performance.now() - begun) / 1000 };
}

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const third = <T>(list: T[], i: number) =>
  list.slice(Math.floor(i * list.length / 3), Math.floor((i + 1) * list.length / 3));

const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
const samples: Sample[] = [];
const { code, seconds } = await train(whole, Infinity, samples);
if (code !== 0) throw new Error(`The run ended with exit code ${code}`);
console.log(`${flags.steps} steps in ${seconds.toFixed(0)} s, memory read ${samples.length} times`);
let failed = false;
for (const kind of ["resident", "gpu"] as const) {
  const values = samples.map((it) => it[kind]).filter((value) =>
    value !== null && value > 0
  ) as number[];
  if (values.length < 6) continue;
  const [second, last] = [1, 2].map((i) => mean(third(values, i)));
  const isFlat = last <= 1.05 * second;
  failed ||= !isFlat;
  const numbers = `${second.toFixed(0)} MiB in the second third, ${last.toFixed(0)} in the last, ${
    Math.max(...values).toFixed(0)
  } at most`;
  console.log(`${kind}: ${numbers}: ${isFlat ? "flat" : "GROWS"}`);
}
for (let piece = 1; piece <= pieces; piece++) {
  // The kills are spread over the run, each somewhere between two checkpoints.
  const until = piece === pieces
    ? Infinity
    : Math.floor(piece * Number(flags.steps) / pieces) + piece;
  const { code } = await train(cut, until, []);
  console.log(`piece ${piece}: ${await stepsOf(cut)} steps logged, exit code ${code}`);
}
const same = await resultOf(cut) === await resultOf(whole);
console.log(
  same ? "losses and model of the pieces: the same bits" : "losses or model of the pieces DIFFER",
);
await Deno.remove(folder, { recursive: true });
Deno.exit(failed || !same ? 1 : 0);
