import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { exists } from "../../src/io/exists.ts";
import { gather, signalled, start, startRun } from "../support/cli_process.ts";
import { withFolder } from "../support/io.ts";

Deno.test("the process writes to its streams and ends with the command's code", async () => {
  const child = start(["train", "--modle", "x"]);
  const [out, err, { code }] = await Promise.all([
    gather(child.stdout),
    gather(child.stderr),
    child.status,
  ]);
  assertEquals([out, code], ["", 2]);
  assert(err.endsWith("error: There is no flag --modle: did you mean --model?\n"), err);
});

for (const [signal, wanted] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.test(`${signal} ends training after a step with a checkpoint, from which it goes on`, () =>
    withFolder(async (folder) => {
      const output = join(folder, "out");
      const child = await startRun(folder, output, []);
      const { err, code } = await signalled(child, signal);
      assertEquals(code, wanted, err);
      const [, step] = err.match(/interrupted after step (\d+): go on with --resume-from/)!;
      assert(await exists(join(output, `checkpoint-${step}`)), err);
      assert(!await exists(join(output, "config.json")));
      if (signal === "SIGINT") return;
      const resumed = start(["train", "--resume-from", output, "--steps", `${Number(step) + 1}`]);
      const [out] = await Promise.all([gather(resumed.stdout), gather(resumed.stderr)]);
      assertEquals((await resumed.status).code, 0);
      assert(out.startsWith("trained 1 steps"), out);
    }));
}

Deno.test("a second signal ends the process at once", () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    // Between two looks at the clock the process has both.
    const child = await startRun(folder, output, ["--eval-data", join(folder, "data.jsonl")]);
    const { err, code } = await signalled(child, "SIGTERM", "SIGINT");
    assert(code === 130 || code === 143, `${code}: ${err}`);
    assert(!err.includes("interrupted after step"), err);
  }));

Deno.test("a run goes on beside others that are refused, and when nobody reads what it says", () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    const child = await startRun(folder, output, []);
    const log = join(output, "training_log.jsonl");
    const steps = async () => (await Deno.readTextFile(log)).split("\n").length - 1;
    const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("step 5/");) text += (await reader.read()).value ?? "";

    const refuse = async (line: string) => {
      const second = start(line.split(" "));
      const [, err, { code }] = await Promise.all([
        gather(second.stdout),
        gather(second.stderr),
        second.status,
      ]);
      const words = `error: Cannot train into "${output}" as another run writes there (process ` +
        `${child.pid}, since `;
      assert(err.startsWith(words), err);
      assertEquals(code, 1);
    };
    await refuse(
      `train --model ${folder} --data ${folder}/data.jsonl --output-dir ${output} --overwrite`,
    );
    await refuse(`train --resume-from ${output}`);

    await reader.cancel();
    await child.stdout.cancel();
    const before = await steps();
    while (await steps() < before + 30) await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 143);
    const lines = (await Deno.readTextFile(log)).trim().split("\n").map((line) =>
      JSON.parse(line).step
    );
    assertEquals(lines, lines.map((_, i) => i + 1));
    assert(await exists(join(output, `checkpoint-${lines.at(-1)}`)));
    assert(!await exists(join(output, ".lock")));
  }));

Deno.test("a process that is asked to end before it trains leaves no folder", () =>
  withFolder(async (folder) => {
    const output = join(folder, "deep/out");
    const child = await startRun(folder, output, []);
    while (!await exists(join(output, ".lock"))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill("SIGTERM");
    const [, err, { code }] = await Promise.all([
      gather(child.stdout),
      gather(child.stderr),
      child.status,
    ]);
    assertEquals([code, await exists(join(folder, "deep"))], [143, false], err);
  }));
