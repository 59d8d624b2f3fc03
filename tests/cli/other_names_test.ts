import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { readConfigFile } from "../../src/cli/config_file.ts";
import { report, UsageError } from "../../src/cli/errors.ts";
import { inFlagWords } from "../../src/cli/flag_words.ts";
import { type FlagTable, kebabCase } from "../../src/cli/flags.ts";
import { parseFlags } from "../../src/cli/parse_flags.ts";
import { translateWords } from "../../src/cli/other_names.ts";
import { TRAIN_FLAGS } from "../../src/cli/train_flags.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";

const TABLE: FlagTable = TRAIN_FLAGS;

function read(line: string) {
  const hints: string[] = [];
  const onHint = (hint: string) => void hints.push(hint);
  const words = translateWords(line.split(" "), TABLE, onHint);
  return { ...parseFlags(words, TABLE, onHint), hints };
}

Deno.test("flags of other tools work, each with a hint", () => {
  const cases: [string, Record<string, unknown>][] = [
    ["--lr 1e-3", { learningRate: 1e-3 }],
    ["--lora-r 8", { rank: 8 }],
    ["--lora_r=8", { rank: 8 }],
    ["--lora-alpha 32", { alpha: 32 }],
    ["--lora_target_modules q_proj,v_proj", { targetModules: ["q_proj", "v_proj"] }],
    ["--max-seq-length 64", { sequenceLength: 64 }],
    ["--cutoff_len 64", { sequenceLength: 64 }],
    ["--num-train-epochs 3", { epochs: 3 }],
    ["--max-steps 7", { steps: 7 }],
    ["--per-device-train-batch-size 2", { batchSize: 2 }],
    ["--gradient-accumulation-steps 4", { gradAccumSteps: 4 }],
    ["--lr-scheduler-type cosine", { schedule: "cosine" }],
    ["--save-total-limit 3", { keepCheckpoints: 3 }],
    ["--model_name_or_path m", { model: "m" }],
    ["--dataset a --dataset b", { data: ["a", "b"] }],
    ["--sample-packing", { packing: true }],
    ["--load-in-4bit", { method: "qlora" }],
  ];
  for (const [line, values] of cases) {
    const given = read(line);
    assertEquals(given.values, values, line);
    assert(given.hints.length > 0, line);
  }
  assertEquals(read("--lora_r 8").hints, ["--lora_r is taken as --rank"]);
  assertEquals(read("--load-in-8bit").hints, ["--load-in-8bit is taken as --method int8-lora"]);
  assertEquals(read("--batch_size 2").values, { batchSize: 2 });
  assertEquals(read("--model lr --rank 2"), {
    values: { model: "lr", rank: 2 },
    words: [],
    hints: [],
  });
  for (const line of ["--lr 1 --learning-rate 2", "--lora-r 1 --r 2", "--lr 1 --lr 2"]) {
    assertThrows(() => read(line), UsageError, "mean the same: give one of the two");
  }
  assertThrows(() => read("--load-in-4bit=yes"), UsageError, "takes no value: give --method qlora");
});

Deno.test("flags of other tools without an equivalent are refused with what to do instead", () => {
  const words = [
    "bf16",
    "fp16",
    "report-to",
    "report_to",
    "deepspeed",
    "trust-remote-code",
    "optim",
  ];
  for (const word of words) {
    const message = assertThrows(() => read(`--${word} x`), UsageError).message;
    assert(message.startsWith(`There is no flag --${word}: `), message);
    assert(message.endsWith("leave it out"), message);
  }
});

Deno.test("every own flag keeps its meaning", () => {
  for (const [name, { placeholder, alias = [] }] of Object.entries(TABLE)) {
    for (const own of [name, ...alias].map((it) => `--${kebabCase(it)}`)) {
      const line = placeholder === null ? [own] : [own, "1"];
      const hint = () => {
        throw new Error(own);
      };
      assertEquals(translateWords(line, TABLE, hint), line);
    }
  }
});

Deno.test("config files of other tools are read by the same names", () =>
  withFolder(async (folder) => {
    const path = join(folder, "an_axolotl.yaml");
    const write = (text: string) => Deno.writeTextFile(path, text);
    await write(
      "base_model: m\nlora_r: 8\nmicro_batch_size: 2\nnum_epochs: 3\nload_in_4bit: true\n",
    );
    const hints: string[] = [];
    assertEquals(
      await readConfigFile(path, TABLE, (hint) => void hints.push(hint)) as Record<string, unknown>,
      { model: "m", rank: 8, batchSize: 2, epochs: 3, method: "qlora" },
    );
    assertEquals(hints[1], `"lora_r" is taken as "rank" (in "${path}")`);
    const bad: [string, string][] = [
      ["lr: 1\nlearning_rate: 2\nseed: 1\n", '"learningRate" is there twice'],
      ["seed: 1\nseeed: 2\n", 'did you mean "seed"?'],
      ["bf16: true\n", 'There is no option "bf16"'],
      ["load_in_4bit: false\n", "has the value false"],
    ];
    for (const [text, message] of bad) {
      await write(text);
      const { code, err } = await runCommand(`train --config ${path}`);
      assertEquals(code, 2);
      assert(err.includes(message), err);
    }
  }));

Deno.test("messages name flags, not options; quotes and paths stay", () => {
  const names = ["batchSize", "steps", "targetModules", "model", "rank"];
  const cases: [string, string][] = [
    ["Cannot use batchSize 0: give", "Cannot use --batch-size 0: give"],
    ["Cannot use steps -1: give", "Cannot use --steps -1: give"],
    ["Cannot use rank 64: in steps", "Cannot use --rank 64: in steps"],
    ['Cannot use model "x": give', 'Cannot use --model "x": give'],
    ["give fewer targetModules, or", "give fewer --target-modules, or"],
    ['the key "batchSize" of a/batchSize/b', 'the key "batchSize" of a/batchSize/b'],
    ["--batch-size and trainA", "--batch-size and trainA"],
  ];
  for (const [message, want] of cases) assertEquals(inFlagWords(message, names), want);
});

Deno.test("a missing permission is one line: which, how to grant it, what for", () => {
  const terminal = new TestTerminal();
  const error = new Deno.errors.NotCapable(
    'Requires write access to "out", run again with the --allow-write flag',
  );
  assertEquals(report(error, terminal), 1);
  assertEquals(
    terminal.err,
    'error: Deno does not allow write access to "out": start it with --allow-write before the ' +
      "script's name, for the output folder, and downloads\n",
  );
});

Deno.test("help COMMAND is COMMAND --help", async () => {
  assertEquals(await runCommand("help train"), await runCommand("train --help"));
  const { code, err } = await runCommand("help serve");
  assertEquals(code, 2);
  assert(err.includes('There is no command "serve": there are train, '), err);
});
