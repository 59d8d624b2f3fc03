/**
 * A look at the first rows before they are trained on or evaluated, so that what is dropped or cut is
 * known at once and not after hours.
 *
 * @module
 */

import { checkOptions, type Names, refuseKind } from "../checks.ts";
import { Dataset } from "./dataset.ts";
import { DirectLoader } from "./direct_loader.ts";
import type { LoaderOptions } from "./options.ts";
import { dataWarnings } from "./statistics.ts";
import type { Batch, TokenEncoder } from "./types.ts";
import { IGNORED_LABEL } from "./types.ts";

/** Rows that are looked at: they take about a second. */
const ROWS = 1000;

/** Documents one by one, as a loader makes them. */
function documents(
  dataset: Dataset,
  encoder: TokenEncoder | null,
  options: LoaderOptions,
): DirectLoader {
  return new DirectLoader(dataset, encoder, {
    ...options,
    batchSize: 1,
    packing: false,
    epochs: 1,
  });
}

/**
 * What becomes of the first rows of a dataset, in its order.
 *
 * @param purpose What the rows are read for.
 * @returns One sentence for each kind of loss; none where all is well, or where the rows can be read
 * only once.
 * @throws {DataError} for the first malformed row, unless they are skipped, or where no row has a
 * target.
 */
export async function lookAtData(
  dataset: Dataset,
  encoder: TokenEncoder | null,
  options: LoaderOptions,
  { purpose, rows = ROWS, signal }: {
    purpose: "train" | "evaluate";
    rows?: number;
    signal?: AbortSignal;
  },
): Promise<string[]> {
  if (!dataset.rereadable) return [];
  const loader = documents(dataset, encoder, { ...options, shuffle: false });
  let partial = false;
  for await (const _ of loader.batches()) {
    signal?.throwIfAborted();
    partial = loader.statistics.rows >= rows;
    if (partial) break;
  }
  return dataWarnings(loader.statistics, { purpose, partial });
}

/** A stretch of a document. */
export interface ShownSegment {
  /** Its text, special tokens as they are spelled; token ids where there is no tokenizer. */
  text: string;
  /** Whether its tokens are targets: those that the model learns to write. */
  target: boolean;
}

/** A row as it is trained on: a whole one, or a piece of a long text. */
export interface ShownRow {
  /** Its text, in stretches. */
  segments: ShownSegment[];
  /** Tokens it has. */
  tokens: number;
  /** How many of them are targets. */
  targets: number;
}

/** What {@linkcode showRows} needs of a tokenizer. */
export interface ShowingEncoder extends TokenEncoder {
  /** The text of ids. */
  decode(ids: Iterable<number>, options: { skipSpecialTokens: boolean }): string;
}

/** The names of the options of {@linkcode showRows}. */
const SHOW_NAMES: Names<Omit<LoaderOptions, "batchSize">> = {
  sequenceLength: true,
  packing: true,
  shuffle: true,
  shuffleBuffer: true,
  seed: true,
  epochs: true,
  trainOnPrompt: true,
  skipBadRows: true,
  vocabSize: true,
};

/**
 * Rows as they will be trained on, in the order of the first epoch, before they are packed.
 *
 * @param tokenizer The model's; null when all rows are `input_ids`.
 * @param options Those of the run.
 * @example
 * ```ts
 * import { Dataset, Model, showRows } from "@falqon/webgpu";
 *
 * using model = await Model.load("./model");
 * const data = Dataset.from("./train.jsonl");
 * for await (const row of showRows(data, model.tokenizer, { sequenceLength: 512 })) {
 *   console.log(row.segments.map(({ text, target }) => target ? `[${text}]` : text).join(""));
 *   break; // the first is enough
 * }
 * ```
 *
 * @throws {OptionError} for what is no dataset, no tokenizer, or options that are unknown or out of range.
 * @throws {DataError} for malformed rows, unless they are skipped.
 * @throws {FileError} when the data cannot be read.
 */
export async function* showRows(
  dataset: Dataset,
  tokenizer: ShowingEncoder | null,
  options: Omit<LoaderOptions, "batchSize">,
): AsyncGenerator<ShownRow, void, void> {
  Dataset.expect(dataset);
  checkOptions("showRows", options, SHOW_NAMES);
  if (tokenizer !== null && typeof tokenizer?.encodeBatch !== "function") {
    refuseKind("a tokenizer", tokenizer, "that of a model, or null where all rows are input_ids");
  }
  const loader = documents(dataset, tokenizer, { ...options, batchSize: 1 });
  for await (const batch of loader.batches()) yield shownRow(batch, tokenizer);
}

function shownRow(
  { inputIds, targets, tokenCount, targetCount }: Batch,
  tokenizer: ShowingEncoder | null,
): ShownRow {
  const ids = inputIds.subarray(0, tokenCount);
  const textUpTo = (end: number) =>
    tokenizer === null
      ? ids.subarray(0, end).join(" ") + (end < tokenCount ? " " : "")
      : tokenizer.decode(ids.subarray(0, end), { skipSpecialTokens: false });
  const isTarget = (token: number) => token > 0 && targets[token - 1] !== IGNORED_LABEL;
  const segments: ShownSegment[] = [];
  let shown = "";
  for (let start = 0, end = 0; start < tokenCount; start = end) {
    const target = isTarget(start);
    for (end = start + 1; end < tokenCount && isTarget(end) === target;) end++;
    // Decoded from the start, since the text of a token depends on those before it.
    const text = textUpTo(end);
    segments.push({ text: text.slice(shown.length), target });
    shown = text;
  }
  return { segments, tokens: tokenCount, targets: targetCount };
}
