/**
 * Loses the GPU at many moments of a training run, as a driver does, and says what came of it: a Vulkan layer
 * (faulty_driver.c, built with `cc`) lets submits, waits and allocations fail. On any machine with Vulkan, a CPU's driver
 * included; on a GPU also with Dawn.
 *
 *     deno run -A scripts/trouble/device_loss.ts [--provider native|dawn] [--moments 8] [--steps 6]
 *
 * Every run has to end in one of these ways, and the script fails if one does not:
 *
 * - restarted: `--on-device-lost restart` went on, and log and model are those of a run without the loss, bit for bit,
 *   be it in the same process, or in a new one where Deno panicked, as it does natively where the loss comes during a wait;
 * - told: one sentence and exit code 1.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { buildLayer } from "./faulty_driver.ts";
import { commandLine, deno, type Ended, remnants, resultOf, ROOT } from "./run.ts";

const flags = parseArgs(Deno.args, {
  string: ["provider", "moments", "steps"],
  default: { provider: "native", moments: "8", steps: "6" },
});
const moments = Number(flags.moments);

const folder = await Deno.makeTempDir();
const layer = await buildLayer(folder);
const TRAIN = [
  ...["train", "--model", join(ROOT, "examples/tiny/model")],
  ...["--data", join(ROOT, "examples/tiny/instructions_train.jsonl")],
  ...["--batch-size", "2", "--sequence-length", "32", "--rank", "4", "--steps", flags.steps],
  ...["--log-every", "2", "--save-every", "2", "--provider", flags.provider],
];
let runs = 0;

/** Trains into a folder of its own. */
async function train(
  env: Record<string, string>,
  ...more: string[]
): Promise<Ended & { output: string }> {
  const output = join(folder, `run-${runs++}`);
  const words = [...TRAIN, "--output-dir", output, ...more];
  return { ...await deno(commandLine(words), { env: { ...layer, ...env } }), output };
}

/** The errors in what a run said, without the lines that may come before. */
const errorsOf = (stderr: string) =>
  stderr.split("\n").filter((line) => /^(unexpected )?error/.test(line));

/** In which of the ways a run ended; null for none. */
async function wayOf(
  { code, hung, stderr, output }: Ended & { output: string },
  whole: string,
): Promise<string | null> {
  if (hung) return null;
  if (code === 0 && await resultOf(output) !== whole) return null;
  const isTidy = (await remnants(output)).length === 0;
  const panicked = /panicked/.test(stderr) ? ", after a panic" : "";
  if (code === 0) return isTidy ? `restarted${panicked}` : null;
  const [error, ...others] = errorsOf(stderr);
  const isTold = code === 1 && others.length === 0 && /^error: Cannot /.test(error ?? "");
  return isTold && isTidy && !panicked ? "told" : null;
}

const counts = join(folder, "counts.json");
const undisturbed = await train({ FAULTY_COUNT: counts });
if (undisturbed.code !== 0) throw new Error(`The run without a loss failed: ${undisturbed.stderr}`);
const whole = await resultOf(undisturbed.output);
const found: Record<string, number> = JSON.parse(await Deno.readTextFile(counts));
let failures = 0;
for (const kind of ["submit", "wait", "look", "alloc"]) {
  const ways: Record<string, number> = {};
  for (let i = 0; i < Math.min(moments, found[kind]); i++) {
    const n = 1 + Math.floor(i * (found[kind] - 1) / Math.max(1, moments - 1));
    const once = join(folder, `lost-${kind}-${n}`);
    const ended = await train(
      { [`FAULTY_${kind.toUpperCase()}`]: String(n), FAULTY_ONCE: once },
      ...["--on-device-lost", "restart"],
    );
    const way = await wayOf(ended, whole);
    ways[way ?? "WRONG"] = (ways[way ?? "WRONG"] ?? 0) + 1;
    if (way !== null) continue;
    failures++;
    console.error(
      `${kind} ${n}: exit code ${ended.code}${ended.hung ? ", hung" : ""}\n${ended.stderr}`,
    );
  }
  console.log(`${flags.provider}, lost at ${kind} (of ${found[kind]}):`, ways);
}
await Deno.remove(folder, { recursive: true });
Deno.exit(failures > 0 ? 1 : 0);
