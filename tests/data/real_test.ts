import { assert, assertEquals } from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import { openLoader } from "../../src/data/open_loader.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { collect, documentsOf, fingerprint } from "../support/data.ts";
import { goldenTest, readTensors } from "../support/golden.ts";

const shared = new URL("../../../shared/", import.meta.url).pathname;
const model = `${shared}models/stories260K`;

goldenTest("GSM8K: prompts are masked, answers are targets, nothing else is there", async () => {
  const tokenizer = await Tokenizer.load(model);
  const dataset = Dataset.from(`${shared}data/gsm8k_train_3000.jsonl`, {
    columns: { prompt: "question", completion: "answer" },
  });
  const loader = new DirectLoader(dataset, tokenizer, {
    batchSize: 8,
    sequenceLength: 2048,
    packing: false,
    shuffle: false,
    vocabSize: 512,
  });
  const documents = (await collect(loader, undefined, 25)).flatMap(documentsOf);
  const lines = (await Deno.readTextFile(`${shared}data/gsm8k_train_3000.jsonl`)).split("\n");
  documents.forEach(({ ids, targets }, i) => {
    const { question, answer } = JSON.parse(lines[i]);
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

goldenTest(
  "Alpaca and TinyStories load in a worker, packed and within the vocabulary",
  async () => {
    const load = async (file: string, separator?: string) => {
      const loader = await openLoader({
        dataset: Dataset.from(`${shared}data/${file}`, { separator }),
        tokenizerFolder: model,
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
    };
    assertEquals(await load("alpaca_5000.json"), 5000);
    assertEquals(await load("tinystories_1MB.txt", "<|endoftext|>"), 1131);
  },
);

goldenTest("PEFT's batches come out as they went in", async () => {
  const ids = (await readTensors("golden/peft-lora-stories260K.safetensors")).get("batches")!;
  const rows = Array.from({ length: 120 }, (_, i) => {
    const input_ids = [...ids.subarray(64 * i, 64 * (i + 1))];
    return { input_ids, labels: input_ids };
  });
  const loader = new DirectLoader(Dataset.from(rows), null, {
    batchSize: 4,
    sequenceLength: 64,
    packing: false,
    shuffle: false,
    epochs: 1,
  });
  const batches = await collect(loader);
  assertEquals(batches.length, 30);
  assertEquals(batches.flatMap((batch) => [...batch.inputIds]), [...ids]);
  assert(batches.every((batch) => batch.targetCount === 4 * 63));
  assertEquals(new Set(batches.map(fingerprint)).size, 30);
});
