/**
 * How fast the data path is, and how much memory it takes.
 *
 * `deno bench -A bench/loader_bench.ts` times the stages on a small file.
 *
 * `deno run -A bench/loader_bench.ts --size 1GB` streams a generated JSONL file
 * of that size once and prints rows/s, tokens/s and resident memory as it goes.
 * `--tokenizer DIR` tokenises with a real tokenizer in a worker; without it a
 * token is a hash of a word, on the main thread, which shows what everything
 * but the tokenizer costs. `--step-ms N` gives a GPU that takes that long for a
 * batch, and `--burst N` a trainer that waits for it only after N batches: shows
 * how long the thread waits for data, and how long the GPU for work. `--data
 * FILE` reads that file instead, again and again, until `--batches` were read.
 *
 * @module
 */

import { columns, group, number, path, renamed, text, toggle, whole } from "../src/cli/flags.ts";
import { Dataset } from "../src/data/dataset.ts";
import type { ColumnMap } from "../src/data/column_map.ts";
import { openLoader } from "../src/data/open_loader.ts";
import { Random } from "../src/numerics/random.ts";
import type { TokenEncoder } from "../src/data/types.ts";
import { OptionError } from "../src/errors.ts";
import { readFlags, runScript } from "./support/script.ts";

const FLAGS = group("Loader", {
  size: text("SIZE", "Of the generated file, such as 1GB", "64MB"),
  tokenizer: path("DIR", "Tokenise in a worker with this model's tokenizer"),
  batchSize: whole("Rows per batch", "16"),
  sequenceLength: whole("Tokens per row", "512"),
  stepMs: number("Milliseconds that a GPU takes for each batch", "0"),
  burst: whole("Batches after which the thread waits for the GPU", "1"),
  data: path("FILE", "Read this file instead", "a generated one"),
  columns: renamed(columns("Columns of it that hold the known keys"), "map"),
  batches: whole("Batches after which to end", "those of one epoch"),
  packing: toggle("Put several documents into a row", "on"),
  shuffle: toggle("Shuffle the rows", "on"),
});

const WORDS = ("the of and a to in is you that it he was for on are as with his they at be this " +
  "have from or one had by word but not what all were we when your can said there use an each " +
  "which she do how their if will up other about out many then them these so some her would make")
  .split(" ");

/** One token per word: a hash of its letters. The cheapest encoder that reads all of the text. */
const wordEncoder: TokenEncoder = {
  bosTokenId: 1,
  eosTokenId: 2,
  padTokenId: 0,
  chatTemplate: null,
  around: (ids) => ({ before: ids[0] === 1 ? [] : [1], after: [] }),
  encodeBatch: (texts) => Promise.resolve(texts.map(hashed)),
};

function hashed(text: string): number[] {
  const ids: number[] = [];
  let hash = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x20) {
      ids.push(3 + (hash >>> 17));
      hash = 0;
    } else {
      hash = Math.imul(hash ^ code, 0x01000193);
    }
  }
  ids.push(3 + (hash >>> 17));
  return ids;
}

/** Writes rows of text and of prompts with completions, 50 to 1,500 characters each. */
async function generate(path: string, size: number): Promise<void> {
  const random = new Random(1);
  const words = (count: number) =>
    Array.from({ length: count }, () => WORDS[random.below(WORDS.length)]).join(" ");
  using file = await Deno.open(path, { write: true, create: true });
  const writer = file.writable.getWriter();
  const encoder = new TextEncoder();
  for (let written = 0; written < size;) {
    let chunk = "";
    while (chunk.length < 1 << 18) {
      const row = random.below(2) === 0
        ? { text: words(10 + random.below(300)) }
        : { prompt: words(10 + random.below(100)), completion: ` ${words(1 + random.below(200))}` };
      chunk += JSON.stringify(row) + "\n";
    }
    await writer.write(encoder.encode(chunk));
    written += chunk.length;
  }
  writer.releaseLock();
}

