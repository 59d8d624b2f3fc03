import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { exists } from "../../src/io/exists.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { type TinyModelOptions, writeTinyModel } from "../support/tiny_model.ts";

const ROWS = '{"text": "abcdefgh"}\n{"text": "ijklmnop"}\n';

/** What is wrong, and what the command line then says. */
interface BadInput {
  /** Flags after those of a run that would work. */
  flags?: string;
  /** Content of the data file. */
  data?: string;
  /** How the model is written. */
  model?: TinyModelOptions;
  /** Changes a folder that is otherwise good. */
  spoil?: (folder: string) => Promise<void>;
  /** Default 1. */
  code?: number;
  message: string;
}

async function editConfig(folder: string, changes: Record<string, unknown>): Promise<void> {
  const path = join(folder, "model/config.json");
  const config = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...config, ...changes }));
}

const CASES: Record<string, BadInput> = {
  "a model folder that is not there": {
    flags: "--model nowhere",
    message: 'Cannot find the model "nowhere": there is no such folder',
  },
  "an architecture that is not supported": {
    spoil: (folder) => editConfig(folder, { hidden_act: "gelu" }),
    message: `found "gelu"; choose a model whose feed-forward network has one of these gates`,
  },
  "weights of another shape": {
    spoil: (folder) => editConfig(folder, { intermediate_size: 48 }),
    message: "as its shape is [44,52]: config.json asks for [48,52]",
  },
  "a truncated safetensors file": {
    spoil: (folder) => Deno.truncate(join(folder, "model/model.safetensors"), 5000),
    message: "model.safetensors",
  },
  "a vocabulary larger than the embedding": {
    model: { config: { vocab_size: 200 } },
    message: "as its tokenizer has 260 tokens and its embedding 200",
  },
  "a data file that is not there": {
    flags: "--data nowhere.jsonl",
    message: 'Cannot read "nowhere.jsonl": there is no such file or folder',
  },
  "malformed JSON": {
    data: ROWS + '{"text": \n',
    message: "data.jsonl line 3: it is not valid JSON",
  },
  "no rows": { data: "\n", message: "data.jsonl: epoch 0 has no targets; of 0 rows read" },
  "rows of no known format": {
    data: '{"question": "?"}\n',
    message: "line 1: it has the keys question; give text, or prompt and completion",
  },
  "nothing but masked labels": {
    data: '{"input_ids": [5, 6, 7], "labels": [-100, -100, -100]}\n',
    message: "epoch 0 has no targets; of 1 rows read, 0 were malformed and 1 had no",
  },
  "token ids out of range": {
    data: '{"input_ids": [5, 269]}\n',
    message: "line 1: it has the token id 269, but the model's vocabulary has 269 entries",
  },
  "sequence length 0": {
    flags: "--sequence-length 0",
    message: "Cannot use --sequence-length 0: give a whole number of at least 2",
  },
  "a sequence length beyond the model's": {
    flags: "--sequence-length 65",
    message: "Cannot train on rows of 65 tokens as the model was made for 64",
  },
  "a batch that no buffer of the GPU holds": {
    flags: "--batch-size 1000000",
    message: "reduce --batch-size or --sequence-length by a factor of",
  },
  "a weight that is not finite": {
    model: { edit: (name, values) => name === "model.norm.weight" && values.fill(NaN, 7) },
    message: "as its element in row 0, column 7 is NaN: weights must be finite numbers",
  },
  "a loss that is not finite": {
    model: { edit: (name, values) => name === "lm_head.weight" && values.fill(3e38) },
    message: "Cannot train as the loss of step 1, before anything is trained, is",
  },
  "falqon in f32": {
    flags: "--method falqon --base f32",
    message: "Cannot use --base f32 with --method falqon as it keeps weights in fp8",
  },
  "a flag of another method": {
    flags: "--update-rule paper",
    message: "Cannot use --update-rule with --method full as it is for falqon",
  },
  "an adapter that is not there": {
    flags: "--method lora --adapter nowhere",
    message: 'Cannot find the adapter "nowhere": there is no such folder',
  },
  "an adapter and a rank": {
    flags: "--method lora --adapter . --rank 3",
    message: "Cannot use --rank with --adapter as the adapter has its own",
  },
  "two sets of held-out rows": {
    flags: "--eval-fraction 0.5 --eval-data x",
    message: "Cannot use --eval-data and --eval-fraction together",
  },
  "a fraction of 1": {
    flags: "--eval-fraction 1",
    message: "Cannot hold out the fraction 1 of the rows",
  },
  "evaluations of nothing": {
    flags: "--eval-every 2",
    message: "Cannot evaluate every few steps as there is no --eval-data",
  },
  "a column map without columns": {
    flags: "--columns prompt",
    message: 'Cannot read "prompt" in the column map',
  },
  "an unknown flag": {
    flags: "--learning-rat 1",
    code: 2,
    message: "There is no flag --learning-rat: did you mean --learning-rate?",
  },
  "an unknown option in a config file": {
    spoil: (folder) => Deno.writeTextFile(join(folder, "config.json"), '{"learning-rat": 1}'),
    flags: "--config config.json",
    code: 2,
    message: 'There is no option "learning-rat" (in "',
  },
  "a config file that is not JSON": {
    spoil: (folder) => Deno.writeTextFile(join(folder, "config.json"), "learning-rate: 1"),
    flags: "--config config.json",
    message: 'config.json" as JSON',
  },
};

