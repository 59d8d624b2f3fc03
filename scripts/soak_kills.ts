/**
 * Kills runs at random moments and compares what comes of going on with what comes of a run that nobody disturbed: the
 * log but for its times, every checkpoint and every file that was saved, bit for bit.
 *
 * Run: `deno run -A scripts/soak_kills.ts [METHOD|all] [COUNT] [SEED]`, with a name of {@linkcode METHODS}; `all` takes
 * them in turn, until so many were killed that had a checkpoint. Every kill is a function of seed and number, up to the speed of the machine.
 *
 * @module
 */

import { join } from "node:path";
import { randomGenerator } from "../tests/support/random.ts";
import { writeTinyModel } from "../tests/support/tiny_model.ts";

/** Flags of what is tried, by name. */
const METHODS: Readonly<Record<string, string>> = {
  falqon: "--rank 4",
  "falqon-int8": "--rank 4 --format int8",
  "falqon-requantize": "--rank 4 --update-rule requantize",
  "falqon-paper": "--rank 4 --update-rule paper",
  "falqon-accumulate": "--rank 4 --update-rule accumulate",
  "falqon-top-k": "--rank 4 --update-rule requantize --top-k 3",
  "falqon-train-a": "--rank 4 --format int8 --train-a",
  "falqon-tensor": "--rank 4 --scale-granularity tensor --init kaiming",
  lora: "--method lora --rank 4",
  "lora-f16": "--method lora --rank 4 --base f16",
  "lora-dropout": "--method lora --rank 4 --dropout 0.2 --rslora",
  dora: "--method lora --rank 4 --dora",
  "fp8-lora": "--method fp8-lora --rank 4",
  "int8-lora": "--method int8-lora --rank 4",
  "torchao-style": "--method torchao-style --rank 4",
  qlora: "--method qlora --rank 4",
  full: "--method full --grad-accum-steps 2 --schedule cosine",
};

const SHAPE = "--steps 8 --batch-size 2 --sequence-length 32 --log-every 1 --save-every 2 " +
  "--eval-every 4 --seed 3";
const CLI = new URL("../cli.ts", import.meta.url).pathname;

/** How a process ended. */
interface Ending {
  code: number;
  killed: boolean;
  stderr: string;
  /** In milliseconds. */
  time: number;
  /** When the first checkpoint came, in milliseconds. */
  saved: number;
}

/** When to kill: after a time, or that long after something was made or renamed in the folder so often. */
interface Moment {
  /** 0 for from the start. */
  events: number;
  delay: number;
}

/** Runs a command line, and kills it at a moment. */
async function run(args: readonly string[], output: string, moment?: Moment): Promise<Ending> {
  const begun = performance.now();
  await Deno.mkdir(output, { recursive: true });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CLI, ...args],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  let left = moment?.events ?? 0;
  if (moment && left === 0) timer = setTimeout(kill, moment.delay);
  const watcher = Deno.watchFs(output, { recursive: false });
  let saved = Infinity;
  const watching = (async () => {
    for await (const { kind, paths } of watcher) {
      if (paths.some((path) => /\/checkpoint-\d+$/.test(path))) {
        saved = Math.min(saved, performance.now() - begun);
      }
      if (moment === undefined || left === 0 || !["create", "rename"].includes(kind)) continue;
      if (--left === 0) timer = setTimeout(kill, moment.delay);
    }
  })();
  const stderr = await new Response(child.stderr).text();
  const { code, signal } = await child.status;
  clearTimeout(timer);
  watcher.close();
  await watching;
  return { code, killed: signal === "SIGKILL", stderr, time: performance.now() - begun, saved };
}

/** SHA-256 of each file below a folder; the log without the times in it. */
async function contents(folder: string, prefix = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) {
      Object.assign(found, await contents(path, `${prefix}${name}/`));
      continue;
    }
    let bytes = await Deno.readFile(path);
    if (name === "training_log.jsonl") bytes = new TextEncoder().encode(withoutTimes(bytes));
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    found[prefix + name] = new Uint8Array(digest).toHex();
  }
  return found;
}