/** Makes a file of `size` bytes for as long as `use` runs. */
async function withGenerated(size: number, use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await generate(`${folder}/rows.jsonl`, size);
    await use(`${folder}/rows.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Bytes of a size such as `64MB` or `1GB`. */
function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(KB|MB|GB)$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new OptionError(`--size is ${text}: write a number with KB, MB or GB, such as 1GB.`);
  }
  return Number(digits) * { KB: 1e3, MB: 1e6, GB: 1e9 }[unit as "KB" | "MB" | "GB"];
}

interface RunSettings {
  batchSize: number;
  sequenceLength: number;
  packing: boolean;
  shuffle: boolean;
  tokenizerFolder: string | undefined;
  stepMs: number;
  burst: number;
  columns: ColumnMap | undefined;
  batches: number | undefined;
}

/** A GPU that runs batches one after the other, while the thread goes on. */
class SimulatedGpu {
  readonly #stepMs: number;
  readonly #blocked = new Int32Array(new SharedArrayBuffer(4));
  #freeAt = Infinity;
  /** Milliseconds without work between the first batch and the last. */
  idleMs = 0;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  submit(): void {
    const now = performance.now();
    this.idleMs += Math.max(0, now - this.#freeAt);
    this.#freeAt = Math.max(now, Number.isFinite(this.#freeAt) ? this.#freeAt : now) + this.#stepMs;
  }

  /** Blocks the thread, as a wait for a real GPU can. */
  wait(): void {
    const left = this.#freeAt - performance.now();
    if (left > 0) Atomics.wait(this.#blocked, 0, 0, left);
  }
}

/** Streams the file and prints a line every five seconds. */
async function run(path: string, settings: RunSettings): Promise<void> {
  const { stepMs, burst, columns, batches: limit, tokenizerFolder, ...options } = settings;
  const loader = await openLoader({
    dataset: Dataset.from(path, { columns }),
    encoder: wordEncoder,
    tokenizerFolder,
    epochs: limit === undefined ? 1 : undefined,
    ...options,
  });
  const { size } = await Deno.stat(path);
  const gpu = new SimulatedGpu(stepMs);
  const started = performance.now();
  let waited = 0;
  let batches = 0;
  let places = 0;
  let reported = 0;
  console.log("  seconds       rows     rows/s   tokens/s   wait s   resident MB");
  const report = () => {
    const seconds = (performance.now() - started) / 1e3;
    const { rows, tokens } = loader.statistics;
    const columns = [
      seconds.toFixed(1).padStart(9),
      String(rows).padStart(10),
      (rows / seconds).toFixed(0).padStart(10),
      (tokens / seconds).toFixed(0).padStart(10),
      (waited / 1e3).toFixed(1).padStart(8),
      (Deno.memoryUsage().rss / 1e6).toFixed(0).padStart(13),
    ];
    console.log(columns.join(" "));
  };
  for await (const batch of loader.batches()) {
    waited += batch.waitMs;
    batches++;
    places += batch.inputIds.length;
    gpu.submit();
    if (batches % burst === 0) gpu.wait();
    if (performance.now() - started > reported * 5_000) {
      reported++;
      report();
    }
    if (batches === limit) break;
  }
  report();
  if (stepMs > 0) console.log(`the GPU waited ${(gpu.idleMs / 1e3).toFixed(2)} s for work`);
  const seconds = (performance.now() - started) / 1e3;
  const { tokens } = loader.statistics;
  console.log(
    `${(size / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s: ${
      (size / 1e6 / seconds).toFixed(1)
    } ` +
      `MB/s, ${batches} batches, ${(100 * tokens / places).toFixed(1)} % of places filled`,
  );
  console.log(JSON.stringify(loader.statistics));
}

if (import.meta.main) {
  await runScript(async (args) => {
    const { size = "64MB", tokenizer: tokenizerFolder, data, ...values } = readFlags(args, FLAGS);
    const { batchSize = 16, sequenceLength = 512, stepMs = 0, burst = 1 } = values;
    const { packing = true, shuffle = true, columns, batches } = values;
    const shape = { batchSize, sequenceLength, packing, shuffle, columns, batches };
    const settings = { ...shape, stepMs, burst, tokenizerFolder };
    if (data !== undefined) await run(data, settings);
    else await withGenerated(parseSize(size), (path) => run(path, settings));
  });
} else {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/rows.jsonl`;
  await generate(path, 4e6);
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  const dataset = Dataset.from(path);
  const options = { dataset, encoder: wordEncoder, batchSize: 16, sequenceLength: 512, epochs: 1 };

  Deno.bench("read rows of 4 MB", async () => {
    for await (const _ of dataset.rawRows());
  });
  Deno.bench("read and parse 4 MB", async () => {
    for await (const rows of dataset.rawRows()) for (const row of rows) dataset.parse(row);
  });
  for (
    const [name, changes] of [
      ["pad", { packing: false, shuffle: false }],
      ["pack", { packing: true, shuffle: false }],
      ["shuffle, pack", { packing: true, shuffle: true }],
    ] as const
  ) {
    Deno.bench(`read, parse, tokenise by words, ${name} 4 MB`, async () => {
      const loader = await openLoader({ ...options, ...changes });
      for await (const _ of loader.batches());
    });
  }
}
