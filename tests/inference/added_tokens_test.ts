/** Tokens that were added to a tokenizer, and that the embedding has no rows for: as Gemma 3's for images. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { DataError, Dataset, evaluate, full, Model, ModelError, Trainer } from "../../mod.ts";
import { openLoader } from "../../src/data/open_loader.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** The tokens of the tiny model's tokenizer. */
const TOKENS = 260;

/** Writes a model with `rows` in its embedding, and two tokens more in its tokenizer, one for padding. */
async function writeModel(folder: string, rows: number): Promise<void> {
  await writeTinyModel(folder, { config: { vocab_size: rows } });
  const path = join(folder, "tokenizer.json");
  const json = JSON.parse(await Deno.readTextFile(path));
  for (const [i, content] of ["<pad>", "<image>"].entries()) {
    json.added_tokens.push({ id: TOKENS + i, content, special: true });
  }
  await Deno.writeTextFile(path, JSON.stringify(json));
  await Deno.writeTextFile(join(folder, "tokenizer_config.json"), '{"pad_token": "<pad>"}');
}

Deno.test("tokens without a row in the embedding are said, and refused where they occur", () =>
  withFolder(async (folder) => {
    await writeModel(folder, TOKENS);
    const notices: string[] = [];
    using model = await Model.load(folder, { device, onNotice: (it) => notices.push(it) });
    assertEquals(notices.length, 1);
    assert(notices[0].includes('262 tokens and its embedding 260 rows: texts with "<pad>", "<im'));

    const refused = async (action: () => Promise<unknown>, message: string) => {
      await assertRejects(action, DataError, message);
    };
    const prompt = () => Array.fromAsync(model.generate("a <image> b"));
    await refused(prompt, 'Cannot use token id 261 ("<image>") at position 3 of the prompt as');
    await refused(() => model.logits([3, 261]), 'token id 261 ("<image>") at position 1');
    await refused(() => model.logits([3, 999]), "tokenise with the model's own tokenizer");
    const sequence = { inputIds: [3, 4, 5], labels: [3, 4, 261] };
    await refused(() => model.loss(sequence), '("<image>") at position 2 of the labels');
    await refused(() => model.lossAndGradients(sequence), '("<image>")');

    const data = join(folder, "data.jsonl");
    await Deno.writeTextFile(data, '{"text": "fine"}\n{"text": "an <image> too"}\n');
    const message = 'data.jsonl line 2: it has the token id 261 ("<image>"), but the model';
    await refused(() => evaluate(model, Dataset.from(data)), message);
    const shape = { batchSize: 2, sequenceLength: 16 };
    const options = { model, data: Dataset.from(data), method: full(), ...shape };
    await refused(async () => {
      using trainer = await Trainer.create({ ...options, steps: 1, rows: { shuffle: false } });
      await trainer.train();
    }, message);

    // Rows are filled up with a token that the embedding has.
    await Deno.writeTextFile(data, '{"text": "fine"}\n');
    const loader = await openLoader({
      ...shape,
      dataset: Dataset.from(data),
      encoder: model.tokenizer,
      worker: false,
      vocabSize: TOKENS,
    });
    const { value } = await loader.batches().next();
    assertEquals(model.tokenizer.padTokenId, 260);
    assert(value!.inputIds.every((id) => id < TOKENS));
  }));

Deno.test("a tokenizer whose own tokens exceed the embedding is another model's", () =>
  withFolder(async (folder) => {
    await writeModel(folder, TOKENS - 1);
    await assertRejects(
      () => Model.load(folder, { device }),
      ModelError,
      "as its tokenizer has 262 tokens and its embedding 259",
    );
  }));
