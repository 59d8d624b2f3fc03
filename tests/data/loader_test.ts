import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import type { LoaderOptions } from "../../src/data/options.ts";
import { packFirstFit } from "../../src/data/packing.ts";
import { Random } from "../../src/numerics/random.ts";
import { ShuffleBuffer } from "../../src/data/shuffle.ts";
import type { Batch, Document } from "../../src/data/types.ts";
import { DataError, OptionError } from "../../src/errors.ts";
import { collect, documentsOf, idRows, PieceEncoder, withFile } from "../support/data.ts";

const small: LoaderOptions = { batchSize: 2, sequenceLength: 8, shuffle: false, epochs: 1 };

function load(rows: Record<string, unknown>[], options: Partial<LoaderOptions> = {}) {
  return new DirectLoader(Dataset.from(rows), null, { ...small, ...options });
}

Deno.test("a packed batch, element by element", async () => {
  const loader = load([
    { input_ids: [11, 12, 13, 14, 15] },
    { input_ids: [21, 22, 23, 24], labels: [-100, -100, 23, 24] },
    { input_ids: [31, 32, 33] },
  ]);
  const [batch, ...others] = await collect(loader);
  assertEquals(others, []);
  assertEquals([batch.rows, batch.sequenceLength], [2, 8]);
  // deno-fmt-ignore
  assertEquals([...batch.inputIds], [11, 12, 13, 14, 15, 31, 32, 33, 21, 22, 23, 24, 0, 0, 0, 0]);
  // deno-fmt-ignore
  assertEquals([...batch.targets], [
    12, 13, 14, 15, -100, 32, 33, -100, -100, 23, 24, -100, -100, -100, -100, -100,
  ]);
  assertEquals([...batch.positions], [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3, 0, 0, 0, 0]);
  assertEquals([...batch.documentStart], [0, 0, 0, 0, 0, 5, 5, 5, 8, 8, 8, 8, 12, 13, 14, 15]);
  assertEquals([...batch.documentEnd], [5, 5, 5, 5, 5, 8, 8, 8, 12, 12, 12, 12, 13, 14, 15, 16]);
  assertEquals([batch.targetCount, batch.tokenCount], [8, 12]);
  assert(batch.waitMs >= 0);
  assertEquals(loader.statistics, {
    rows: 3,
    badRows: 0,
    firstBadRow: null,
    firstBadPlace: null,
    documents: 3,
    tokens: 12,
    targets: 8,
    truncatedPrompts: 0,
    truncatedCompletions: 0,
    cutTargets: 0,
    splitTexts: 0,
    allMasked: 0,
    unusedColumns: {},
  });
});

Deno.test("without packing and shuffling a row has one document, in the order of the data", async () => {
  const rows = idRows(10, () => 64);
  const batches = await collect(
    load(rows, { batchSize: 4, sequenceLength: 64, packing: false }),
  );
  assertEquals(batches.length, 3);
  const ids = batches.flatMap((batch) => [...batch.inputIds]);
  assertEquals(ids.slice(0, 640), rows.flatMap((row) => row.input_ids));
  // The last batch is filled up with rows of padding.
  assertEquals(ids.slice(640), new Array(128).fill(0));
  assertEquals(batches.map((batch) => batch.targetCount), [4 * 63, 4 * 63, 2 * 63]);
});

Deno.test("padding is the pad token, else eos, else 0", async () => {
  const padding = async (padTokenId: number | null, eosTokenId: number | null) => {
    const encoder = Object.assign(new PieceEncoder(), { padTokenId, eosTokenId });
    const loader = new DirectLoader(Dataset.from([{ text: "a" }]), encoder, small);
    return (await collect(loader))[0].inputIds.at(-1);
  };
  assertEquals(await padding(9, 2), 9);
  assertEquals(await padding(null, 2), 2);
  assertEquals(await padding(null, null), 0);
});

/** Checks everything about a batch that can be told from its document bounds. */
function checkConsistent(batch: Batch) {
  const { inputIds, targets, positions, documentStart, documentEnd, sequenceLength } = batch;
  let targetCount = 0;
  for (let t = 0; t < inputIds.length; t++) {
    const start = documentStart[t];
    const end = documentEnd[t];
    assert(start <= t && t < end);
    assertEquals(Math.floor(start / sequenceLength), Math.floor((end - 1) / sequenceLength));
    assertEquals([documentStart[start], documentEnd[end - 1]], [start, end]);
    assertEquals(positions[t], t - start);
    if (t === end - 1) assertEquals(targets[t], -100);
    else assert(targets[t] === -100 || targets[t] === inputIds[t + 1]);
    if (targets[t] !== -100) targetCount++;
  }
  assertEquals(batch.targetCount, targetCount);
}

