/** Samples and event files of `train`: what they have, and that they change nothing. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { samplesBefore } from "../../src/cli/records.ts";
import { FileError } from "../../src/errors.ts";
import { exists } from "../../src/io/exists.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

async function readLines(path: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(path);
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

/** The losses of a run, and what the log has of the held-out rows. */
async function losses(folder: string): Promise<unknown[]> {
  const log = await readLines(`${folder}/training_log.jsonl`);
  return log.map(({ step, loss, gradNorm, evalLoss }) => [step, loss, gradNorm, evalLoss]);
}

Deno.test("samples and events are written, resumed, and leave every bit of a run as it is", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/model`);
    await writeTinyModel(`${folder}/model`);
    const config = {
      eos_token: "</s>",
      chat_template:
        "{{ messages[0].content }}{% if messages[1] %}{{ messages[1].content }}</s>{% endif %}",
    };
    await Deno.writeTextFile(`${folder}/model/tokenizer_config.json`, JSON.stringify(config));
    const rows = Array.from({ length: 40 }, (_, i) => ({ text: `Row ${i % 9} of all.` }));
    await Deno.writeTextFile(
      `${folder}/data.jsonl`,
      rows.map((it) => JSON.stringify(it)).join("\n"),
    );
    const messages = JSON.stringify([{ role: "user", content: "Hi" }]);
    await Deno.writeTextFile(`${folder}/chat.json`, messages);
    const train = (out: string, steps: number) =>
      `train --model ${folder}/model --data ${folder}/data.jsonl --output-dir ${folder}/${out} ` +
      `--batch-size 2 --sequence-length 40 --rank 4 --seed 3 --eval-fraction 0.2 --eval-every 2 ` +
      `--steps ${steps} --log-every 1`;
    const plain = await runCommand(train("plain", 6));
    assertEquals(plain.code, 0, plain.err);

    const events = `${folder}/runs/a`;
    const more = ["--sample-prompt", "Row 3", "--sample-prompt", "All\nof", "--sample-messages"];
    const sampled = await runCommand(
      `${train("sampled", 4)} --tensorboard ${events} --sample-tokens 5`,
      ...[...more, `${folder}/chat.json`],
    );
    assertEquals(sampled.code, 0, sampled.err);
    assertMatch(sampled.err, /\nsample, step 0: Row 3 → .*\nsample, step 0: All↵of → /);
    const resumed = await runCommand(`train --resume-from ${folder}/sampled --steps 6`);
    assertEquals(resumed.code, 0, resumed.err);
    assertEquals(await losses(`${folder}/sampled`), await losses(`${folder}/plain`));

    const lines = await readLines(`${folder}/sampled/samples.jsonl`);
    const steps = [0, 2, 4, 6].flatMap((step) => [step, step, step]);
    assertEquals(lines.map(({ step }) => step), steps);
    assertEquals(lines[1].prompt, "All\nof");
    assertEquals(lines[2].prompt, JSON.parse(messages));
    assert(lines.every(({ text }) => typeof text === "string"));
    const plainAgain = await runCommand(`${train("sampled", 1)} --overwrite`);
    assertEquals(plainAgain.code, 0, plainAgain.err);
    assert(!await exists(`${folder}/sampled/samples.jsonl`), "texts of the run that was replaced");
    // Two runs of the command, so two files.
    const files = [...Deno.readDirSync(events)].map(({ name }) => name);
    assertEquals(files.filter((name) => name.startsWith("events.out.tfevents.")).length, 2);
    const written = await Promise.all(files.map((name) => Deno.readTextFile(`${events}/${name}`)));
    for (const tag of ["train/loss", "train/learning_rate", "eval/loss", "sample/3"]) {
      assert(written.every((text) => text.includes(tag)), tag);
    }
  }));

Deno.test("a damaged file of samples is refused by the line, not begun anew", () =>
  withFolder(async (folder) => {
    const path = `${folder}/samples.jsonl`;
    const sound = JSON.stringify({ step: 1, prompt: "a", text: "b" });
    const steps = [-1, 1.5, 2 ** 31, 2 ** 53].map((step) => JSON.stringify({ step, text: "c" }));
    const bad = [...steps, '{"step": 2, "pro', "null", '{"prompt": ""}', "[".repeat(1e5)];
    for (const damaged of bad) {
      await Deno.writeTextFile(path, `${sound}\n${damaged}\n`);
      await assertRejects(() => samplesBefore(path, 4), FileError, "Cannot read line 2 of ");
    }
  }));

Deno.test("samples that cannot be made are refused before anything is loaded", () =>
  withFolder(async (folder) => {
    const wrong: readonly [string, string][] = [
      ["--sample-every 2", "Cannot use --sample-every as there is nothing to continue"],
      ["--sample-prompt a --sample-every 0", "Cannot use --sample-every 0"],
      ["--sample-prompt=", '--sample-prompt has the value [""]: give a text that is not empty'],
      [`--sample-messages ${folder}/none.json`, "there is no such file"],
    ];
    for (const [flags, words] of wrong) {
      const line = `train --model ${folder}/m --data d.jsonl --output-dir ${folder}/out ${flags}`;
      const { code, err } = await runCommand(line);
      assert(code !== 0 && err.includes(words), err);
    }
  }));
