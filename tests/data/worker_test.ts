import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import { openLoader } from "../../src/data/open_loader.ts";
import { PrefetchLoader } from "../../src/data/prefetch_loader.ts";
import {
  packError,
  unpackError,
  type WorkerReply,
  type WorkerRequest,
} from "../../src/data/worker_protocol.ts";
import { DataError, FileError, ModelError, OptionError } from "../../src/errors.ts";
import { collect, fingerprint, idRows, PieceEncoder, withFile } from "../support/data.ts";

const options = { batchSize: 4, sequenceLength: 16, seed: 2, shuffleBuffer: 20 };
const lines = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const rows = idRows(300, (i) => 2 + (i * 7) % 14);

Deno.test("a worker gives the batches and counters that the calling thread would", async () => {
  await withFile("a.jsonl", lines(rows), async (path) => {
    const dataset = Dataset.from(path).split(0.2).train;
    const settings = { dataset, ...options, epochs: 2 };
    const direct = await openLoader({ ...settings, worker: false });
    const prefetching = await openLoader({ ...settings, prefetch: 2 });
    assertInstanceOf(direct, DirectLoader);
    assertInstanceOf(prefetching, PrefetchLoader);
    const batchesHere = await collect(direct);
    const expected = batchesHere.map(fingerprint);
    const batches = await collect(prefetching);
    assertEquals(batches.map(fingerprint), expected);
    assert(batches.every(({ waitMs }) => waitMs >= 0));
    assertEquals(prefetching.statistics, direct.statistics);
    const from = batchesHere[9].position;
    assertEquals((await collect(prefetching, from)).map(fingerprint), expected.slice(10));
    assertEquals(prefetching.statistics, direct.statistics);
  });
});

Deno.test("leaving the loop and closing both end the worker", async () => {
  // The sanitizer of Deno.test fails on a worker left running.
  await withFile("a.jsonl", lines(rows), async (path) => {
    const open = () => openLoader({ dataset: Dataset.from(path), ...options });
    const loader = await open();
    assertEquals((await collect(loader, undefined, 1)).length, 1);
    let count = 0;
    for await (const _ of loader.batches()) if (++count === 2) loader.close();
    assertEquals(count, 2);
    assertEquals(await collect(loader), []);
    const other = await open();
    const waiting = other.batches().next();
    other.close();
    assertEquals((await waiting).done, true);
  });
});

Deno.test("the worker makes no batch without a credit", async () => {
  await withFile("a.jsonl", lines(rows), async (path) => {
    const url = new URL("../../src/data/worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    let batches = 0;
    let arrived = Promise.withResolvers<void>();
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      assertEquals(data.kind, "batch");
      batches++;
      arrived.resolve();
    };
    const tell = (request: WorkerRequest) => worker.postMessage(request);
    const { descriptor } = Dataset.from(path);
    tell({
      kind: "begin",
      dataset: descriptor!,
      tokenizer: null,
      options,
      from: undefined,
      credits: 2,
    });
    for (const expected of [2, 3, 4]) {
      while (batches < expected) {
        await arrived.promise;
        arrived = Promise.withResolvers();
      }
      // Time enough for a batch too many: one takes less than a millisecond.
      await new Promise((resolve) => setTimeout(resolve, 100));
      assertEquals(batches, expected);
      tell({ kind: "credit" });
    }
    worker.terminate();
  });
});

Deno.test("errors keep their class and message across the thread", async () => {
  await withFile("a.jsonl", lines([...rows.slice(0, 5), { input_ids: "oops" }]), async (path) => {
    const open = (file: string, extra: Record<string, unknown> = {}) =>
      openLoader({ dataset: Dataset.from(file), ...options, ...extra });
    const bad = await open(path);
    await assertRejects(() => collect(bad), DataError, "the string oops");
    const missing = await open(`${path}.none`);
    await assertRejects(() => collect(missing), FileError, "no such file");
    const tokenizer = await open(path, { tokenizerFolder: `${path}.none` });
    await assertRejects(() => collect(tokenizer), FileError, "tokenizer.json");
  });
  const plain = unpackError(packError(new RangeError("r")));
  assertEquals([plain.name, plain.message], ["RangeError", "r"]);
  assertInstanceOf(unpackError(packError(new ModelError("m"))), ModelError);
  assertEquals(unpackError(packError("thrown text")).message, "thrown text");
});

Deno.test("row objects and ready tokenizers stay on the calling thread", async () => {
  const encoder = new PieceEncoder();
  const iterable = await openLoader({ dataset: Dataset.from(rows), ...options, epochs: 1 });
  assertInstanceOf(iterable, DirectLoader);
  assert((await collect(iterable)).length > 10);
  await withFile("a.jsonl", lines([{ text: "a b" }]), async (path) => {
    const loader = await openLoader({
      dataset: Dataset.from(path),
      encoder,
      ...options,
      epochs: 1,
    });
    assertInstanceOf(loader, DirectLoader);
    assertEquals((await collect(loader))[0].tokenCount, 4);
  });
});

Deno.test("openLoader refuses bad options before anything is read", async () => {
  const dataset = Dataset.from("/nonexistent.jsonl");
  await assertRejects(
    () => openLoader({ dataset, ...options, prefetch: 0 }),
    OptionError,
    "Cannot use prefetch 0",
  );
  await assertRejects(
    () => openLoader({ dataset, ...options, sequenceLength: 0 }),
    OptionError,
    "Cannot use sequenceLength 0",
  );
});
