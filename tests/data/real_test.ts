/** Whole data files through tokenizer, formats, packing and the worker: ours, and public ones. */

import { assert, assertEquals } from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import { openLoader } from "../../src/data/open_loader.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { collect, documentsOf, fingerprint } from "../support/data.ts";
import { LORA_RUNS, readLora } from "../support/golden.ts";
import { shared, sharedTest } from "../support/io.ts";

const tiny = new URL("../../examples/tiny/", import.meta.url).pathname;
const stories260K = `${shared}models/stories260K`;

/** Files of prompts and completions: ours, and a public one with other names for them. */
const questions = [
  {
    name: "our instructions",
    test: Deno.test,
    file: `${tiny}instructions_train.jsonl`,
    columns: { prompt: "prompt", completion: "completion" },
    folder: `${tiny}model`,
  },
  {
    name: "GSM8K",
    test: sharedTest,
    file: `${shared}data/gsm8k_train_3000.jsonl`,
    columns: { prompt: "question", completion: "answer" },
    folder: stories260K,
  },
];

for (const { name, test, file, columns, folder } of questions) {
  test(`${name}: prompts are masked, answers are targets, nothing else is there`, async () => {
    const tokenizer = await Tokenizer.load(folder);
    const loader = new DirectLoader(Dataset.from(file, { columns }), tokenizer, {
      batchSize: 8,
      sequenceLength: 2048,
      packing: false,
      shuffle: false,
      vocabSize: 512,
    });
    const documents = (await collect(loader, undefined, 25)).flatMap(documentsOf);
    const lines = (await Deno.readTextFile(file)).split("\n");
    documents.forEach(({ ids, targets }, i) => {
      const row = JSON.parse(lines[i]);
      const [question, answer] = [row[columns.prompt], row[columns.completion]];
      assertEquals(tokenizer.decode(ids), question + answer);
      const first = targets.findIndex((target) => target !== -100);
      assertEquals([...targets.slice(first, -1)], ids.slice(first + 1));
      const context = ids.slice(1, first + 1);
      const alone = tokenizer.encode(question, { addSpecialTokens: false });
      assertEquals(context, alone.slice(0, context.length));
      // At most the last piece of the question may have merged with the answer.
      assert(alone.length - context.length <= 1, question);
      assertEquals([ids[0], targets.at(-2)], [1, 2]);
    });
    assertEquals(documents.length, 200);
  });
}

/** Loads a whole file packed, by a worker; returns how many rows it had. */
async function loadPacked(folder: string, dataset: Dataset): Promise<number> {
  const loader = await openLoader({
    dataset,
    tokenizerFolder: folder,
    batchSize: 16,
    sequenceLength: 512,
    vocabSize: 512,
    epochs: 1,
  });
  const batches = await collect(loader);
  const { rows, tokens, documents } = loader.statistics;
  const size = batches.reduce((sum, batch) => sum + batch.inputIds.length, 0);
  assert(tokens / size > 0.8, `${tokens} tokens in ${size} places`);
  assertEquals(batches.flatMap(documentsOf).length, documents);
  return rows;
}

Deno.test("our instructions load in a worker, packed and within the vocabulary", async () => {
  const dataset = Dataset.from(`${tiny}instructions_train.jsonl`);
  assertEquals(await loadPacked(`${tiny}model`, dataset), 1500);
});

sharedTest(
  "Alpaca and TinyStories load in a worker, packed and within the vocabulary",
  async () => {
    const load = (file: string, separator?: string) =>
      loadPacked(stories260K, Dataset.from(`${shared}data/${file}`, { separator }));
    assertEquals(await load("alpaca_5000.json"), 5000);
    assertEquals(await load("tinystories_1MB.txt", "<|endoftext|>"), 1131);
  },
);

for (const run of LORA_RUNS) {
  run.test(`${run.name}: PEFT's batches come out as they went in`, async () => {
    const { batches: want } = await readLora(run);
    const rows = want.flat().map((ids) => ({ input_ids: ids, labels: ids }));
    const [batchSize, sequenceLength] = [want[0].length, want[0][0].length];
    const loader = new DirectLoader(Dataset.from(rows), null, {
      batchSize,
      sequenceLength,
      packing: false,
      shuffle: false,
      epochs: 1,
    });
    const batches = await collect(loader);
    assertEquals(batches.length, want.length);
    assertEquals(batches.map(({ inputIds }) => [...inputIds]), want.map((rows) => rows.flat()));
    const targets = batchSize * (sequenceLength - 1);
    assert(batches.every((batch) => batch.targetCount === targets));
    assertEquals(new Set(batches.map(fingerprint)).size, want.length);
  });
}