/** Bytes in the files of a folder, which need not be there. */
async function written(folder: string): Promise<number> {
  if (!await exists(folder)) return 0;
  const files = await Array.fromAsync(Deno.readDir(folder));
  return files.reduce((sum, { name }) => sum + Deno.statSync(join(folder, name)).size, 0);
}

for (const [name, input] of Object.entries(CASES)) {
  Deno.test(`train with ${name}: a sentence, and nothing is left behind`, () =>
    withFolder(async (folder) => {
      const { flags = "", data = ROWS, model, spoil, code = 1, message } = input;
      await Deno.mkdir(join(folder, "model"));
      await writeTinyModel(join(folder, "model"), model);
      await Deno.writeTextFile(join(folder, "data.jsonl"), data);
      await spoil?.(folder);
      const method = flags.includes("--method") ? "" : "--method full";
      const line =
        `train --model ${folder}/model --data ${folder}/data.jsonl --output-dir ${folder}/out ` +
        `--steps 2 --batch-size 1 --sequence-length 16 ${method} ` +
        flags.replace("config.json", join(folder, "config.json"));
      const { code: found, out, err } = await runCommand(line.trim().replaceAll(/ +/g, " "));
      assertEquals([found, out], [code, ""], err);
      const sentence = err.trim().split("\n").at(-1)!;
      assert(sentence.startsWith("error: ") && sentence.includes(message), err);
      assertEquals(await written(join(folder, "out")), 0);
    }));
}

Deno.test("eval and generate with bad input end with a sentence", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    await Deno.writeTextFile(join(folder, "empty.jsonl"), "");
    const cases: [string, string][] = [
      [`eval --model ${folder} --data ${folder}/empty.jsonl`, "epoch 0 has no targets"],
      [`eval --model ${folder} --data nowhere`, 'Cannot read "nowhere"'],
      [`generate --model ${folder} --prompt a --max-new-tokens 0`, "Cannot use --max-new-tokens 0"],
      [`generate --model ${folder} --prompt a --temperature -1`, "temperature -1"],
      [`inspect ${folder} --batch-size 0`, "Cannot use --batch-size 0"],
      ["inspect nowhere", 'Cannot find the model "nowhere": there is no such folder'],
    ];
    for (const [line, message] of cases) {
      const { code, out, err } = await runCommand(line);
      assertEquals([code, out], [1, ""], err);
      assert(err.startsWith("error: ") && err.includes(message), err);
    }
  }));
