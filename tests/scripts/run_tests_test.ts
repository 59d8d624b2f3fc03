import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { countTests, deathOf } from "../../scripts/run_tests.ts";
import { withFolder } from "../support/io.ts";

const RUNNER = new URL("../../scripts/run_tests.ts", import.meta.url).pathname;

/** Runs test files, by their path in a folder, and says what came of them. */
async function run(files: Record<string, string>) {
  let ended: { code: number; out: string; err: string; counts: string; suites: string[] };
  await withFolder(async (folder) => {
    for (const [path, code] of Object.entries(files)) {
      await Deno.mkdir(join(folder, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, path), code);
    }
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", RUNNER, "--no-check", "--junit-path=all.xml", "."],
      cwd: folder,
      env: { NO_COLOR: "1" },
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    const junit = await Deno.readTextFile(join(folder, "all.xml"));
    const suites = [...junit.matchAll(/<testsuite name="([^"]+)"/g)].map(([, name]) => name);
    ended = { code, out, err, counts: countTests(junit), suites };
  });
  return ended!;
}

const FINE = `Deno.test("passes", () => {});`;
/** Kills its own process, whenever or only the first time. */
const DIES = `Deno.test("dies", () => Deno.kill(Deno.pid, "SIGABRT"));`;
const DIES_ONCE = `Deno.test("dies once", () => {
  try {
    Deno.mkdirSync("died");
  } catch {
    return;
  }
  Deno.kill(Deno.pid, "SIGABRT");
});`;

Deno.test("files whose process dies are run once more, each by itself, and all are counted", async () => {
  const { code, err, out, counts, suites } = await run({
    "a/dies_once_test.ts": DIES_ONCE,
    "a/fine_test.ts": FINE,
    "b/fine_test.ts": FINE + `Deno.test.ignore("waits", () => {});`,
  });
  assertEquals(code, 0);
  const died = "The process of a died by SIGABRT: run";
  assertStringIncludes(err, `${died} a/dies_once_test.ts once more by itself`);
  assertStringIncludes(err, `${died} a/fine_test.ts once more by itself`);
  assert(!err.includes("run b/"));
  assertEquals(counts, "3 passed, 0 failed, 1 skipped");
  assert(out.endsWith("ok: 3 passed, 0 failed, 1 skipped\n"));
  assertEquals(suites, ["./a/dies_once_test.ts", "./a/fine_test.ts", "./b/fine_test.ts"]);
});

Deno.test("a file that dies again has failed, and the others have not", async () => {
  const { code, err, counts } = await run({ "dies_test.ts": DIES, "fine_test.ts": FINE });
  assertEquals(code, 1);
  assertStringIncludes(err, "FAILED: dies_test.ts died by SIGABRT by itself, too");
  assertEquals(counts, "1 passed, 1 failed, 0 skipped");
});

Deno.test("a test that fails has failed, and is not run again", async () => {
  const { code, err, counts } = await run({
    "a/fails_test.ts": `Deno.test("fails", () => { throw new Error("once"); });`,
    "b/fine_test.ts": FINE,
  });
  assertEquals([code, counts], [1, "1 passed, 1 failed, 0 skipped"]);
  assert(!err.includes("once more"));
});

Deno.test("a process dies by a fault or a panic, not by a failure nor by someone's hand", () => {
  const ending = { success: false, code: 1, signal: null, stderr: "" };
  assertEquals(deathOf(ending), null);
  assertEquals(deathOf({ ...ending, signal: "SIGSEGV" }), "SIGSEGV");
  assertEquals(deathOf({ ...ending, code: 134 }), "SIGABRT");
  assertEquals(deathOf({ ...ending, stderr: "==\nDeno has panicked. This" }), "a panic of Deno");
  assertEquals(deathOf({ ...ending, code: 130, signal: "SIGINT" }), null);
  assertEquals(deathOf({ ...ending, code: 130 }), null);
});
