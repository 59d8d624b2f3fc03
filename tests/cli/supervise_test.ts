/** `--on-device-lost restart` natively: the run has a process of its own, and goes on in another when that breaks down. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { supervise } from "../../src/cli/supervise.ts";
import { DeviceLostError } from "../../src/errors.ts";
import { exists } from "../../src/io/exists.ts";
import { buildLayer } from "../../scripts/trouble/faulty_driver.ts";
import { gather, signalled, start, startRun } from "../support/cli_process.ts";
import { type FakeAttempt, ORDERS } from "../support/fake_training.ts";
import { withFolder } from "../support/io.ts";
import { TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const FAKE = new URL("../support/fake_training.ts", import.meta.url).pathname;
const RESTART = ["--on-device-lost", "restart"];
const BROKE =
  "the process that trains broke down (exit code 1, as where the GPU is lost during a wait)";

/** Watches over processes that do what is said, and gives how each was told to begin. */
async function watchOver(
  folder: string,
  attempts: FakeAttempt[],
): Promise<{ code: number | Error; froms: object[]; said: string[] }> {
  const [file, output] = [join(folder, "attempts.json"), join(folder, "out")];
  await Deno.writeTextFile(file, JSON.stringify(attempts));
  await Deno.mkdir(output, { recursive: true });
  const child = {
    command: Deno.execPath(),
    args: ["run", "-A", "--no-lock", "--no-check", FAKE, file, output],
  };
  const terminal = new TestTerminal();
  const code = await supervise({ child, output, step: 0, pause: 0 }, terminal)
    .catch((error) => error);
  const orders = (await Deno.readTextFile(join(folder, ORDERS))).trim().split("\n");
  await Deno.remove(join(folder, ORDERS));
  return {
    code,
    froms: orders.map((order) => JSON.parse(order).from),
    said: terminal.err.split("\n").filter((line) => line !== ""),
  };
}

Deno.test("a process that breaks down is started again from what is kept", () =>
  withFolder(async (folder) => {
    const out = join(folder, "out");
    const { code, froms, said } = await watchOver(folder, [
      { end: 1 },
      { logged: 1, end: "SIGSEGV" },
      { logged: 5, checkpoints: [2, 4], end: 1 },
      { end: 1 },
      { logged: 8, checkpoints: [8], end: "SIGABRT" },
      { end: 0 },
    ]);
    assertEquals(code, 0);
    const checkpoint = (step: number) => ({ resumeFrom: join(out, `checkpoint-${step}`) });
    assertEquals(froms, [
      {},
      {},
      { overwrite: true },
      checkpoint(4),
      checkpoint(4),
      checkpoint(8),
    ]);
    const again = "restart 1 of at most 3 from there";
    const segv = BROKE.replace("exit code 1", "SIGSEGV");
    assertEquals(said, [
      `warning: ${BROKE} before training: trying again in a new process, ${again}`,
      `warning: ${segv} after step 1: starting again at step 1 in a new process, step 1 is done again, ${again}`,
      `warning: ${BROKE} after step 5: going on from "${out}/checkpoint-4" in a new process, step 5 is done again, ${again}`,
      `warning: ${BROKE} before training: trying again in a new process, restart 2 of at most 3 from there`,
      `warning: ${BROKE.replace("exit code 1", "SIGABRT")} after step 8: going on from ` +
      `"${out}/checkpoint-8" in a new process, ${again}`,
    ]);
  }));

Deno.test("what an earlier run left is not taken for the run's own", () =>
  withFolder(async (folder) => {
    const out = join(folder, "out");
    await Deno.mkdir(join(out, "checkpoint-90"), { recursive: true });
    await Deno.writeTextFile(join(out, "training_log.jsonl"), '{"step":90,"loss":1}\n');
    const { froms } = await watchOver(folder, [{ end: 1 }, { end: 0 }]);
    assertEquals(froms, [{}, {}]);
  }));

Deno.test("after three restarts in a row from one step it gives up, and says what is kept", () =>
  withFolder(async (folder) => {
    const lost = { logged: 5, end: 1 };
    const { code, froms, said } = await watchOver(folder, [
      { ...lost, checkpoints: [4] },
      ...[lost, lost, lost, { end: 0 }],
    ]);
    assert(code instanceof DeviceLostError);
    assertMatch(
      code.message,
      /^Cannot continue as the process that trains broke down \(exit code 1\), .*; step 4 is kept in "[^"]*checkpoint-4", to go on from by resumeFrom, and step 5 is to do again; it was restarted 3 times in a row without coming any further$/,
    );
    assertEquals([froms.length, said.length], [4, 3]);
  }));