function withoutTimes(log: Uint8Array): string {
  return new TextDecoder().decode(log).trim().split("\n").map((line) => {
    const { tokensPerSecond: _, waitMs: __, ...rest } = JSON.parse(line);
    return JSON.stringify(rest);
  }).join("\n");
}

function differences(a: Record<string, string>, b: Record<string, string>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]);
}

/** A run that nobody disturbs. */
interface Reference {
  contents: Record<string, string>;
  time: number;
  saved: number;
}

async function main(name: string, count: number, seed: number): Promise<boolean> {
  const names = name === "all" ? Object.keys(METHODS) : [name];
  if (!names.every((it) => Object.hasOwn(METHODS, it))) {
    console.error(
      `There is no method "${name}": give all or one of ${Object.keys(METHODS).join(", ")}`,
    );
    return false;
  }
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "model"));
  await writeTinyModel(join(folder, "model"));
  const rows = Array.from({ length: 40 }, (_, i) => ({
    prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
    completion: `It is ${"bcdefghi"[i % 8]}, number ${i % 5}.`,
  }));
  const lines = rows.map((row) => JSON.stringify(row) + "\n");
  await Deno.writeTextFile(join(folder, "train.jsonl"), lines.slice(0, 32).join(""));
  await Deno.writeTextFile(join(folder, "held.jsonl"), lines.slice(32).join(""));
  const begin = (method: string, output: string) => [
    ..."train --model M --data T --eval-data H --output-dir O".split(" ").map((word) =>
      ({
        M: join(folder, "model"),
        T: join(folder, "train.jsonl"),
        H: join(folder, "held.jsonl"),
        O: output,
      })[word] ??
        word
    ),
    ...`${SHAPE} ${METHODS[method]}`.split(" "),
  ];
  const references = new Map<string, Reference>();
  const reference = async (method: string) => {
    const known = references.get(method);
    if (known) return known;
    const output = join(folder, `undisturbed-${method}`);
    const { code, stderr, time, saved } = await run(begin(method, output), output);
    if (code !== 0) throw new Error(`${method}: ${stderr}`);
    const made = { contents: await contents(output), time, saved };
    references.set(method, made);
    return made;
  };
  const hasCheckpoint = (output: string) =>
    [...Deno.readDirSync(output)].some(({ name }) => /^\.?checkpoint-\d+(\.old)?$/.test(name));

  let [kills, failures, late, restarted] = [0, 0, 0, 0];
  try {
    for (let i = 0; kills < count; i++) {
      const method = names[i % names.length];
      const random = randomGenerator(seed * 1000 + i);
      const { contents: wanted, time, saved } = await reference(method);
      const moment = random() < 0.5
        ? { events: 0, delay: saved + random() * 1.1 * (time - saved) }
        : { events: 6 + Math.floor(random() * 40), delay: random() * 4 };
      const output = join(folder, `killed-${i}`);
      const { killed } = await run(begin(method, output), output, moment);
      if (!killed) {
        late++;
      } else {
        const goesOn = hasCheckpoint(output);
        if (goesOn) kills++;
        else restarted++;
        const args = goesOn
          ? ["train", "--resume-from", output]
          : [...begin(method, output), "--overwrite"];
        const { code, stderr } = await run(args, output);
        const other = code === 0
          ? differences(wanted, await contents(output))
          : [`exit code ${code}: ${stderr}`];
        if (other.length > 0) {
          failures++;
          console.log(`number ${i}, ${method}, ${JSON.stringify(moment)}: ${other.join(", ")}`);
        }
        console.log(
          `${kills} resumed, ${restarted} begun again, ${failures} otherwise (${method})`,
        );
      }
      await Deno.remove(output, { recursive: true });
    }
    console.log(
      `${kills} kills with a checkpoint to go on from and ${restarted} before there was one: ${failures} ` +
        `did not end bit for bit as if they had not been; ${late} runs had ended before they were to be killed`,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return failures === 0;
}

if (import.meta.main) {
  const [name = "all", count = "17", seed = "1"] = Deno.args;
  if (!await main(name, Number(count), Number(seed))) Deno.exit(1);
}
