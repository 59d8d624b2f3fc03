/** The look at the first rows, and rows shown as they are trained. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Dataset } from "../../src/data/dataset.ts";
import { lookAtData, type ShowingEncoder, showRows } from "../../src/data/preview.ts";
import { dataWarnings, emptyStatistics } from "../../src/data/statistics.ts";
import { DataError } from "../../src/errors.ts";
import { collect, PieceEncoder } from "../support/data.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";

const options = { batchSize: 4, sequenceLength: 6, seed: 1 };
const words = (count: number) => Array.from({ length: count }, (_, i) => ` w${i}`).join("");

const ROWS = [
  { prompt: "q", completion: words(3) },
  { prompt: "q", completion: words(8), context: "x" },
  { prompt: "q r s t u v", completion: words(2) },
  { prompt: "q", completion: "" },
  { text: words(20), label: 1 },
];

Deno.test("what is cut, dropped and not used of the first rows is said with counts", async () => {
  const look = (purpose: "train" | "evaluate", rows = 1000) =>
    lookAtData(Dataset.from(ROWS), new PieceEncoder(), options, { purpose, rows });
  // Of the second row's 9 targets, w5, w6, w7 and the end go; one place is kept for its prompt.
  assertEquals(await look("train"), [
    "2 of 5 rows have their prompt cut at its start to fit sequenceLength",
    "1 of 5 rows have their completion cut at its end to fit sequenceLength, so 4 of 38 targets are " +
    "not learned",
    "1 of 5 rows have nothing to learn and are left out",
    '1 of 5 rows have a column "context" that is not used: map it to a key, or remove it',
    '1 of 5 rows have a column "label" that is not used: map it to a key, or remove it',
  ]);
  assertStringIncludes((await look("evaluate"))[1], "targets are not counted");
  assertEquals(await look("train", 2), [
    "1 of the first 2 rows have their prompt cut at its start to fit sequenceLength",
    "1 of the first 2 rows have their completion cut at its end to fit sequenceLength, so 4 of 13 " +
    "targets are not learned",
    '1 of the first 2 rows have a column "context" that is not used: map it to a key, or remove it',
  ]);
  const good = Dataset.from(ROWS.slice(0, 1));
  assertEquals(await lookAtData(good, new PieceEncoder(), options, { purpose: "train" }), []);
});

Deno.test("the first malformed row in the order of the file is the one that is named", async () => {
  const rows = Array.from({ length: 50 }, (_, i) => ({ question: i }));
  const look = () =>
    lookAtData(Dataset.from(rows), new PieceEncoder(), options, { purpose: "train" });
  assertStringIncludes((await assertRejects(look, DataError)).message, "the data row 0: it has");
});

Deno.test("of malformed rows that are skipped the first in the order of the file is named", async () => {
  const rows = Array.from({ length: 60 }, (_, i) => i % 3 === 2 ? { question: i } : ROWS[0]);
  const settings = { ...options, epochs: 1, skipBadRows: true };
  const loader = new DirectLoader(Dataset.from(rows), new PieceEncoder(), settings);
  await collect(loader);
  assertEquals(loader.statistics.badRows, 20);
  assertStringIncludes(dataWarnings(loader.statistics)[0], "Cannot read the data row 2: it has");
});

Deno.test("rows that can be read only once are left for training", async () => {
  const once = function* () {
    yield* ROWS;
  };
  const dataset = Dataset.from(once());
  assertEquals(await lookAtData(dataset, new PieceEncoder(), options, { purpose: "train" }), []);
  const loader = new DirectLoader(dataset, new PieceEncoder(), { ...options, epochs: 1 });
  assertEquals((await collect(loader)).length > 0, true);
});

Deno.test("a side of a split without rows is named as what it is", async () => {
  const dataset = Dataset.from(ROWS.slice(0, 2));
  const { train, heldOut } = dataset.split(1e-6);
  const look = (data: Dataset) =>
    lookAtData(data, new PieceEncoder(), options, { purpose: "evaluate" });
  await look(train);
  const { message } = await assertRejects(() => look(heldOut), DataError);
  assertEquals(
    message,
    "Cannot use the rows held out of the data: there are none; hold out a larger fraction, or give " +
      "held-out rows of their own",
  );
});

Deno.test("counters of a position from before there were some begin at 0", async () => {
  const { cutTargets: _, unusedColumns: __, ...old } = emptyStatistics();
  const settings = { ...options, epochs: 1 };
  const loader = new DirectLoader(Dataset.from(ROWS), new PieceEncoder(), settings);
  const [{ position }] = await collect(loader);
  const from = {
    ...position,
    epoch: 0,
    drawn: 0,
    row: 0,
    batch: 0,
    statistics: old as typeof position.statistics,
  };
  await collect(loader, from);
  assertEquals(loader.statistics.cutTargets, 4);
  assertEquals(dataWarnings(loader.statistics).length, 5);
});

Deno.test("rows are shown in the order of training, cut as in training, targets marked", async () => {
  const encoder = new class extends PieceEncoder {
    override decode(ids: ArrayLike<number>): string {
      return Array.from(ids, (id) => this.pieces[id].replace("▁", " ")).join("");
    }
  }() as PieceEncoder & ShowingEncoder;
  const settings = { sequenceLength: 6, shuffle: false };
  const rows = await Array.fromAsync(showRows(Dataset.from(ROWS), encoder, settings));
  const marked = rows.map(({ segments }) =>
    segments.map(({ text, target }) => target ? `[${text}]` : text).join("")
  );
  assertEquals(marked.slice(0, 4), [
    "<s> q[ w0 w1 w2</s>]",
    " q[ w0 w1 w2 w3 w4]",
    "<s> u v[ w0 w1</s>]",
    "<s>[  w0 w1 w2 w3]",
  ]);
  assertEquals([rows[0].tokens, rows[0].targets], [6, 4]);
  const ids = showRows(
    Dataset.from([{ input_ids: [5, 6, 7], labels: [-100, 6, 7] }]),
    null,
    settings,
  );
  assertEquals((await ids.next()).value!.segments, [
    { text: "5 ", target: false },
    { text: "6 7", target: true },
  ]);
});
