import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { main } from "../../src/cli/main.ts";
import { Progress } from "../../src/cli/progress.ts";
import { estimateRows } from "../../src/cli/row_estimate.ts";
import { StatusLine } from "../../src/cli/status_line.ts";
import { Dataset } from "../../src/data/dataset.ts";
import type { TrainingMetrics } from "../../src/train/metrics.ts";
import { withFolder } from "../support/io.ts";
import { TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const METRICS: TrainingMetrics = {
  step: 1200,
  loss: 0.59281,
  learningRate: 0.0002,
  gradNorm: 1,
  tokens: 1e6,
  epoch: 0,
  tokensPerSecond: 123456,
  waitMs: 0,
};

/** The bar after two groups of steps. */
function barOf(columns: number, totalSteps: number | null, activity: string | null = null): string {
  const terminal = new TestTerminal(columns);
  using line = new StatusLine(terminal);
  const options = { firstStep: 1000, totalSteps, logEvery: 10, line, activity: () => activity };
  using progress = new Progress(terminal, options);
  for (const step of [1199, 1200]) progress.update({ ...METRICS, step });
  return terminal.err.split("\r").at(-1)!.split("\x1b")[0];
}

Deno.test("what matters first is there in 80 columns, whole parts go in fewer", () => {
  assertMatch(
    barOf(80, 30000),
    /^\[-{10}\] 1200\/30000, \S+ left, loss 0\.5928, 123,456 tokens\/s, lr 0\.00020$/,
  );
  assertMatch(barOf(120, 3000), /^\[#{8}-{12}\] 1200\/3000, .*, lr 0\.00020, last loss 0\.5928$/);
  assertMatch(barOf(40, 3000), /^step 1200\/3000, \S+ left, loss 0\.5928$/);
  assertMatch(barOf(20, 3000), /^step 1200\/3000/);
  assertMatch(barOf(80, null), /^step 1200, loss 0\.5928, /);
  assertMatch(barOf(80, 3000, "evaluating"), /^\[####-{6}\] 1200\/3000, evaluating, loss /);
  for (const columns of [5, 10, 20, 40, 78, 80, 81, 100, 200]) {
    const text = barOf(columns, 3000);
    assert(text.length < columns, `${columns}: ${text}`);
  }
});

Deno.test("a line comes back after something else has cleared it, and ends with it", async () => {
  const terminal = new TestTerminal(80);
  {
    using line = new StatusLine(terminal);
    line.phase("evaluating");
    const before = terminal.err.split("evaluating").length;
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert(terminal.err.split("evaluating").length >= before + 2, terminal.err);
    line.terminal.stderr("note: x\n");
    assert(terminal.err.endsWith("\r\x1b[Knote: x\n\revaluating\x1b[K"), terminal.err);
    line.terminal.stdout("result\n");
    assertEquals(terminal.out, "result\n");
  }
  assert(terminal.err.endsWith("\r\x1b[K"), terminal.err);
  const { err } = terminal;
  await new Promise((resolve) => setTimeout(resolve, 400));
  assertEquals(terminal.err, err);
});

Deno.test("a terminal that becomes narrower keeps no piece of the line", () => {
  const terminal = new TestTerminal(80);
  using line = new StatusLine(terminal);
  line.show((columns) => "x".repeat(columns));
  assertEquals(terminal.err, "\r" + "x".repeat(79) + "\x1b[K");
  terminal.err = "";
  terminal.columns = 30;
  line.draw();
  assertEquals(terminal.err, "\x1b[2A\r\x1b[J" + "x".repeat(29) + "\x1b[K"); // three lines before
});

Deno.test("what stands in a line from a file moves no cursor", () => {
  const terminal = new TestTerminal(80);
  using line = new StatusLine(terminal);
  line.show(() => "a\x1b[2J\nb");
  assertEquals(terminal.err, "\ra\\u001b[2J\\nb\x1b[K");
});

Deno.test("where stderr is no terminal there is no line", () => {
  const terminal = new TestTerminal();
  using line = new StatusLine(terminal);
  line.phase("saving");
  line.keep();
  assertEquals(terminal.err, "");
});

Deno.test("rows are counted where they are few, else estimated from bytes, with weights and splits", () =>
  withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    const rows = (count: number) =>
      Array.from({ length: count }, (_, i) => `{"text": "${"x".repeat(i % 17)} ${i}"}\n`).join("");
    await Deno.writeTextFile(path("few.jsonl"), rows(100));
    await Deno.writeTextFile(path("many.jsonl"), rows(40000));
    await Deno.writeTextFile(path("array.json"), `[${rows(30).trim().split("\n").join(",")}]`);
    const estimate = async (...names: string[]) =>
      await estimateRows(await Dataset.open(names.map(path)));
    assertEquals(await estimate("few.jsonl"), 100);
    assertEquals(await estimate("array.json"), 30);
    assertEquals(await estimateRows(Dataset.from([{ text: "a" }, { text: "b" }])), 2);
    const near = (found: number | null, wanted: number) =>
      assert(found !== null && Math.abs(found - wanted) < 0.05 * wanted, `${found}, not ${wanted}`);
    near(await estimate("many.jsonl"), 40000);
    near(await estimate("many.jsonl", "few.jsonl"), 40100);
    near(await estimate("few.jsonl", "many.jsonl"), 40100);
    const weights = [2];
    near(await estimateRows(await Dataset.open([path("many.jsonl")], { weights })), 80000);
    const { train, heldOut } = Dataset.from(path("many.jsonl")).split(0.25);
    near(await estimateRows(train), 30000);
    near(await estimateRows(heldOut), 10000);
  }));

Deno.test("loading has a total, and evaluating counts rows", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    const rows = Array.from({ length: 6 }, (_, i) => `{"text": "Row ${i}."}\n`).join("");
    await Deno.writeTextFile(join(folder, "rows.jsonl"), rows);
    const run = async (line: string) => {
      const terminal = new TestTerminal(100);
      assertEquals(await main(line.split(" "), terminal), 0, terminal.err);
      return terminal.err;
    };
    const what = `--model ${folder}/model --data ${folder}/rows.jsonl --batch-size 2 ` +
      "--sequence-length 40";
    const trained = await run(`train ${what} --rank 3 --steps 1 --output-dir ${folder}/out`);
    assertMatch(trained, /loading the model, [\d.]+ \w+ of [\d.]+ \w+ on the GPU/);
    const evaluated = await run(`eval ${what}`);
    assertMatch(evaluated, /evaluating, 6 of 6 rows, loss \d/);
  }));
