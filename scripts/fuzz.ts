/**
 * Tries the parsers with inputs that nobody wrote: changed models, data, settings. What a parser makes of each is counted: it
 * is accepted, or refused by an error of `src/errors.ts`; everything else is a fault.
 *
 * Run: `deno task fuzz [TARGET] [COUNT] [SEED]`, `deno task fuzz --list`, and for one input, with its error's stack,
 * `deno task fuzz TARGET 1 SEED --at INDEX`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type CampaignResult, runCampaign } from "../tests/fuzz/frame/campaign.ts";
import { showInput, tryInput } from "../tests/fuzz/frame/outcome.ts";
import { FuzzRandom } from "../tests/fuzz/frame/random.ts";
import {
  CAMPAIGN_INPUTS,
  type FuzzTarget,
  loadTarget,
  targetModule,
  targetNames,
} from "../tests/fuzz/frame/target.ts";

const USAGE = "deno task fuzz [TARGET] [COUNT] [SEED] [--at INDEX] [--list]";
const DEFAULT_SEED = 7;

/** The table of what came of campaigns, as Markdown. */
export function table(rows: readonly (CampaignResult & { about: string })[]): string {
  const head = [
    "parser",
    "inputs",
    "accepted",
    "named",
    "unnamed",
    "accepted nonsense",
    "hang > 5 s",
  ];
  const count = (number: number) => number.toLocaleString("en");
  const lines = rows.map((row) => [
    row.about,
    ...[row.inputs, row.accepted, row.named, row.unnamed, row.nonsense, row.hang].map(count),
    `${count(Math.round(row.slowest))} ms`,
  ]);
  return [[...head, "slowest (not hung)"], ["---", ...head.map(() => "--:")], ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Whether a campaign found a fault. */
export function hasFaults({ unnamed, nonsense, hang }: CampaignResult): boolean {
  return unnamed + nonsense + hang > 0;
}

async function campaign(
  name: string,
  { about, cost }: FuzzTarget,
  given: number | undefined,
  seed: number,
): Promise<CampaignResult & { about: string }> {
  const count = given ?? CAMPAIGN_INPUTS[cost];
  let told = performance.now();
  const onProgress = (done: number) => {
    const now = performance.now();
    if (now - told < (Deno.stderr.isTerminal() ? 500 : 30_000)) return;
    told = now;
    const line = `${name}: ${done.toLocaleString("en")} of ${count.toLocaleString("en")}`;
    Deno.stderr.writeSync(
      new TextEncoder().encode(Deno.stderr.isTerminal() ? `\r\x1b[K${line}` : `${line}\n`),
    );
  };
  const result = await runCampaign({ module: targetModule(name), seed, count, onProgress });
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode("\r\x1b[K"));
  for (const { index, outcome, place, problem } of result.findings) {
    console.log(`${name} ${outcome} ${place}\n    ${problem.replaceAll("\n", "\n    ")}`);
    console.log(`    deno task fuzz ${name} 1 ${seed} --at ${index}`);
  }
  if (result.inputs < count) console.log(`${name} was ended after ${result.hang} hangs`);
  return { ...result, about };
}

/** Runs one input here, and shows it. */
async function reproduce({ prepare }: FuzzTarget, seed: number, index: number): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "fuzz-" });
  try {
    const fuzzing = await prepare(folder);
    const input = fuzzing.make(new FuzzRandom(seed, index));
    console.log(showInput(fuzzing, input));
    const { outcome, error } = await tryInput(fuzzing, input);
    console.log(`\n${outcome}${error && `: ${error}`}`);
    await fuzzing.close?.();
    return outcome === "accepted" || outcome === "named";
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A whole number of the command line. */
function whole(word: unknown, name: string): number | undefined {
  if (word === undefined) return undefined;
  const number = Number(String(word).replaceAll(/[_,]/g, ""));
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new Error(`${name} is "${word}", and has to be a whole number: ${USAGE}`);
}

async function main(words: string[]): Promise<boolean> {
  const flags = parseArgs(words, { boolean: ["list"], string: ["at", "_"] });
  const [name, count, seed = DEFAULT_SEED] = flags._;
  const known = targetNames();
  if (flags.list) {
    for (const target of known) {
      const { about, cost } = await loadTarget(targetModule(target));
      console.log(`${target.padEnd(24)} ${cost.padEnd(6)} ${about}`);
    }
    return true;
  }
  if (name !== undefined && !known.includes(String(name))) {
    throw new Error(`There is no target "${name}": give one of ${known.join(", ")}`);
  }
  const at = whole(flags.at, "--at");
  if (at !== undefined) {
    if (name === undefined) throw new Error(`--at needs a target: ${USAGE}`);
    return await reproduce(await loadTarget(targetModule(String(name))), whole(seed, "SEED")!, at);
  }
  const rows = [];
  for (const target of name === undefined ? known : [String(name)]) {
    const loaded = await loadTarget(targetModule(target));
    rows.push(await campaign(target, loaded, whole(count, "COUNT"), whole(seed, "SEED")!));
  }
  console.log(`\n${table(rows)}`);
  return !rows.some(hasFaults);
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args) ? 0 : 1);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(2);
  }
}