Deno.test("an end that is no breakdown is passed on", () =>
  withFolder(async (folder) => {
    for (const [end, wanted] of [[0, 0], [2, 2], [3, 1], [130, 130], [143, 143], [129, 129]]) {
      const { code, said } = await watchOver(folder, [{ end }]);
      assertEquals([code, said], [wanted, []]);
    }
    const { code, said } = await watchOver(folder, [{ logged: 3, end: "SIGKILL" }]);
    assertEquals(code, 137);
    assertEquals(said, [
      "warning: the process that trains was ended by SIGKILL; no checkpoint was written, so steps 1 to 3 are to do again",
    ]);
  }));

/** The process that has a run's folder. */
async function holderOf(output: string): Promise<number> {
  for (;; await new Promise((resolve) => setTimeout(resolve, 10))) {
    const text = await Deno.readTextFile(join(output, ".lock")).catch(() => "");
    const [, pid] = /^process (\d+),.*\n$/.exec(text) ?? [];
    if (pid !== undefined) return Number(pid);
  }
}

const STEPS = 24;

/** A run of a few steps. */
async function startShort(
  folder: string,
  name: string,
  more: string[],
  env?: Record<string, string>,
): Promise<{ child: Deno.ChildProcess; output: string }> {
  const output = join(folder, name);
  await writeTinyModel(folder);
  const data = join(folder, "data.jsonl");
  const rows = Array.from(
    { length: 40 },
    (_, i) => JSON.stringify({ text: `${i} abcdefgh` }) + "\n",
  );
  await Deno.writeTextFile(data, rows.join(""));
  const line =
    `train --model ${folder} --data ${data} --output-dir ${output} --method lora --rank 2 ` +
    `--steps ${STEPS} --batch-size 1 --sequence-length 16 --log-every 1 --save-every 5`;
  return { child: start([...line.split(" "), ...more], { env }), output };
}

/** The losses and the model of a run. */
async function resultOf(output: string): Promise<unknown[]> {
  const log = (await Deno.readTextFile(join(output, "training_log.jsonl"))).trim().split("\n")
    .map((line) => JSON.parse(line));
  return [
    log.map(({ step, loss }) => [step, loss]),
    await Deno.readFile(join(output, "adapter_model.safetensors")),
  ];
}

/** Waits for the end of a run. */
async function ended(
  child: Deno.ChildProcess,
  seen?: (text: string) => void,
): Promise<{ out: string; err: string; code: number }> {
  const [out, err, { code }] = await Promise.all([
    gather(child.stdout),
    gather(child.stderr, seen),
    child.status,
  ]);
  return { out, err, code };
}

