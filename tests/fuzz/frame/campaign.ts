/**
 * Runs many inputs of a target in a process of its own, and goes on after one that hangs or takes the process down.
 *
 * @module
 */

import { join } from "node:path";
import { type Finding, type Job, Note, NOTE_LENGTH } from "./note.ts";

/** What to run. */
export interface CampaignOptions {
  /** The address of the target's module. */
  module: string;
  seed: number;
  count: number;
  /** Is told the inputs done so far, about twice a second. */
  onProgress?: (done: number) => void;
  /** Seconds of the process's own time after which an input hangs. Default 5. */
  hangSeconds?: number;
  /** The same by the clock, for inputs that wait. Default 60: a busy machine is no hang. */
  waitSeconds?: number;
  /** Bytes of memory, beyond what the process has when its first input starts, that are out of proportion. */
  maxBytes?: number;
}

/** What came of it. */
export interface CampaignResult {
  inputs: number;
  accepted: number;
  named: number;
  unnamed: number;
  nonsense: number;
  hang: number;
  /** Of an input that ended, in milliseconds, and which it was. */
  slowest: number;
  slowestIndex: number;
  /** One or two of every kind. */
  findings: Finding[];
}

/** A campaign of which so many inputs had to be ended is ended itself: each costs seconds. */
const MAX_HANGS = 20;
const POLL_MS = 100;
const GIB = 2 ** 30;

/**
 * Runs a campaign.
 *
 * @throws {Error} if the target cannot be prepared.
 */
export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { module, seed, count, onProgress } = options;
  const result: CampaignResult = {
    ...{ inputs: 0, accepted: 0, named: 0, unnamed: 0, nonsense: 0, hang: 0 },
    ...{ slowest: 0, slowestIndex: 0, findings: [] },
  };
  for (let from = 0; from < count && result.hang < MAX_HANGS;) {
    const folder = await Deno.makeTempDir({ prefix: "fuzz-" });
    try {
      const note = join(folder, "note");
      await Deno.writeFile(note, new Uint8Array(NOTE_LENGTH * 8));
      const inputs = join(folder, "inputs");
      await Deno.mkdir(inputs);
      const job = { module, folder: inputs, note, seed, from, to: count };
      const before = result.inputs;
      const end = await runJob(job, options, result, (done) => onProgress?.(before + done));
      for (const name of ["accepted", "named", "unnamed", "nonsense"] as const) {
        result[name] += end.note[Note[name]];
      }
      result.inputs += end.note[Note.started];
      if (end.note[Note.slowest] > result.slowest) {
        result.slowest = end.note[Note.slowest];
        result.slowestIndex = end.note[Note.slowestIndex];
      }
      if (end.note[Note.done] === 1) break;
      if (end.note[Note.started] === 0) throw new Error(`${module} is not ready: ${end.reason}`);
      const index = end.note[Note.index];
      result.hang++;
      result.findings.push({ index, outcome: "hang", problem: end.reason, place: "" });
      from = index + 1;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return result;
}

/** Runs inputs in a process until they are done, or one has to be ended. */
async function runJob(
  job: Job,
  { hangSeconds = 5, waitSeconds = 60, maxBytes = 1.5 * GIB }: CampaignOptions,
  { findings }: CampaignResult,
  onProgress: (done: number) => void,
): Promise<{ note: Float64Array; reason: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "-A",
        "--no-lock",
        "--no-check",
        "--quiet",
        "--v8-flags=--max-old-space-size=1024",
      ],
      ...[new URL("child.ts", import.meta.url).href, JSON.stringify(job)],
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let stderr = "";
  const reading = Promise.all([
    eachLine(child.stdout, (line) => findings.push(JSON.parse(line))),
    eachLine(child.stderr, (line) => stderr = `${stderr}\n${line}`.slice(-2000)),
  ]);
  const read = async () => new Float64Array((await Deno.readFile(job.note)).buffer);
  let reason = "";
  let last = { started: 0, clock: performance.now(), own: 0 };
  let firstBytes: number | null = null;
  const watch = setInterval(async () => {
    const note = await read();
    const started = note[Note.started];
    const own = await ownSeconds(child.pid);
    if (started !== last.started) {
      last = { started, clock: performance.now(), own: own ?? 0 };
      onProgress(started);
    }
    if (started === 0 || note[Note.done] === 1) return;
    const bytes = await residentBytes(child.pid);
    firstBytes ??= bytes;
    const waited = (performance.now() - last.clock) / 1000;
    const hangs = own === null ? waited > hangSeconds : own - last.own > hangSeconds;
    if (hangs || waited > waitSeconds) {
      reason = `it does not end within ${hangs ? hangSeconds : waitSeconds} s`;
    } else if (bytes !== null && bytes - (firstBytes ?? 0) > maxBytes) {
      reason = `memory grows by ${((bytes - (firstBytes ?? 0)) / GIB).toFixed(1)} GiB`;
    } else return;
    try {
      child.kill("SIGKILL");
    } catch {
      // it has just ended
    }
  }, POLL_MS);
  const { code, signal } = await child.status;
  clearInterval(watch);
  await reading;
  reason ||= `the process ended with ${signal ?? code}: ${stderr.trim().slice(-1500)}`;
  return { note: await read(), reason };
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  use: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(-10_000);
    lines.forEach(use);
  }
}

/** Seconds that a process has computed; null where the system does not say. A busy machine makes the clock useless. */
async function ownSeconds(pid: number): Promise<number | null> {
  const text = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => null);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function residentBytes(pid: number): Promise<number | null> {
  const text = await Deno.readTextFile(`/proc/${pid}/statm`).catch(() => null);
  return text === null ? null : Number(text.split(" ")[1]) * 4096;
}
