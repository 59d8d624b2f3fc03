/** Data on the command line: where it comes from, what is said of it, and what docs/DATA.md runs. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { main } from "../../src/cli/main.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const rows = (count: number, name: string) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `${name} ${i}? `, completion: `yes, ${i}` }));
const lines = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");

/** Runs `test` within a folder that has a model and data. */
function withData(test: (folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    await Deno.mkdir(join(folder, "general"));
    await Deno.writeTextFile(join(folder, "own.jsonl"), lines(rows(12, "own")));
    const table = rows(8, "general").map((row) => `"${row.prompt}","${row.completion}"`);
    const csv = ["prompt,completion", ...table].join("\n");
    await Deno.writeTextFile(join(folder, "general/a.csv"), csv);
    const home = Deno.cwd();
    Deno.chdir(folder);
    try {
      await test(folder);
    } finally {
      Deno.chdir(home);
    }
  });
}

Deno.test("every command of docs/DATA.md runs", () =>
  withData(async () => {
    const page = await Deno.readTextFile(new URL("../../docs/DATA.md", import.meta.url));
    const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
      block.trim().split("\n")
    );
    assertEquals(blocks.length, 3);
    const body = Uint8Array.from(gzipSync(lines(rows(5, "held out"))));
    const server = Deno.serve({ port: 0, onListen() {} }, () => new Response(body));
    try {
      for (const line of blocks) {
        const [, words] = line.match(/^deno run -A jsr:@falqon\/webgpu\/cli (.+)$/)!;
        const local = words.replace("https://example.org", `http://127.0.0.1:${server.addr.port}`);
        const terminal = new TestTerminal();
        const code = await main(local.replaceAll("'", "").split(" "), terminal);
        assertEquals(code, 0, `${line}\n${terminal.err}`);
        assert(terminal.out !== "", line);
      }
    } finally {
      await server.shutdown();
    }
  }));

Deno.test("every --data is read, and the run's options name them all", () =>
  withData(async (folder) => {
    const shape = "--model model --method full --batch-size 4 --sequence-length 40 --no-packing";
    const data = "--data own.jsonl --data general/*.csv";
    const trained = await runCommand(`train ${shape} ${data} --output-dir out`);
    assertEquals(trained.code, 0, trained.err);
    assertMatch(trained.out, /^trained 5 steps/); // 20 rows
    const options = JSON.parse(await Deno.readTextFile("out/training_options.json"));
    const real = await Deno.realPath(folder);
    assertEquals(options.data, [join(real, "own.jsonl"), join(real, "general/*.csv")]);
    const again = await runCommand(
      `train --model model --config out/training_options.json --data-weights 0.5,2 ` +
        "--output-dir again",
    );
    assertMatch(again.out, /^trained [56] steps/); // about 6 + 16 rows
    const wrong = await runCommand(`train ${shape} ${data} --data-weights 1 --output-dir wrong`);
    assertEquals(wrong.code, 2);
    assertStringIncludes(
      wrong.err,
      "--data-weights has 1 numbers, but --data is there 2 times: give one number for each",
    );
    const negative = await runCommand(`train ${shape} ${data} --data-weights 1,-1`);
    assertStringIncludes(negative.err, "numbers above 0 with commas between");
  }));

Deno.test("what is cut is said before the first step, at the end, and by eval", () =>
  withData(async () => {
    const long = [{ prompt: "p", completion: "x".repeat(60), context: "c" }, ...rows(3, "q")];
    await Deno.writeTextFile("long.jsonl", lines(long));
    const shape = "--model model --data long.jsonl --batch-size 2 --sequence-length 32";
    const { code, err } = await runCommand(
      `train ${shape} --eval-data long.jsonl --method full --steps 1`,
    );
    assertEquals(code, 0, err);
    const [before, after] = err.split("\nstep 1/1");
    const cut =
      /1 of 4 rows have their completion cut at its end to fit --sequence-length, so \d+ of \d+ targets are not/;
    assertMatch(before, new RegExp(`^note: of the data ${cut.source} learned`, "m"));
    assertMatch(before, new RegExp(`^note: of the held-out data ${cut.source} counted`, "m"));
    assertStringIncludes(before, 'note: of the data 1 of 4 rows have a column "context" that is');
    assertMatch(after, new RegExp(`^warning: ${cut.source} learned`, "m"));
    const evaluated = await runCommand(`eval ${shape}`);
    assertMatch(evaluated.err, new RegExp(`^warning: ${cut.source} counted`, "m"));
    assertEquals(Object.keys(JSON.parse(evaluated.out)), ["loss", "perplexity", "tokens"]);
  }));

Deno.test("an empty held-out side is named as such before anything is trained", () =>
  withData(async () => {
    const line = "train --model model --data own.jsonl --eval-fraction 0.00001 --steps 1";
    const { code, err } = await runCommand(line);
    assertEquals(code, 1);
    assertStringIncludes(err, "error: Cannot use the rows held out of own.jsonl: there are none");
  }));

Deno.test("--show-rows prints rows as they are trained and ends, without a GPU", () =>
  withData(async () => {
    await Deno.writeTextFile("chat.jsonl", lines([{ prompt: "a b", completion: " c" }]));
    const { code, out, err } = await runCommand(
      "train --model model --data chat.jsonl --show-rows 5",
    );
    assertEquals([code, err], [0, ""]);
    assertMatch(out, /^--- 1: \d+ tokens, \d+ of them targets\n/);
    assertStringIncludes(out, "a b⟦ c");
    const terminal = new TestTerminal(null, "", true);
    await main("train --model model --data own.jsonl --show-rows 1".split(" "), terminal);
    assertStringIncludes(terminal.out, "\x1b[32m");
    assertEquals(terminal.out.match(/^---/gm)!.length, 1);
  }));