Deno.test("packing loses, repeats and divides no document", async () => {
  const rows = idRows(500, (i) => 2 + (i * 7919) % 15);
  const batches = await collect(load(rows, { batchSize: 4, sequenceLength: 16 }));
  batches.forEach(checkConsistent);
  const key = (ids: number[]) => ids.join();
  const given = batches.flatMap(documentsOf).map(({ ids }) => key(ids));
  assertEquals(given.sort(), rows.map((row) => key(row.input_ids)).sort());
  const tokens = batches.reduce((sum, batch) => sum + batch.tokenCount, 0);
  assertEquals(tokens, rows.reduce((sum, row) => sum + row.input_ids.length, 0));
});

Deno.test("first fit puts each document into the first row with room", () => {
  const documents = [5, 4, 3, 8, 2, 2].map((length): Document => ({
    ids: new Uint32Array(length),
    labels: new Int32Array(length),
  }));
  const lengths = packFirstFit(documents, 8).map((row) => row.map(({ ids }) => ids.length));
  assertEquals(lengths, [[5, 3], [4, 2, 2], [8]]);
});

Deno.test("packing fills rows well when documents are short", async () => {
  const random = new Random(1);
  const rows = idRows(3000, () => 2 + random.below(100));
  const batches = await collect(load(rows, { batchSize: 16, sequenceLength: 256 }));
  const size = batches.length * 16 * 256;
  const tokens = batches.reduce((sum, batch) => sum + batch.tokenCount, 0);
  assert(tokens / size > 0.95, `${tokens} of ${size}`);
});

/** First ids of the documents, in the order given. */
async function order(rows: Record<string, unknown>[], options: Partial<LoaderOptions>) {
  const batches = await collect(load(rows, { packing: false, shuffle: true, ...options }));
  return batches.flatMap(documentsOf).map(({ ids }) => (ids[0] - 3) / 10);
}

Deno.test("shuffling gives each row once an epoch, in an order of the seed and the epoch", async () => {
  const rows = idRows(60);
  const all = Array.from({ length: 60 }, (_, i) => i);
  for (const shuffleBuffer of [1, 7, 60, 1000]) {
    const two = await order(rows, { shuffleBuffer, epochs: 2, seed: 4 });
    const epochs = [two.slice(0, 60), two.slice(60)];
    for (const epoch of epochs) assertEquals(epoch.toSorted((a, b) => a - b), all);
    assertNotEquals(epochs[0], all);
    assertNotEquals(epochs[0], epochs[1]);
    assertEquals(await order(rows, { shuffleBuffer, seed: 4 }), epochs[0]);
    assertNotEquals(await order(rows, { shuffleBuffer, seed: 5 }), epochs[0]);
  }
});

Deno.test("a shuffle whose buffer holds the data is uniform", async () => {
  const rows = idRows(4);
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 2400; seed++) {
    const key = (await order(rows, { seed })).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  // 24 permutations: chi-squared with 23 degrees of freedom is below 49.8 with probability 0.999.
  const chiSquared = [...counts.values()].reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0);
  assertEquals(counts.size, 24);
  assert(chiSquared < 49.8, `chi-squared ${chiSquared}`);
});

Deno.test("a shuffle buffer holds fewer rows when they are very long", () => {
  const buffer = new ShuffleBuffer(1000, new Random(0));
  const text = "x".repeat(2 ** 24);
  const rows = Array.from({ length: 10 }, (_, index) => ({ index, line: 1, text }));
  assertEquals(buffer.push(rows).length, 6);
  assertEquals(buffer.drain().length, 4);
});

Deno.test("without an end, epochs follow one another in the same batch", async () => {
  const loader = load(idRows(3), { packing: false, epochs: undefined });
  const batches = await collect(loader, undefined, 3);
  const first = batches.flatMap(documentsOf).map(({ ids }) => ids[0]);
  assertEquals(first, [3, 13, 23, 3, 13, 23]);
  assertEquals(batches.map(({ position }) => position.epoch), [0, 1, 1]);
});

