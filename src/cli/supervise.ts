/**
 * Training in a process of its own, which another watches over: Deno's own WebGPU ends the process that waits for a
 * GPU when its driver loses it, so that only another process can go on.
 *
 * The supervisor runs the same program with the same words. It speaks to the process by its standard input: a line with
 * where to begin, one for each signal that asks to end, and at its own death the end of the stream. The process answers
 * by how it ends.
 *
 * @module
 */

import { join } from "node:path";
import { STANDARD_INPUT } from "../data/sources.ts";
import { DeviceLostError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { checkpointFolder, findCheckpoint, listCheckpoints } from "../train/checkpoint.ts";
import { bringBack } from "../train/folder_order.ts";
import { keptInWords, type RunStanding, withKept } from "../train/kept.ts";
import { lastLoggedStep, LOG_FILE } from "../train/log.ts";
import { PAUSE, Restarts } from "../train/restart.ts";
import { optionsOfRun, runFolder } from "./run_folder.ts";
import {
  onStopSignals,
  type Order,
  type Program,
  STOP_SIGNALS,
  type Supervisor,
  tell,
  type Terminal,
} from "./terminal.ts";
import type { TrainValues } from "./train_flags.ts";

/** The first word of a command line that a supervisor gives. */
const SUPERVISED = "supervised";
/** How a supervised process ends after an error that it has told: with 1, Deno ends one that panics. */
const TOLD = 3;
/** The exit codes of a process that ends by itself. */
const ORDERLY: readonly number[] = [0, 2, TOLD, ...Object.values(STOP_SIGNALS)];
/** Signals by which a driver takes its process down. */
const CRASHES: readonly (Deno.Signal | null)[] = ["SIGSEGV", "SIGBUS", "SIGABRT"];
/** The permissions of Deno, but those to run, which a supervised process does not need, and to import. */
const KINDS: readonly Deno.PermissionName[] = ["read", "write", "net", "env", "ffi", "sys"];

/** How a supervised process is started. */
export interface Child {
  command: string | URL;
  args: readonly string[];
}

/** A run that is watched over. */
export interface Supervision {
  child: Child;
  /** The run's folder. */
  output: string;
  /** The step at which it begins. */
  step: number;
  /** Seconds before a restart. */
  pause?: number;
}

/**
 * Trains in a process of its own where `--on-device-lost restart` needs one.
 *
 * @returns The exit code; null where this process is to train.
 * @throws {DeviceLostError} after too many restarts in a row that did not come any further.
 */
export async function superviseTraining(
  given: TrainValues,
  terminal: Terminal,
): Promise<number | null> {
  const { program } = terminal;
  if (program === undefined || program.supervisor) return null;
  const { resumeFrom, resumeFallback } = given;
  const output = await runFolder(given);
  const values = { ...resumeFrom !== undefined && await optionsOfRun(output), ...given };
  // Dawn tells every loss. With "auto" it may be either.
  if (values.onDeviceLost !== "restart" || values.provider === "dawn") return null;
  const child = childOf(program, values);
  if (typeof child === "string") {
    tell(
      terminal,
      "warning",
      "--on-device-lost restart does not cover a GPU that is lost while Deno's WebGPU waits for it, " +
        `which ends the process: to go on after that takes a second process, ${child}`,
    );
    return null;
  }
  let step = 0;
  if (resumeFrom !== undefined) {
    await bringBack(output);
    step = (await findCheckpoint(resumeFrom, resumeFallback ? () => {} : undefined)).state.step;
  }
  return await supervise({ child, output, step }, terminal);
}

/** How to start a program again with the same permissions; where that cannot be, the reason and the remedy. */
function childOf({ url, words }: Program, { data, evalData }: TrainValues): Child | string {
  const names = [data ?? [], evalData ?? []].flat().flatMap((name) => name.split(","));
  if (names.some((name) => name.trim() === STANDARD_INPUT)) {
    return "which could not read standard input once more: give the data as a file";
  }
  const stateOf = (name: Deno.PermissionName) => {
    const { state, partial } = Deno.permissions.querySync({ name });
    return partial ? "prompt" : state;
  };
  if (stateOf("run") !== "granted") return "which needs --allow-run";
  const command = Deno.execPath();
  const own = [SUPERVISED, ...words];
  if (Deno.build.standalone) return { command, args: own }; // it has its permissions in itself
  const held = KINDS.map((name) => ({ name, state: stateOf(name) }));
  // What Deno calls "prompt" may be granted in parts, and no program is told which.
  const unknown = held.filter(({ state }) => state === "prompt");
  if (unknown.length > 0) {
    const flags = unknown.map(({ name }) => `--allow-${name} or --deny-${name}`).join(", ");
    return `whose permissions must be whole to be the same: start with -A, or give ${flags}`;
  }
  const mayImport = (host?: string) =>
    Deno.permissions.querySync({ name: "import", host }).state === "granted";
  if (mayImport() && held.every(({ state }) => state === "granted")) {
    return { command, args: ["run", "-A", url, ...own] };
  }
  const flags = held.map(({ name, state }) =>
    `--${state === "granted" ? "allow" : "deny"}-${name}`
  );
  const host = new URL(url).host || undefined; // a file has none
  if (mayImport()) flags.push("--allow-import");
  else if (mayImport(host)) flags.push(`--allow-import=${host}`);
  return { command, args: ["run", ...flags, url, ...own] };
}

/**
 * Runs a process that trains, and starts it again from what is kept whenever it breaks down.
 *
 * @returns The exit code of the one that ended by itself, or that was asked to end.
 * @throws {DeviceLostError} after too many restarts in a row that did not come any further.
 */
export async function supervise(
  { child, output, step, pause = PAUSE }: Supervision,
  terminal: Terminal,
): Promise<number> {
  const started = performance.now();
  const restarts = new Restarts();
  using stop = new StopRequests();
  for (let order: Order = { from: {} };;) {
    const log = await stampOf(output);
    const { code, signal } = await endOf(child, order, stop);
    if (signal === null && ORDERLY.includes(code)) return code === TOLD ? 1 : code;
    const how = signal ?? `exit code ${code}`;
    // Its log is new from its first step on; before that, what the folder holds may be another run's.
    const standing = await stampOf(output) === log ? null : await standingOf(output);
    if (signal !== null && !CRASHES.includes(signal)) {
      const kept = standing ? keptInWords(standing) : "";
      tell(terminal, "warning", `the process that trains was ended by ${how}${kept}`);
      return code;
    }
    const error = new DeviceLostError(
      `Cannot continue as the process that trains broke down (${how}), as it does where the GPU is lost ` +
        "while Deno's WebGPU waits for it: start again, and if that repeats, look into the driver's log " +
        "and update it",
    );
    if (standing) withKept(error, standing);
    if (stop.code !== null) {
      tell(terminal, "warning", error.message);
      return stop.code;
    }
    const { from, notice } = restarts.after(
      error,
      `the process that trains broke down (${how}, as where the GPU is lost during a wait)`,
      "in a new process",
    );
    tell(terminal, "warning", notice);
    await stop.within(pause);
    if (stop.code !== null) return stop.code;
    order = { from, begun: { seconds: (performance.now() - started) / 1000, step } };
  }
}

/** What asks the supervisor to end. */
class StopRequests implements Disposable {
  #codes: number[] = [];
  #listener = (_code: number) => {};
  readonly #signals = onStopSignals((code) => {
    this.#codes.push(code);
    this.#listener(code);
  });

  /** The exit code of the first one; null before it. */
  get code(): number | null {
    return this.#codes[0] ?? null;
  }

  /** Calls `listener` for each, also those before, until the result is disposed of. */
  tell(listener: (code: number) => void): Disposable {
    this.#codes.forEach(listener);
    this.#listener = listener;
    return { [Symbol.dispose]: () => this.#listener = () => {} };
  }

  /** Waits for one, for so many seconds at most. */
  async within(seconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, 1000 * seconds);
    using _ = this.tell(() => resolve());
    await promise;
    clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    this.#signals[Symbol.dispose]();
  }
}

