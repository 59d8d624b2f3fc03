import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { factsOfRun } from "../../src/cli/run_card.ts";
import { FileError } from "../../src/errors.ts";
import { withFolder } from "../support/io.ts";

Deno.test("a card tells nothing of the machine: no folders, no keys of addresses, no flags that are none", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    const options = {
      model: "/home/me/models/secret-model",
      data: ["https://host.org/rows.jsonl?Signature=secret", "/home/me/secret/own.jsonl"],
      evalData: ["org/rows:test"],
      chatTemplate: "/home/me/secret/chat.jinja",
      tensorboard: "/home/me/secret/runs",
      "x; rm -rf /": 1,
      separator: "/\n",
      rank: 8,
    };
    await Deno.writeTextFile(join(folder, "training_options.json"), JSON.stringify(options));
    const { command, data, heldOut, base } = await factsOfRun(folder);
    assertEquals([base, data, heldOut], [
      "secret-model",
      ["rows.jsonl", "own.jsonl"],
      "org/rows:test",
    ]);
    const all = JSON.stringify(await factsOfRun(folder)).replaceAll("secret-model", "");
    assert(!/secret|home|rm -rf/.test(all), all);
    for (const word of ["--chat-template chat.jinja", "--tensorboard runs", "--rank 8", "'/\n'"]) {
      assert(command!.includes(word), command);
    }
    await Deno.writeTextFile(join(folder, "training_log.jsonl"), '{"step": 1, "loss": 2}\n{"st\n');
    await assertRejects(() => factsOfRun(folder), FileError, "Cannot read line 2 of ");
    const deep = `${"[".repeat(1e5)}${"]".repeat(1e5)}\n`;
    await Deno.writeTextFile(join(folder, "training_log.jsonl"), deep);
    await assertRejects(() => factsOfRun(folder), FileError, "Cannot read line 1 of ");
  }));

Deno.test("a card has the facts of a log of any length", () =>
  withFolder(async (folder) => {
    const line = (step: number) => JSON.stringify({ step, loss: 2 }) + "\n";
    const lines = Array.from({ length: 200_000 }, (_, i) => line(i + 1));
    await Deno.writeTextFile(join(folder, "training_log.jsonl"), lines.join(""));
    const { steps, trainingLoss } = await factsOfRun(folder);
    assertEquals([steps, trainingLoss], [200_000, 2]);
  }));