Deno.test("long texts, prompts and completions are cut and counted", async () => {
  const encoder = new PieceEncoder();
  const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`).join(" ");
  const rows = [
    { text: words(20) },
    { prompt: words(20), completion: " a b" },
    { prompt: words(20), completion: " " + words(20) },
    { prompt: "p", completion: "" },
  ];
  const loader = new DirectLoader(Dataset.from(rows), encoder, { ...small, packing: false });
  const documents = (await collect(loader)).flatMap(documentsOf);
  assertEquals(documents.slice(-2).map(({ ids }) => encoder.decode(ids)), [
    "<s>|▁w16|▁w17|▁w18|▁w19|▁a|▁b|</s>",
    "<s>|▁w19|▁w0|▁w1|▁w2|▁w3|▁w4|▁w5",
  ]);
  const { truncatedPrompts, truncatedCompletions, splitTexts, allMasked } = loader.statistics;
  assertEquals([truncatedPrompts, truncatedCompletions, splitTexts, allMasked], [2, 1, 1, 1]);
});

Deno.test("trainOnPrompt makes every token a target", async () => {
  const dataset = Dataset.from([{ prompt: "a b", completion: " c" }]);
  const targets = async (trainOnPrompt: boolean) => {
    const loader = new DirectLoader(dataset, new PieceEncoder(), { ...small, trainOnPrompt });
    return (await collect(loader))[0].targetCount;
  };
  assertEquals(await targets(false), 2);
  assertEquals(await targets(true), 4);
});

const badRows = '{"text":"a b"}\n{"text":\n{"question":"?"}\n{"text":"c"}\n';

Deno.test("a bad row ends the stream with its line, or is skipped and counted", async () => {
  await withFile("a.jsonl", badRows, async (path) => {
    const dataset = Dataset.from(path);
    const options = { ...small, packing: false, batchSize: 1 };
    const strict = new DirectLoader(dataset, new PieceEncoder(), options);
    await assertRejects(() => collect(strict), DataError, "a.jsonl line 2: it is not valid JSON");

    const lenient = new DirectLoader(dataset, new PieceEncoder(), {
      ...options,
      skipBadRows: true,
    });
    assertEquals((await collect(lenient)).length, 2);
    assertEquals(lenient.statistics.rows, 4);
    assertEquals(lenient.statistics.badRows, 2);
    assertStringIncludes(lenient.statistics.firstBadRow!, "line 2: it is not valid JSON");
  });
});

Deno.test("a text without tokens is the error of its row alone", async () => {
  const encoder = new class extends PieceEncoder {
    override encode(text: string): number[] {
      if (text.includes("?")) throw new DataError(`Cannot tokenise "${text}"`);
      return super.encode(text);
    }
  }();
  const rows = ["a b", "c ?", "d e"].map((text) => ({ text }));
  const options = { batchSize: 1, sequenceLength: 8, packing: false, shuffle: false, epochs: 1 };
  const strict = new DirectLoader(Dataset.from(rows), encoder, options);
  await assertRejects(() => collect(strict), DataError, 'the data row 1: Cannot tokenise "c ?"');
  const loose = new DirectLoader(Dataset.from(rows), encoder, { ...options, skipBadRows: true });
  assertEquals((await collect(loose)).length, 2);
  const { badRows, documents } = loose.statistics;
  assertEquals([badRows, documents, loose.statistics.rows], [1, 2, 3]);
});

Deno.test("an epoch without anything to train on is an error that says why", async () => {
  await assertRejects(() => collect(load([])), DataError, "of 0 rows read");
  const masked = [{ input_ids: [1, 2], labels: [-100, -100] }, { input_ids: [5] }];
  await assertRejects(() => collect(load(masked)), DataError, "2 had no target");
  await assertRejects(
    () => collect(load([{ question: "?" }], { skipBadRows: true })),
    DataError,
    "(the first malformed row: Cannot read the data row 0: it has the keys question",
  );
});

Deno.test("token ids beyond the vocabulary are an error even where bad rows are skipped", async () => {
  const within = { input_ids: [1, 99], labels: [-100, 99] };
  assertEquals((await collect(load([within], { vocabSize: 100 }))).length, 1);
  for (const row of [{ input_ids: [1, 100] }, { input_ids: [1, 2], labels: [1, 100] }]) {
    await assertRejects(
      () => collect(load([within, row], { vocabSize: 100, skipBadRows: true })),
      DataError,
      "the data row 1: it has the token id 100, but the model's vocabulary has 100 entries",
    );
  }
});

Deno.test("options out of range are refused", () => {
  const refused: [Partial<LoaderOptions>, string][] = [
    [{ sequenceLength: 0 }, "Cannot use sequenceLength 0"],
    [{ sequenceLength: 1 }, "Cannot use sequenceLength 1"],
    [{ batchSize: 0 }, "Cannot use batchSize 0"],
    [{ batchSize: 1.5 }, "Cannot use batchSize 1.5"],
    [{ shuffleBuffer: 0 }, "Cannot use shuffleBuffer 0"],
    [{ epochs: 0 }, "Cannot use epochs 0"],
    [{ seed: -1 }, "Cannot use seed -1"],
    [{ vocabSize: NaN }, "Cannot use vocabSize NaN"],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => load([], options), OptionError, message);
  }
});

Deno.test("a closed loader gives no more batches", async () => {
  const loader = load(idRows(100), { epochs: undefined });
  let batches = 0;
  for await (const _ of loader.batches()) if (++batches === 3) loader.close();
  assertEquals(batches, 3);
  assertEquals(await collect(loader), []);
});

Deno.test("leaving the loop early closes the file", async () => {
  // The sanitizer of Deno.test fails on a file left open.
  const content = idRows(50_000).map((row) => JSON.stringify(row)).join("\n");
  await withFile("a.jsonl", content, async (path) => {
    const loader = new DirectLoader(Dataset.from(path), null, { ...small, epochs: undefined });
    assertEquals((await collect(loader, undefined, 2)).length, 2);
  });
});
