/**
 * Runs the tests, a few files of a folder per process and two processes per core, and continues where a process dies.
 *
 * A driver can take down the process that uses it, and with it the results of what had run. So every file of that process
 * is then run once more, each in a process of its own. What merely fails is not run again. What a process prints is shown
 * when it has ended.
 *
 * Run: `deno run -A scripts/run_tests.ts [options of deno test] [files and folders]`, by default
 * all of `tests/`. Write an option's value after `=`.
 *
 * @module
 */

import { dirname, join } from "node:path";

/** What Deno prints when its own code fails. It exits with 1 then, as it does for a failed test. */
const PANIC = "Deno has panicked";

/** By number: signals by which a process ends because it is broken, not because someone ends it. */
const CRASHES: Readonly<Record<number, Deno.Signal>> = {
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  11: "SIGSEGV",
};

/**
 * Mesa's CPU driver without threads of its own: for the small shapes of tests, handing work over costs more than sharing
 * it wins (the tests of the trainer: 20.6 in place of 24.3 s of processor time).
 */
const ENV: Record<string, string> = Deno.env.has("LP_NUM_THREADS") ? {} : { LP_NUM_THREADS: "0" };

/** Files per process: enough to share its start, few enough that the last process does not run alone for long. */
const FILES = 4;
/**
 * Processes at once: two per core, as tests wait half of their time (native WebGPU looks for the end of work every 10 ms);
 * no more than have a gigabyte each.
 */
const PROCESSES = Math.max(
  1,
  Math.min(
    2 * navigator.hardwareConcurrency,
    Math.floor(Deno.systemMemoryInfo().total / 2 ** 30),
    8,
  ),
);

/** How a process ended. */
export interface Ending extends Deno.CommandStatus {
  stderr: string;
}

/** What killed a process, such as "SIGABRT"; null if it ended by itself, or someone ended it. */
export function deathOf({ code, signal, stderr }: Ending): string | null {
  if (stderr.includes(PANIC)) return "a panic of Deno";
  if (signal !== null) return Object.values(CRASHES).includes(signal) ? signal : null;
  return CRASHES[code - 128] ?? null; // a shell reports 128 plus the signal's number
}

/** Results of test files. */
interface Outcome {
  success: boolean;
  /** JUnit XML, one text per process. */
  results: string[];
}

/** Runs files together, and if their process dies, each once more by itself. */
async function runTogether(files: readonly string[], flags: readonly string[]): Promise<Outcome> {
  const first = await denoTest(files, flags);
  const death = deathOf(first);
  if (death === null) return first;
  const outcome: Outcome = { success: true, results: [] };
  for (const file of files) {
    console.error(
      `The process of ${dirname(file)} died by ${death}: run ${file} once more by itself`,
    );
    const again = await denoTest([file], flags);
    const deathAgain = deathOf(again);
    outcome.success &&= again.success && deathAgain === null;
    if (deathAgain === null) outcome.results.push(...again.results);
    else {
      console.error(`FAILED: ${file} died by ${deathAgain} by itself, too`);
      outcome.results.push(resultsOfDead(file, deathAgain));
    }
  }
  return outcome;
}

