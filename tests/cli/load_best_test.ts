/** Outputs of train, and the best checkpoint of a run. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const SMALL = "--batch-size 2 --sequence-length 40";

function withRows(test: (folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    const rows = Array.from({ length: 40 }, (_, i) => ({
      prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
      completion: `It is ${"bcdefghi"[i % 8]}.`,
    }));
    const text = rows.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(join(folder, "train.jsonl"), text);
    await test(folder);
  });
}

Deno.test("train: an output that is a file, another kind of word for --save-every, --load-best", () =>
  withRows(async (folder) => {
    const train = `train --model ${folder}/model --data ${folder}/train.jsonl --rank 3 ${SMALL}`;
    const file = await runCommand(`${train} --output-dir ${folder}/train.jsonl`);
    assertEquals(
      [file.code, file.err.includes('train.jsonl" is a file: give')],
      [1, true],
      file.err,
    );
    const word = await runCommand(`${train} --save-every often`);
    assertMatch(
      word.err,
      /--save-every has the value "often": give a number of steps, a time such/,
    );
    const missing = await runCommand(`train --resume-from ${folder}/nope`);
    assertMatch(missing.err, /nope" as there is no such folder/);

    // Other answers are held out: the form is learned at first, then it gets worse.
    const wrong = Array.from({ length: 8 }, (_, i) => ({
      prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
      completion: `It is ${"hgfedcba"[i % 8]}.`,
    }));
    const text = wrong.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(join(folder, "wrong.jsonl"), text);
    const out = join(folder, "out");
    const flags =
      `--output-dir ${out} --method lora --learning-rate 0.05 --eval-every 2 --steps 60`;
    const held = `--eval-data ${folder}/wrong.jsonl --early-stopping-patience 3`;
    const best = await runCommand(`${train} ${flags} ${held} --load-best`);
    assertEquals(best.code, 0, best.err);
    const [, step, loss] = best.out.match(
      /\nstopped early: 3 evaluations .+\nsaved: step (\d+), where .+ lowest \(([\d.]+); /,
    )!;
    const evaluated = await runCommand(
      `eval --model ${folder}/model --adapter ${out} --data ${folder}/wrong.jsonl ${SMALL}`,
    );
    const lossOf = (text: string) => JSON.parse(text.trim().split("\n").at(-1)!).loss;
    assert(Math.abs(lossOf(evaluated.out) - Number(loss)) < 1e-3, `${evaluated.out} ${loss}`);
    const checkpoint = `${out}/checkpoint-${step}`;
    const ran = await runCommand(
      `eval --model ${checkpoint} --data ${folder}/wrong.jsonl ${SMALL}`,
    );
    assert(Math.abs(lossOf(ran.out) - Number(loss)) < 1e-3, ran.err);
    assertMatch(ran.err, new RegExp(`note: .+ after step ${step} of its run`));
    const twice = await runCommand(
      `eval --model ${checkpoint} --base f16 --data ${folder}/wrong.jsonl`,
    );
    assertMatch(twice.err, /Cannot use --base with .+ as a checkpoint has its method with it/);

    const last = await runCommand(`${train} ${flags} ${held} --overwrite`);
    assertMatch(
      last.out,
      /\nsaved: the last step; better was step \d+, .+: --load-best saves that\n/,
    );
  }));
