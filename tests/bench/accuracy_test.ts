import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "node:path";
import { writeOutliers } from "../../bench/outliers.ts";
import { contenders, GROUPS, makeMethod } from "../../bench/support/accuracy_methods.ts";
import { bestRates, reportTables, type Result } from "../../bench/support/accuracy_report.ts";
import { lastRows } from "../../bench/support/held_out.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { Model } from "../../src/inference/model.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";

const MODEL = "examples/tiny/model";

function result(method: string, learningRate: number, seed: number, loss: number | null): Result {
  const setting = { gpu: "native", adapter: "GPU", model: "a/m", data: "b/d.jsonl", alpha: 16 };
  const measured = { trainLoss: 1, tokensPerSecond: 10, waitShare: 0, firstWaitMs: 0 };
  const times = { setUpSeconds: 1, seconds: 1, before: 4 };
  const run = { method, learningRate, seed, heldOutLoss: loss, rank: 8, steps: 5 };
  return { ...run, ...setting, ...measured, ...times };
}

Deno.test("methods of the accuracy bench are chosen by name and by group, and can be made", () => {
  assertEquals(
    contenders("qlora; starts").map(([name]) => name),
    ["qlora", ...Object.keys(GROUPS.starts)],
  );
  assertThrows(() => contenders("qlora;nothing"), UsageError, 'no method "nothing"');
  assertEquals(Object.keys(GROUPS.falqon).length, 12);
  const made = contenders("stories;baselines;falqon;starts").map(([, contender]) =>
    makeMethod(contender, { rank: 4, alpha: 4 })
  );
  assert(made.every(({ trains }) => trains));
});

Deno.test("the accuracy table has the best rate by the mean over seeds, and shares", () => {
  const lines = [
    result("untuned f32", 0, 0, 4),
    ...[[1, 2.0], [2, 2.2]].map(([seed, loss]) => result("lora f16", 0.1, seed, loss)),
    ...[[1, 1.9], [2, 2.6]].map(([seed, loss]) => result("lora f16", 0.2, seed, loss)),
    result("qlora", 0.1, 1, 2.5),
    result("qlora", 0.2, 1, null),
  ];
  assertEquals(bestRates(lines).get("lora f16"), 0.1);
  const table = reportTables(lines, "lora f16").split("\n");
  assertEquals(table[0], "m, d.jsonl, rank 8, 5 steps, native, GPU");
  const cells = (name: string) => table.find((row) => row.startsWith(`| ${name} |`))!.split(" | ");
  assertEquals(cells("lora f16").slice(1, 6), [
    "0.1",
    "4.0000",
    "2.0000, 2.2000",
    "2.1000",
    "100.0 %",
  ]);
  assertEquals(cells("qlora")[5], "78.9 %"); // 1.5 of 1.9
  assertEquals(cells("qlora").at(-1), "0.1: 2.5000, 0.2: – |");
  const alone = reportTables([result("qlora", 0.1, 2, 2.5)], "lora f16");
  assertMatch(alone, /\| qlora \| 0\.1 \| [\d.]+ \| 2\.5000 \| 2\.5000 \| – \| – \|/);
});

Deno.test("an exact number of last rows is held out, of lines and of an array", () =>
  withFolder(async (folder) => {
    const rows = [1, 2, 3, 4, 5].map((n) => ({ input_ids: [n, n] }));
    const path = join(folder, "rows.json");
    for (
      const text of [
        rows.map((row) => JSON.stringify(row)).join("\n"),
        JSON.stringify(rows, null, 1),
      ]
    ) {
      await Deno.writeTextFile(path, text);
      const { train, heldOut } = await lastRows(path, 2, folder, {});
      const ids = [];
      for (const side of [train, heldOut]) {
        for await (const some of side.rawRows()) {
          for (const row of some) {
            ids.push((JSON.parse(row.text!) as { input_ids: number[] }).input_ids[0]);
          }
        }
      }
      assertEquals(ids, [1, 2, 3, 4, 5]);
      assertEquals(
        (await Deno.readTextFile(join(folder, "held_out.jsonl"))).trim().split("\n").length,
        2,
      );
    }
  }));

Deno.test("a model with outliers computes the same, from other weights", () =>
  withFolder(async (folder) => {
    await writeOutliers(MODEL, folder, { factor: 20, channels: 3, seed: 1 });
    const ids = [1, 5, 9, 2, 7];
    using plain = await Model.load(MODEL, { device });
    using scaled = await Model.load(folder, { device });
    const [expected, logits] = [await plain.logits(ids), await scaled.logits(ids)];
    const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expected.forEach((x, i) => assertAlmostEquals(logits[i], x, 1e-5 * scale));
    const norm = async (model: Model) =>
      await (await model.network()).readParameter("model.layers.0.input_layernorm.weight");
    const [before, after] = [await norm(plain), await norm(scaled)];
    const raised = after.filter((x, i) => Math.abs(x - 20 * before[i]) < 1e-6 && x !== before[i]);
    assertEquals(raised.length, 3);
  }));