/** Runs `deno test` in a process of its own, and shows its output once it has ended. */
async function denoTest(
  files: readonly string[],
  flags: readonly string[],
): Promise<Ending & Outcome> {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "results.xml");
  try {
    const args = ["test", "-A", ...flags, `--junit-path=${path}`, ...files];
    const output = await new Deno.Command(Deno.execPath(), { args, env: ENV }).output();
    show(output.stdout, Deno.stdout);
    show(output.stderr, Deno.stderr);
    const { success, code, signal } = output;
    const stderr = new TextDecoder().decode(output.stderr);
    const results = await Deno.readTextFile(path).catch(() => null);
    return { success, code, signal, stderr, results: results === null ? [] : [results] };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function show(bytes: Uint8Array, on: { writeSync(bytes: Uint8Array): number }): void {
  for (let shown = 0; shown < bytes.length;) shown += on.writeSync(bytes.subarray(shown));
}

/** Results of a file that report only that its process died. */
function resultsOfDead(file: string, death: string): string {
  const name = `its process died by ${death}`;
  return `<testsuites tests="1" failures="0" errors="1" time="0">
    <testsuite name="./${file}" tests="1" disabled="0" errors="1" failures="0">
        <testcase name="${name}" classname="./${file}" time="0"><error message="${name}"/></testcase>
    </testsuite>
</testsuites>`;
}

/** The results of several processes as one. */
function merge(results: readonly string[]): string {
  const sums: Record<string, number> = { tests: 0, failures: 0, errors: 0, time: 0 };
  let suites = "";
  for (const xml of results) {
    const [, attributes, content] = xml.match(/<testsuites([^>]*)>([^]*)<\/testsuites>/)!;
    for (const name in sums) sums[name] += Number(attributes.match(`\\b${name}="([\\d.]+)"`)![1]);
    suites += content.trimEnd();
  }
  const attributes = Object.entries(sums).map(([name, sum]) => ` ${name}="${sum}"`).join("");
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test"${attributes}>${suites}\n</testsuites>\n`;
}

/** How many tests passed, failed and were skipped, of results as JUnit XML. */
export function countTests(junit: string): string {
  const [total, failures, errors] = ["tests", "failures", "errors"].map((name) =>
    Number(junit.match(`<testsuites [^>]*\\b${name}="(\\d+)"`)![1])
  );
  const skipped = junit.match(/<skipped\b/g)?.length ?? 0;
  const failed = failures + errors;
  return `${total - failed - skipped} passed, ${failed} failed, ${skipped} skipped`;
}

/** The test files behind files and folders. */
async function findTests(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if (!(await Deno.stat(path)).isDirectory) found.push(path);
    else {
      for await (const { name, isDirectory } of Deno.readDir(path)) {
        if (isDirectory) found.push(...await findTests([join(path, name)]));
        else if (name.endsWith("_test.ts")) found.push(join(path, name));
      }
    }
  }
  return found.sort();
}

/** Files in groups of at most {@linkcode FILES}. */
function chunks(files: readonly string[]): string[][] {
  return Array.from(
    { length: Math.ceil(files.length / FILES) },
    (_, i) => files.slice(i * FILES, (i + 1) * FILES),
  );
}

/** Runs the tests that a command line asks for. */
async function main(words: readonly string[]): Promise<boolean> {
  const paths = words.filter((word) => !word.startsWith("-"));
  const JUNIT = "--junit-path=";
  const junit = words.find((word) => word.startsWith(JUNIT))?.slice(JUNIT.length);
  const flags = words.filter((word) => word.startsWith("-") && !word.startsWith(JUNIT));
  const files = await findTests(paths.length ? paths : ["tests"]);

  // Types once for all, not once per folder.
  const lock = flags.filter((flag) => /^--(no-)?lock\b/.test(flag));
  const check = ["check", "--quiet", ...lock, ...files];
  if (!flags.some((flag) => flag.startsWith("--no-check"))) {
    const { success } = await new Deno.Command(Deno.execPath(), { args: check }).spawn().status;
    if (!success) return false;
    flags.push("--no-check");
  }

  const waiting = Object.values(Object.groupBy(files, dirname)).flatMap((folder) =>
    chunks(folder!)
  );
  const outcomes: Outcome[] = [];
  // From the last on: those of the trainer take longest, and what begins at the end runs alone for long.
  let next = waiting.length;
  const work = async () => {
    for (let i = --next; i >= 0; i = --next) {
      outcomes[i] = await runTogether(waiting[i], flags);
    }
  };
  await Promise.all(Array.from({ length: PROCESSES }, work));
  const passed = outcomes.every(({ success }) => success);
  const results = outcomes.flatMap((outcome) => outcome.results);
  const merged = merge(results);
  if (junit !== undefined) await Deno.writeTextFile(junit, merged);
  console.log(`${passed ? "ok" : "FAILED"}: ${countTests(merged)}`);
  return passed;
}

if (import.meta.main) Deno.exit(await main(Deno.args) ? 0 : 1);