Deno.test("a run whose process is taken down twice has the result of an undisturbed one", () =>
  withFolder(async (folder) => {
    const whole = await startShort(folder, "whole", []);
    assertEquals((await ended(whole.child)).code, 0);
    const { child, output } = await startShort(folder, "out", RESTART);
    const moments = ["step 3/", "step 13/"];
    const first = await holderOf(output);
    const { code, out, err } = await ended(child, async (text) => {
      if (moments.length === 0 || !text.includes(moments[0])) return;
      moments.shift();
      Deno.kill(await holderOf(output), "SIGABRT");
    });
    assertEquals([code, moments.length], [0, 0], err);
    assertEquals(await resultOf(output), await resultOf(whole.output));
    assertMatch(
      err,
      /warning: the process that trains broke down \(SIGABRT[^\n]* starting again at step 1 in a new process/,
    );
    assertMatch(err, /\(SIGABRT[^\n]* going on from "[^"]*\/checkpoint-\d+" in a new process/);
    assertStringIncludes(out, `trained ${STEPS} steps in `);
    assert(first !== child.pid);
    assert(!await exists(join(output, ".lock")));
  }));

const hasCompiler = await new Deno.Command("cc", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

Deno.test({
  name:
    "a GPU that a driver loses while Deno waits for it costs the steps since the checkpoint, no more",
  ignore: !hasCompiler, // the test before this one does the same without a driver
  fn: () =>
    withFolder(async (folder) => {
      const layer = await buildLayer(folder);
      const counts = join(folder, "counts.json");
      const whole = await startShort(folder, "whole", [], { ...layer, FAULTY_COUNT: counts });
      assertEquals((await ended(whole.child)).code, 0);
      const { wait } = JSON.parse(await Deno.readTextFile(counts));
      const { child, output } = await startShort(folder, "out", RESTART, {
        ...layer,
        FAULTY_WAIT: String(Math.floor(wait * 0.75)),
        FAULTY_ONCE: join(folder, "once"),
      });
      const { code, err } = await ended(child);
      assertEquals(code, 0, err);
      assertStringIncludes(err, "Deno has panicked");
      assertStringIncludes(err, `warning: ${BROKE} after step `);
      assertEquals(await resultOf(output), await resultOf(whole.output));
    }),
});

Deno.test("an error of a supervised run is told once, with its own exit code", () =>
  withFolder(async (folder) => {
    for (
      const [words, wanted, message] of [
        [["--data", "missing.jsonl"], 1, "missing.jsonl"],
        [["--data", join(folder, "data.jsonl"), "--evalfraction", "1"], 2, "--evalfraction"],
      ] as const
    ) {
      await writeTinyModel(folder);
      await Deno.writeTextFile(join(folder, "data.jsonl"), '{"text": "abcdefghijkl"}\n');
      const { code, err } = await ended(
        start([
          "train",
          "--model",
          folder,
          "--output-dir",
          join(folder, "out"),
          ...RESTART,
          ...words,
        ]),
      );
      assertEquals(code, wanted, err);
      assertEquals(err.match(/^(unexpected )?error: .*$/gm)?.length, 1, err);
      assertStringIncludes(err, message);
    }
  }));

for (const [signal, wanted] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.test(`${signal} at the supervisor, and at both as from a terminal, ends a supervised run after its step`, () =>
    withFolder(async (folder) => {
      for (const isBoth of [false, true]) {
        const output = join(folder, isBoth ? "both" : "one");
        const child = await startRun(folder, output, RESTART);
        let holder = 0;
        const { code, err } = await ended(child, async (text) => {
          if (holder !== 0 || !text.includes("step 5/")) return;
          holder = -1;
          holder = await holderOf(output);
          child.kill(signal);
          if (isBoth) Deno.kill(holder, signal);
        });
        assertEquals(code, wanted, err);
        assert(holder > 0 && holder !== child.pid);
        const [, step] = err.match(/interrupted after step (\d+): go on with --resume-from/)!;
        assert(await exists(join(output, `checkpoint-${step}`)), err);
        assert(!err.includes("warning: the process"), err);
      }
    }));
}

Deno.test("a second signal at the supervisor ends a supervised run at once", () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    const child = await startRun(folder, output, [
      ...RESTART,
      ...["--eval-data", join(folder, "data.jsonl")],
    ]);
    const { err, code } = await signalled(child, "SIGTERM", "SIGINT");
    assert(code === 130 || code === 143, `${code}: ${err}`);
    assert(!err.includes("interrupted after step"), err);
  }));

Deno.test("a run whose supervisor is killed ends after its step, saved", () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    const child = await startRun(folder, output, RESTART);
    const { code, err } = await signalled(child, "SIGKILL");
    assertEquals(code, 137);
    // Its streams are open as long as the other process lives.
    const [, step] = err.match(/interrupted after step (\d+): go on with --resume-from/)!;
    assert(await exists(join(output, `checkpoint-${step}`)), err);
    assert(!await exists(join(output, ".lock")));
  }));

Deno.test("a supervised process has the permissions of its supervisor", () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    const permissions = [
      ...["--allow-read", "--allow-write", "--allow-run", "--no-prompt"],
      ...["--deny-net", "--deny-env", "--deny-ffi", "--deny-sys"],
    ];
    const child = await startRun(folder, output, RESTART, { permissions });
    const holder = await holderOf(output);
    assert(holder !== child.pid);
    if (Deno.build.os === "linux") {
      const words = (await Deno.readTextFile(`/proc/${holder}/cmdline`)).split("\0");
      assertEquals(words.slice(1, words.indexOf("supervised") - 1), [
        ...["run", "--allow-read", "--allow-write"],
        ...["--deny-net", "--deny-env", "--deny-ffi", "--deny-sys"],
      ]);
    }
    const { code, err } = await signalled(child, "SIGTERM");
    assertEquals(code, 143, err);
    assert(!err.includes("does not cover"), err);
  }));

Deno.test("where there can be no second process, a warning says so and the run goes its way", () =>
  withFolder(async (folder) => {
    const files = ["--allow-read", "--allow-write", "--no-prompt"];
    const denied = ["--deny-net", "--deny-env", "--deny-ffi", "--deny-sys"];
    const warning =
      "warning: --on-device-lost restart does not cover a GPU that is lost while Deno's WebGPU " +
      "waits for it, which ends the process: to go on after that takes a second process, ";
    for (
      const [permissions, why] of [
        [[...files, ...denied], "which needs --allow-run\n"],
        [[...files, ...denied, "--allow-run=deno"], "which needs --allow-run\n"],
        [
          [...files, "--allow-run", "--allow-env=HOME", "--deny-net=a.example", "--deny-ffi"],
          "whose permissions must be whole to be the same: start with -A, or give --allow-net or " +
          "--deny-net, --allow-env or --deny-env, --allow-sys or --deny-sys\n",
        ],
      ] as const
    ) {
      const output = join(folder, "out");
      const child = await startRun(folder, output, RESTART, { permissions: [...permissions] });
      assertEquals(await holderOf(output), child.pid);
      const { code, err } = await signalled(child, "SIGTERM");
      assertEquals(code, 143, err);
      assertStringIncludes(err, warning + why);
      await Deno.remove(output, { recursive: true });
    }
  }));
