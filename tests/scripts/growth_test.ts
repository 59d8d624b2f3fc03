import { assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "node:path";
import { growthOf, type Point } from "../../scripts/trouble/growth.ts";
import { lastStep } from "../../scripts/trouble/run.ts";
import { withFolder } from "../support/io.ts";

const ALLOWED = { perThousand: 0.25, once: 24 };

/** Two hundred looks at a run, at what `of` makes of the step. */
function looks(steps: number, of: (step: number) => number): Point[] {
  return Array.from({ length: 200 }, (_, i) => [(i + 1) * steps / 200, of((i + 1) * steps / 200)]);
}

Deno.test("the growth is the slope of the second half, whatever the first was", () => {
  const found = growthOf(looks(10_000, (step) => step < 5000 ? step : 5000 + step / 500), ALLOWED)!;
  assertAlmostEquals(found.perThousand, 2, 1e-9);
  assertEquals([found.steps, found.verdict], [5000, "no more than garbage takes"]); // 10 MiB
  assertAlmostEquals(found.allowed, 0.25 + 24 / 5, 1e-9);
});

Deno.test("a kilobyte per step is told from garbage that comes and goes, in a run long enough", () => {
  const saw = (step: number) => 300 + 20 * (step % 1700) / 1700;
  const leak = (step: number) => saw(step) + step / 1024;
  const verdict = (points: Point[]) => growthOf(points, ALLOWED)!.verdict;
  assertNotEquals(verdict(looks(5000, saw)), "GROWS");
  assertEquals(verdict(looks(100_000, saw)), "flat");
  assertEquals(verdict(looks(100_000, leak)), "GROWS");
  assertAlmostEquals(growthOf(looks(100_000, leak), ALLOWED)!.perThousand, 0.98, 0.05);
});

Deno.test("nothing is said of too few looks, or none", () => {
  assertEquals(growthOf([], ALLOWED), null);
  assertEquals(growthOf(looks(1000, () => 1).slice(0, 8), ALLOWED), null);
  assertEquals(growthOf(Array(20).fill([5, 1]), ALLOWED), null);
});

Deno.test("the last step of a log is that of its last whole line, and 0 without one", async () => {
  await withFolder(async (folder) => {
    assertEquals(await lastStep(folder), 0);
    const path = join(folder, "training_log.jsonl");
    await Deno.writeTextFile(path, "");
    assertEquals(await lastStep(folder), 0);
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `{"step":${i + 1},"loss":1.25,"x":"yz"}\n`,
    );
    await Deno.writeTextFile(path, lines.join("") + '{"step":3001,"lo');
    assertEquals(await lastStep(folder), 3000);
    await Deno.writeTextFile(path, '{"step":0,"evalLoss":2.5}\n');
    assertEquals(await lastStep(folder), 0);
  });
});
