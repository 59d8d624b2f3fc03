import { assertEquals } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { join } from "node:path";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { LOG_FILE } from "../../src/train/log.ts";
import { withFolder } from "../support/io.ts";
import { randomGenerator } from "../support/random.ts";
import { slowTest } from "../support/slow.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const RUN = new URL("../support/crash_run.ts", import.meta.url).pathname;
const STEPS = 24;
const rows = Array.from({ length: 40 }, (_, i) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"bcdefghi"[i % 8]}, number ${i % 5}.`,
}));

/** When to kill an attempt: `delay` ms after its start, its step `count`, or the begin of its write `count`. */
interface Moment {
  event: "start" | "step" | "write";
  /** From 1, in the attempt. */
  count: number;
  delay: number;
}

/** How an attempt ended. */
interface Attempt {
  signal: Deno.Signal | null;
  /** From the start to each step's end, in ms. */
  times: number[];
  stderr: string;
}

/** Starts or resumes the run in `output`, and kills it at a moment. */
async function attempt(folder: string, output: string, moment?: Moment): Promise<Attempt> {
  const start = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", RUN, folder, output, String(STEPS)],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let count = 0;
  const kill = () => child.kill("SIGKILL");
  const happened = (event: Moment["event"]) => {
    if (event === moment?.event && ++count === moment.count) timer = setTimeout(kill, moment.delay);
  };
  happened("start");

  // Everything that is written whole or not at all begins under a temporary name.
  using watcher = Deno.watchFs(output, { recursive: false });
  const watching = (async () => {
    for await (const { kind, paths: [path] } of watcher) {
      if (kind === "create" && path.endsWith(".tmp")) happened("write");
    }
  })();
  const stderr = new Response(child.stderr).text();
  const times: number[] = [];
  const text = child.stdout.pipeThrough(new TextDecoderStream());
  for await (const _ of text.pipeThrough(new TextLineStream())) {
    times.push(performance.now() - start);
    happened("step");
    if (times.length === 1 && moment?.event === "start") { // quicker than the start that was measured
      clearTimeout(timer);
      kill();
    }
  }
  const { signal } = await child.status;
  clearTimeout(timer);
  watcher.close();
  await watching;
  return { signal, times, stderr: await stderr };
}

/** Ten moments in random order, scaled to the speed of the machine. */
function moments({ times }: Attempt): Moment[] {
  const random = randomGenerator(26);
  const startup = times[0];
  const step = (times.at(-1)! - startup) / (STEPS - 1);
  const moments: Moment[] = [
    ...[1, 1, 1].map((count) => ({ event: "start" as const, count, delay: random() * startup })),
    ...[1, 2, 3].map((count) => ({ event: "step" as const, count, delay: random() * step })),
    // A resumed attempt writes the log first, then checkpoints, each in a fraction of a step.
    ...[1, 2, 2, 3].map((count) => ({
      event: "write" as const,
      count,
      delay: random() * step / 8,
    })),
  ];
  const order = new Map(moments.map((moment) => [moment, random()]));
  return moments.sort((a, b) => order.get(a)! - order.get(b)!);
}

/** Reads every checkpoint in a folder completely, by name. */
async function readCheckpoints(folder: string): Promise<Map<string, Record<string, string>>> {
  const checkpoints = new Map<string, Record<string, string>>();
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.startsWith("checkpoint-")) continue;
    const state = JSON.parse(Deno.readTextFileSync(join(folder, name, "state.json")));
    assertEquals(name, `checkpoint-${state.step}`);
    const content: Record<string, string> = { state: JSON.stringify(state) };
    using file = await SafetensorsFile.open(join(folder, name, "state.safetensors"));
    for (const tensor of file.tensors.keys()) {
      const digest = await crypto.subtle.digest("SHA-256", await file.read(tensor));
      content[tensor] = new Uint8Array(digest).toHex();
    }
    checkpoints.set(name, content);
  }
  return checkpoints;
}

function readLosses(folder: string): [step: number, loss: number][] {
  const lines = Deno.readTextFileSync(join(folder, LOG_FILE)).trim().split("\n");
  return lines.map((line) => JSON.parse(line)).map(({ step, loss }) => [step, loss]);
}

slowTest(
  "a run that is killed ten times ends as if it never was, and no checkpoint is ever in part",
  () =>
    withFolder(async (folder) => {
      await writeTinyModel(folder);
      const lines = rows.map((row) => JSON.stringify(row)).join("\n");
      await Deno.writeTextFile(join(folder, "train.jsonl"), lines);
      const [undisturbed, killed] = ["undisturbed", "killed"].map((name) => join(folder, name));
      await Deno.mkdir(undisturbed);
      await Deno.mkdir(killed);

      const whole = await attempt(folder, undisturbed);
      assertEquals(whole.times.length, STEPS, whole.stderr);
      for (const moment of moments(whole)) {
        const { signal, stderr } = await attempt(folder, killed, moment);
        await readCheckpoints(killed); // throws for one that is damaged
        assertEquals(signal, "SIGKILL", stderr);
      }
      const last = await attempt(folder, killed);
      assertEquals(last.signal, null, last.stderr);

      assertEquals(readLosses(killed), readLosses(undisturbed));
      assertEquals(await readCheckpoints(killed), await readCheckpoints(undisturbed));
    }),
);
