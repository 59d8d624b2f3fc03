import { assert, assertEquals, assertRejects } from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import type { LoaderOptions } from "../../src/data/options.ts";
import type { LoaderPosition } from "../../src/data/types.ts";
import { DataError, OptionError } from "../../src/errors.ts";
import { collect, fingerprint, idRows, PieceEncoder, withFile } from "../support/data.ts";

/** A file of 400 rows of uneven length, one in seven of them bad. */
const content = Array.from({ length: 400 }, (_, i) => {
  if (i % 7 === 3) return i % 2 === 0 ? '{"text": oops}' : '{"question": "?"}';
  const words = Array.from({ length: 1 + (i * 31) % 23 }, (_, j) => `w${i}.${j}`).join(" ");
  return JSON.stringify(
    i % 3 === 0 ? { text: words } : { prompt: `q${i}`, completion: ` ${words}` },
  );
}).join("\n");

const variants: [string, Partial<LoaderOptions>][] = [
  ["packing, shuffle", { packing: true, shuffle: true }],
  ["packing, no shuffle", { packing: true, shuffle: false }],
  ["no packing, shuffle", { packing: false, shuffle: true }],
  ["no packing, no shuffle", { packing: false, shuffle: false }],
];

for (const [name, variant] of variants) {
  Deno.test(`resuming after any batch gives the same batches (${name})`, async () => {
    await withFile("a.jsonl", content, async (path) => {
      // Shared, since its ids depend on the order in which it meets pieces.
      const encoder = new PieceEncoder();
      const open = () =>
        new DirectLoader(Dataset.from(path).split(0.1, 3).train, encoder, {
          batchSize: 7,
          sequenceLength: 16,
          shuffleBuffer: 50,
          seed: 9,
          epochs: 3,
          skipBadRows: true,
          ...variant,
        });
      const loader = open();
      const batches = await collect(loader);
      const whole = batches.map(fingerprint);
      assert(whole.length > 60, `${whole.length} batches`);
      assertEquals(new Set(batches.map(({ position }) => position.epoch)), new Set([0, 1, 2]));
      for (let k = 0; k < whole.length; k++) {
        const stored: LoaderPosition = JSON.parse(JSON.stringify(batches[k].position));
        assertEquals(stored.batch, k + 1);
        const resumed = open();
        const rest = (await collect(resumed, stored)).map(fingerprint);
        assertEquals(rest, whole.slice(k + 1));
        assertEquals(resumed.statistics, loader.statistics);
      }
    });
  });
}

Deno.test("resuming tokenises nothing before the window it resumes in", async () => {
  const rows = Array.from({ length: 2000 }, (_, i) => ({ text: `a${i % 10} b c d e f` }));
  const encoder = new PieceEncoder();
  const loader = new DirectLoader(Dataset.from(rows), encoder, {
    batchSize: 8,
    sequenceLength: 16,
    epochs: 1,
  });
  const batches = await collect(loader);
  encoder.calls = 0;
  await collect(loader, batches.at(-1)!.position);
  // A window is 64 rows of 16 tokens: 128 texts of 8.
  assert(encoder.calls <= 128, `${encoder.calls} texts were tokenised again`);
});

Deno.test("a position of other options or of other data is refused", async () => {
  const options: LoaderOptions = { batchSize: 2, sequenceLength: 8, seed: 1, packing: false };
  const open = (rows: number, changes: Partial<LoaderOptions> = {}) =>
    new DirectLoader(Dataset.from(idRows(rows)), null, { ...options, ...changes });
  const [batch] = (await collect(open(20), undefined, 5)).slice(-1);
  await assertRejects(
    () => collect(open(20, { seed: 2 }), batch.position, 1),
    OptionError,
    "shuffle of 10000 rows by seed 1, trainOnPrompt false, but this loader has sequenceLength 8, " +
      "packing false, shuffle of 10000 rows by seed 2, trainOnPrompt false; use",
  );
  const order = batch.position.order + ", of another time".repeat(1000);
  const { message } = await assertRejects(
    () => collect(open(20), { ...batch.position, order }, 1),
    OptionError,
    "reached with trainOnPrompt false, of another time, of another",
  );
  assert(
    message.length < 400 && message.includes("…, but this loader has trainOnPrompt false; use"),
  );
  await assertRejects(
    () => collect(open(5), batch.position, 1),
    DataError,
    "Cannot resume after row 9 of the data: it has 5 rows",
  );
});

Deno.test("a position whose counts leave no room for what is added is refused", async () => {
  const options: LoaderOptions = { batchSize: 2, sequenceLength: 8, shuffle: false };
  const loader = new DirectLoader(Dataset.from(idRows(20)), null, options);
  const [{ position }] = await collect(loader, undefined, 1);
  const { statistics: _, ...counts } = position; // as an earlier version may have saved it
  const most = 2 ** 52;
  for (const name of ["epoch", "drawn", "row", "batch"]) {
    for (const value of [most + 1, Number.MAX_SAFE_INTEGER, -1, 0.5, "1"]) {
      await assertRejects(
        () => collect(loader, { ...counts, [name]: value } as LoaderPosition, 1),
        OptionError,
        `${name} of the position is ${
          JSON.stringify(value)
        } and must be a whole number from 0 to ${most};`,
      );
    }
  }
  const [next] = await collect(loader, { ...counts, batch: most } as LoaderPosition, 1);
  assertEquals(next.position.batch, most + 1);
});
