/**
 * What the scripts of this folder share: a training run of the command line in a process of its own, and what it leaves.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_FILE } from "../../src/train/log.ts";

/** The folder of the repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** How a process ended. */
export interface Ended {
  code: number;
  /** Whether it had to be killed after its time. */
  hung: boolean;
  stderr: string;
}

/** Environment of every run: no OpenGL beside Vulkan, and Mesa's CPU driver without complaints. */
const ENVIRONMENT = { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" };

/** Arguments of `deno` that run a command line of the package. */
export function commandLine(words: readonly string[]): string[] {
  return ["run", "-A", "--no-lock", "--no-check", join(ROOT, "cli.ts"), ...words];
}

/** Runs `deno`, for so many seconds at most. */
export async function deno(
  args: readonly string[],
  { env = {}, seconds = 300 }: { env?: Record<string, string>; seconds?: number } = {},
): Promise<Ended> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    env: { ...ENVIRONMENT, ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    child.kill("SIGKILL");
  }, 1000 * seconds);
  const { code, stderr } = await child.output();
  clearTimeout(timer);
  return { code, hung, stderr: new TextDecoder().decode(stderr) };
}

/**
 * What a run computed, as one text to compare: the lines of its log but for their times, and its model.
 */
export async function resultOf(output: string): Promise<string> {
  const log = await Deno.readTextFile(join(output, LOG_FILE));
  const lines = log.trim().split("\n").map((line) => {
    const { tokensPerSecond: _, waitMs: __, ...rest } = JSON.parse(line);
    return JSON.stringify(rest);
  });
  const model = await Deno.readFile(join(output, "model.safetensors"));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", model));
  return [...lines, digest.toHex()].join("\n");
}

/** Bytes at the end of a log that have its last line. */
const TAIL = 1 << 16;

/** The last step in the log of a run, whose other lines are not read; 0 if there is none. */
export async function lastStep(output: string): Promise<number> {
  try {
    using file = await Deno.open(join(output, LOG_FILE));
    const { size } = await file.stat();
    await file.seek(Math.max(0, size - TAIL), Deno.SeekMode.Start);
    const tail = await new Response(file.readable).text();
    const steps = [...tail.matchAll(/^\{"step":(\d+),.*\}$/gm)];
    return Number(steps.at(-1)?.[1] ?? 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Hidden and half-written names in a run's folder. */
export async function remnants(output: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(output)) {
      if (/^\.|\.tmp$|\.old$/.test(name)) names.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names;
}