/** Runs a process that shares this one's output, and passes on to it what asks to end. */
async function endOf(
  { command, args }: Child,
  order: Order,
  stop: StopRequests,
): Promise<Deno.CommandStatus> {
  const process = new Deno.Command(command, {
    args: [...args],
    stdin: "piped",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  const input = process.stdin.getWriter();
  const ended = () => {}; // its status says how
  input.closed.catch(ended);
  const say = (line: string) =>
    void input.write(new TextEncoder().encode(line + "\n")).catch(ended);
  say(JSON.stringify(order));
  using _ = stop.tell((code) => say(String(code)));
  return await process.status;
}

/** Tells one file of the log from the next: a run that begins, or goes on, writes it anew. */
async function stampOf(output: string): Promise<string> {
  const path = join(output, LOG_FILE);
  if (!await exists(path)) return "";
  const { ino, mtime, size } = await Deno.stat(path);
  return `${ino} ${mtime?.getTime()} ${size}`;
}

/** Where a run stands of which only its folder is left. */
async function standingOf(output: string): Promise<RunStanding> {
  await bringBack(output);
  const newest = (await listCheckpoints(output)).at(-1);
  const kept = newest === undefined
    ? null
    : { step: newest, folder: checkpointFolder(output, newest) };
  return { step: Math.max(await lastLoggedStep(output), newest ?? 0), kept };
}

/** The program of this process, which a supervisor may have started. */
export async function startedProgram(words: readonly string[], url: string): Promise<Program> {
  if (words[0] !== SUPERVISED) return { url, words };
  const supervisor = await listen(Deno.stdin.readable);
  return supervisor ? { url, words: words.slice(1), supervisor } : { url, words };
}

/** The exit code of this process, which a supervisor can tell from that of a panic. */
export function exitCodeOf({ supervisor }: Program, code: number): number {
  return supervisor && code === 1 ? TOLD : code;
}

/** Listens to a supervisor; null if what comes is not from one. */
async function listen(input: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Supervisor | null> {
  const lines = linesOf(input);
  const { value: first } = await lines.next();
  if (!first?.startsWith('{"from":')) return null;
  const codes: number[] = [];
  const handlers = new Set<(code: number) => void>();
  const take = (code: number) => {
    codes.push(code);
    for (const handler of handlers) handler(code);
  };
  const watch = async () => {
    for await (const line of lines) take(Number(line));
    if (codes.length === 0) take(STOP_SIGNALS.SIGTERM); // the supervisor is gone
  };
  watch();
  return {
    order: JSON.parse(first),
    onStop(handler) {
      codes.forEach(handler);
      handlers.add(handler);
      return { [Symbol.dispose]: () => handlers.delete(handler) };
    },
  };
}

async function* linesOf(input: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of input.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
