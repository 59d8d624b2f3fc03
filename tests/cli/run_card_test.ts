import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { factsOfRun } from "../../src/cli/run_card.ts";
import { FileError } from "../../src/errors.ts";
import { LOG_FILE } from "../../src/train/log.ts";
import { withFolder } from "../support/io.ts";

Deno.test("a card has the facts of a log of any length, and a damaged line is named", () =>
  withFolder(async (folder) => {
    const line = (step: number) => JSON.stringify({ step, loss: 2 }) + "\n";
    const lines = Array.from({ length: 200_000 }, (_, i) => line(i + 1));
    const path = join(folder, LOG_FILE);
    await Deno.writeTextFile(path, lines.join(""));
    const { steps, trainingLoss } = await factsOfRun(folder);
    assertEquals([steps, trainingLoss], [200_000, 2]);
    await Deno.writeTextFile(path, line(1) + '{"step":2,"lo');
    await assertRejects(
      () => factsOfRun(folder),
      FileError,
      `Cannot read "${path}" for the card as its line 2 is no JSON: remove that line, or the file`,
    );
  }));
