import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { exists } from "../../src/io/exists.ts";
import { main } from "../../src/cli/main.ts";
import { trainingMethod } from "../../src/cli/method.ts";
import { openDryDevice } from "../../src/gpu/dry_device.ts";
import { Parameters } from "../../src/layers/parameters.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Runs a test in a folder with a tiny model and data; its commands begin with `train`. */
function withRun(
  test: (folder: string, train: string) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    const rows = Array.from({ length: 60 }, (_, i) => ({
      prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
      completion: `It is ${"bcdefghi"[i % 8]}.`,
    }));
    const lines = rows.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(join(folder, "data.jsonl"), lines);
    const shape = "--batch-size 2 --sequence-length 40 --log-every 2";
    await test(
      folder,
      `train --model ${folder}/model --data ${folder}/data.jsonl --output-dir ${folder}/out ${shape}`,
    );
  });
}

async function readLog(folder: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(join(folder, "training_log.jsonl"));
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("train by falqon, then eval and generate what it saved", () =>
  withRun(async (folder, train) => {
    await Deno.writeTextFile(join(folder, "data.jsonl"), '\n{"prompt": 1}\n', { append: true });
    const { code, out, err } = await runCommand(
      `${train} --rank 4 --steps 8 --learning-rate 5e-3 --eval-fraction 0.2 --eval-every 4 --skip-bad-rows ` +
        "--update-stats --schedule cosine --warmup-steps 2",
    );
    assertEquals(code, 0, err);
    assertMatch(err, /^note: of the data 1 of \d+ rows are malformed and skipped, .+line 61/);
    assertMatch(err, /\ntraining .+ by falqon on .+: 2 rows of 40 tokens per step\n/);
    assertMatch(err, /\nstep 4\/8, loss [\d.]+ \(last [\d.]+\), lr .+, held-out loss [\d.]+\n/);
    assertMatch(err, /\nwarning: \d+ of \d+ rows are malformed and skipped, the first: .+line 61/);
    assertMatch(out, /^trained 8 steps in /);
    const [, before, after] = out.match(/held-out loss: ([\d.]+) before, ([\d.]+) after/)!;
    assert(Number(after) < Number(before), out);
    const end = `model: ${folder}/out\nlog: ${folder}/out/training_log.jsonl\n` +
      `checkpoints: ${folder}/out, to go on with --resume-from\n`;
    assert(out.endsWith(end), out);

    const log = await readLog(join(folder, "out"));
    assertEquals(log.map(({ step }) => step), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const heldOut = log.filter(({ evalLoss }) => evalLoss !== undefined);
    assertEquals(heldOut.map(({ step }) => step), [0, 4, 8]);
    assertEquals(Number(log[0].evalLoss).toFixed(4), before);
    assertEquals(Number(log[8].evalLoss).toFixed(4), after);
    assert(Number(log[2].codesChanged) > 0);
    assertMatch(String(log[8].warnings), /rows are malformed/);

    const evaluated = await runCommand(
      `eval --model ${folder}/out --data ${folder}/data.jsonl --skip-bad-rows`,
    );
    assertEquals(evaluated.code, 0, evaluated.err);
    const { loss, perplexity, tokens } = JSON.parse(evaluated.out.trim().split("\n").at(-1)!);
    assert(loss < Number(before) && Math.abs(Math.log(perplexity) - loss) < 1e-9 && tokens > 400);

    const generated = await runCommand(
      `generate --model ${folder}/out --max-new-tokens 5 --seed 1 --prompt`,
      "What comes after a? ",
    );
    assertEquals(generated.code, 0, generated.err);
    assert(generated.out.length > 1 && generated.out.endsWith("\n"));
  }));

Deno.test("what is saved in another format is evaluated, and both losses are said and logged", () =>
  withRun(async (folder, train) => {
    const out = join(folder, "out");
    const options = "--rank 4 --steps 4 --learning-rate 5e-3";
    const rows = (await Deno.readTextFile(join(folder, "data.jsonl"))).split("\n");
    const held = join(folder, "held.jsonl");
    await Deno.writeTextFile(held, rows.slice(0, 15).join("\n"));
    const saved = await runCommand(`${train} ${options} --eval-data ${held} --save-as int8`);
    assertEquals(saved.code, 0, saved.err);
    const [line, before, after] = saved.out.match(
      /\nsaved in int8: held-out loss ([\d.]+) before, ([\d.]+) after\nmodel: .+\nlog: /,
    )!;
    assert(line && Math.abs(Number(before) - Number(after)) < 0.1, saved.out);
    assert(saved.out.includes(`, ${before} after (perplexity`), saved.out);
    const last = (await readLog(out)).at(-1)!;
    assertEquals(Object.keys(last), ["step", "savedAs", "evalLoss", "savedEvalLoss"]);
    assertEquals([last.step, last.savedAs], [4, "int8"]);
    assertEquals(Number(last.savedEvalLoss).toFixed(4), after);
    const inspected = await runCommand(`inspect ${out} --rank 4 --json`);
    const { config: { quantization } } = JSON.parse(inspected.out);
    assertEquals([quantization.format, quantization.rotations], ["int8", {}]);

    // The file again: the same rows in the same formats.
    const evaluated = await runCommand(
      `eval --model ${out} --data ${held} --batch-size 2 --sequence-length 40`,
    );
    const { loss } = JSON.parse(evaluated.out.trim().split("\n").at(-1)!);
    assertEquals(loss, last.savedEvalLoss);

    // Rotated weights that stay as they are.
    const int8 = `${train} ${options} --overwrite --format int8 --eval-data ${held}`;
    const rotated = await runCommand(`${int8} --save-rotated`);
    assertEquals([rotated.code, rotated.out.includes("saved in")], [0, false], rotated.err);
    const trained = Number(rotated.out.match(/before, ([\d.]+) after \(perplexity/)![1]);
    const same = await runCommand(
      `eval --model ${out} --data ${held} --batch-size 2 --sequence-length 40`,
    );
    const { loss: asSaved } = JSON.parse(same.out.trim().split("\n").at(-1)!);
    assert(Math.abs(asSaved - trained) < 0.01, `${trained} trained, ${asSaved} as saved`);

    const lora = `${train} ${options} --overwrite --method lora --save-as bf16`;
    const unknown = await runCommand(lora);
    assertEquals(unknown.code, 0, unknown.err);
    assertMatch(
      unknown.out,
      /\nthe weights were rounded to be saved; .+ no rows are held out.+\nmodel: /,
    );
    assert(
      await exists(join(out, "config.json")) && !await exists(join(out, "adapter_config.json")),
    );

    const refused = await runCommand(`${train} ${options} --overwrite --save-rotated`);
    assertEquals([refused.code, refused.out], [1, ""]);
    assertMatch(refused.err, /Cannot save the model rotated/);
  }));

Deno.test("a run that was interrupted and resumed logs the same losses as one that was not", () =>
  withRun(async (folder, train) => {
    const options = "--steps 6 --save-every 2 --method lora --rank 4 --eval-fraction 0.1";
    const whole = await runCommand(`${train} ${options} --output-dir ${folder}/whole`);
    assertEquals(whole.code, 0, whole.err);

    const terminal = new TestTerminal();
    const stderr = terminal.stderr.bind(terminal);
    terminal.stderr = (text) => {
      stderr(text);
      if (text.startsWith("step 2/6")) terminal.interrupt();
    };
    assertEquals(await main(`${train} ${options}`.split(" "), terminal), 130);
    assert(
      terminal.err.endsWith(`interrupted after step 2: go on with --resume-from ${folder}/out\n`),
    );
    const names = [...Deno.readDirSync(join(folder, "out"))].map(({ name }) => name).sort();
    assertEquals(names, ["checkpoint-2", "training_log.jsonl", "training_options.json"]);

    // The options come with the run; a checkpoint names it as well; flags win.
    const resumed = await runCommand(`train --resume-from ${folder}/out --log-every 3`);
    assertEquals(resumed.code, 0, resumed.err);
    assertMatch(resumed.err, /from step 2\n/);
    assertMatch(resumed.out, /^trained 4 steps .+\nheld-out loss: .+\nadapter: /);
    const losses = async (name: string) =>
      (await readLog(join(folder, name))).map(({ step, loss }) => [step, loss]);
    assertEquals(await losses("out"), await losses("whole"));
    assert(await exists(join(folder, "out/adapter_config.json")));

    const moved = await runCommand(
      `train --resume-from ${folder}/out --output-dir ${folder}/other`,
    );
    assertEquals([moved.code, moved.err.includes("leave --output-dir out")], [2, true], moved.err);
    const none = await runCommand(`train --resume-from ${folder}/model`);
    assertEquals([none.code, none.err.includes("it holds no checkpoint")], [1, true], none.err);

    // Without the file of options, as a script leaves a run, the checkpoint still knows the trainer's and the method.
    await Deno.remove(join(folder, "whole/training_options.json"));
    const bare = await runCommand(
      `train --resume-from ${folder}/whole --model ${folder}/model --data ${folder}/data.jsonl --rank 4 --eval-fraction 0.1`,
    );
    assertEquals([bare.code, bare.out.split(" in ")[0]], [0, "trained 0 steps"], bare.err);
    assertMatch(bare.err, /by lora on .+: 2 rows of 40 tokens per step, from step 6\n/);

    const adapted = `--model ${folder}/model --adapter ${folder}/out`;
    for (const flags of ["", "--base fp8", "--base nf4"]) {
      const { code, err } = await runCommand(
        `eval ${adapted} --data ${folder}/data.jsonl ${flags}`.trim(),
      );
      assertEquals(code, 0, err);
    }
  }));

Deno.test("a config file is overridden by flags; a folder that is in use only by --overwrite", () =>
  withRun(async (folder, train) => {
    const config = join(folder, "config.yaml");
    await Deno.writeTextFile(config, "method: full\nsteps: 3\nsave-every: 1\nlearningRate: 1e-3\n");
    const first = await runCommand(
      `${train} --config ${config}`,
    );
    assertEquals(first.code, 0, first.err);
    assert(
      (await readLog(join(folder, "out"))).every(({ learningRate }) =>
        Math.abs(Number(learningRate) - 1e-3) < 1e-9
      ),
    );
    assert(await exists(join(folder, "out/checkpoint-3")));

    const again = `train --config ${folder}/out/training_options.json --output-dir ${folder}/out`;
    const refused = await runCommand(again);
    assertEquals(refused.code, 1);
    assertMatch(
      refused.err,
      /holds another run: choose another --output-dir, replace it with --over/,
    );
    const replaced = await runCommand(`${again} --overwrite --steps 1 --save-every 0`);
    assertEquals(replaced.code, 0, replaced.err);
    assertEquals((await readLog(join(folder, "out"))).length, 1);
    assert(!await exists(join(folder, "out/checkpoint-3")), "a checkpoint of the old run is left");

    await Deno.remove(join(folder, "out/training_log.jsonl"));
    assertMatch((await runCommand(again)).err, /holds a model: choose another --output-dir/);
    const self = await runCommand(`${train} --overwrite --output-dir ${folder}/model/../model`);
    assertMatch(self.err, /it is the folder of the model to train/);
  }));

Deno.test("a run of the time before options had groups and these names goes on, and without hints", () =>
  withRun(async (folder, train) => {
    const options =
      "--method full --weight-decay 0.1 --no-packing --grad-accum-steps 2 --save-every 2";
    const whole = await runCommand(`${train} ${options} --steps 4`);
    assertEquals(whole.code, 0, whole.err);
    const out = join(folder, "out");
    const losses = async () => (await readLog(out)).map(({ loss }) => loss);
    const want = await losses();
    const edit = async (path: string, change: (json: Record<string, unknown>) => unknown) => {
      const json = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify(change(json)));
    };
    const state = (step: number) => join(out, `checkpoint-${step}/state.json`);
    await edit(state(2), ({ options, checksum: _, ...rest }) => {
      const { optimizer, rows, updateStats, ...flat } = options as Record<string, object>;
      const format = "falqon-checkpoint-1";
      return {
        ...rest,
        format,
        options: { ...flat, ...optimizer, ...rows, countUpdates: updateStats },
      };
    });
    await Deno.remove(join(out, "checkpoint-4"), { recursive: true });
    const goOn = async (flags: string) => {
      const { code, err } = await runCommand(`train --resume-from ${out} ${flags}`.trim());
      assertEquals([code, err.includes("note:")], [0, false], err);
      assertEquals(await losses(), want);
    };
    await edit(join(out, "training_options.json"), (json) => {
      const { gradAccumSteps, gradientCheckpointing, updateStats, ...rest } = json;
      return {
        ...rest,
        gradAccum: gradAccumSteps,
        checkpointing: gradientCheckpointing,
        countUpdates: updateStats,
      };
    });
    await goOn("");
    await Deno.remove(join(out, "checkpoint-4"), { recursive: true });
    await Deno.remove(join(out, "training_options.json"));
    await goOn(`--model ${folder}/model --data ${folder}/data.jsonl`);
  }));

Deno.test("notes go to stderr: earlier names of flags, and data that is counted first", () =>
  withRun(async (folder, train) => {
    const line = train.replace("--output-dir", "--output");
    const { code, out, err } = await runCommand(`${line} --method full --schedule cosine`);
    assertEquals(code, 0, err);
    assertMatch(
      err,
      /^note: --output is called --output-dir now\nnote: the schedule cosine must know/,
    );
    assertMatch(err, /\nnote: counted \d+ steps in [\d.]+ s\ntraining /);
    assert(out.includes(`\nlog: ${folder}/out/training_log.jsonl\n`), out);
  }));

Deno.test("on a terminal a bar is drawn over and over, between words for what else is done", () =>
  withRun(async (folder, train) => {
    const terminal = new TestTerminal(60);
    const line = `${train} --steps 4 --method full --eval-data ${folder}/data.jsonl --eval-every 2`;
    assertEquals(await main(line.split(" "), terminal), 0, terminal.err);
    const drawn = terminal.err.split("\r").slice(1);
    const bars = drawn.filter((text) => text.startsWith("["));
    assertMatch(bars[0], /^\[\S{10}\] [12]\/4, \S+ left, loss \d/);
    assertMatch(bars.at(-1)!, /^\[#{10}\] 4\/4, 0s left, /);
    const phases = ["loading the model, ", "compiling kernels, ", "evaluating ", "saving"];
    for (const phase of phases) assert(drawn.some((text) => text.startsWith(phase)), phase);
    assert(terminal.err.includes("\r\x1b[Kstep 2: held-out loss "), terminal.err);
    assert(drawn.every((text) => text.split("\x1b")[0].length < 60));
  }));

Deno.test("without a number of steps the data is estimated, so that there is a total and a time left", () =>
  withRun(async (folder, train) => {
    const rows = '{"text": "abcdefghijkl abcdef"}\n'.repeat(24);
    await Deno.writeTextFile(`${folder}/data.jsonl`, rows);
    const { code, err } = await runCommand(`${train} --method full --epochs 2`);
    assertEquals(code, 0, err);
    const lines = [...err.matchAll(/^step (\d+)\/~(\d+), .*, ~\S+ left$/gm)];
    assert(lines.length > 1, err);
    const steps = Number(lines.at(-1)![1]);
    for (const [, , total] of lines) {
      assert(Math.abs(Number(total) - steps) <= 0.15 * steps + 1, err);
    }
  }));

Deno.test("f16 falls back to f32 where the GPU has none", async () => {
  const { device } = openDryDevice();
  for (const [hasF16, type] of [[true, "f16"], [false, "f32"]] as const) {
    const terminal = new TestTerminal();
    const method = await trainingMethod({ method: "lora", base: "f16" }, { hasF16 }, terminal);
    const parameters = new Parameters(device);
    const layers = method.build({
      device,
      linears: [],
      parameters,
      random: Math.random,
      restoring: true,
    });
    assertEquals(layers.table("embedding", 2, 4).slabs[0].value().type, type);
    assertEquals(terminal.err.includes("warning: this GPU has no f16"), !hasF16);
  }
});

Deno.test("a bad row far into the data loses nothing of the steps before it", () =>
  withRun(async (folder, train) => {
    const path = join(folder, "data.jsonl");
    // Beyond the rows that are looked at first: a thousand, of which most have nothing to learn.
    const far = '\n{"prompt":"","completion":""}'.repeat(1000) + '\n{"text":"a b c"}';
    await Deno.writeTextFile(path, `${far}\nnot JSON\n`, { append: true });
    const line = `${train} --no-packing --no-shuffle --method full --save-every 100`;
    const { code, err } = await runCommand(line.replace("--log-every 2", "--log-every 1000"));
    assertEquals(code, 1, err);
    assertMatch(err, /error: .+line 1062: it is not valid JSON/);
    assertEquals((await readLog(join(folder, "out"))).length, 30);
    assert(await exists(join(folder, "out/checkpoint-30")));
    await Deno.truncate(path, (await Deno.stat(path)).size - "not JSON\n".length);
    // The file was mended, so it is another: that must be meant.
    const again = `train --resume-from ${folder}/out --steps 32 --epochs 2`;
    const refused = await runCommand(again);
    assertEquals(refused.code, 1);
    assertMatch(
      refused.err,
      /Cannot resume from .+ as .+data.jsonl has other rows than the run was/,
    );
    const resumed = await runCommand(`${again} --resume-anyway`);
    assertEquals(resumed.code, 0, resumed.err);
    assertMatch(resumed.out, /^trained 2 steps/);
  }));
