/**
 * The loader itself. Its batches are a function of the data, the options and the
 * position to start from, so a checkpoint needs to hold only a position.
 *
 * Rows are collected into windows, and the documents of a window are packed
 * among themselves. From one window to the next only two counters are carried
 * over: the epoch and the number of rows drawn. Resuming replays the shuffle up
 * to the window without parsing a row, then tokenises this window again.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import { BatchBuilder } from "./batch.ts";
import type { Dataset } from "./dataset.ts";
import { showToken } from "../io/show_token.ts";
import { chunksOf, type EncodedRow, encodeRows } from "./encode_rows.ts";
import { fit } from "./truncate.ts";
import { type LoaderOptions, type ResolvedLoaderOptions, resolveLoaderOptions } from "./options.ts";
import { packFirstFit } from "./packing.ts";
import { expectOrder, expectPosition } from "./position.ts";
import { Random } from "../numerics/random.ts";
import { ShuffleBuffer } from "./shuffle.ts";
import { countUnused, emptyStatistics } from "./statistics.ts";
import type {
  Batch,
  Document,
  Loader,
  LoaderPosition,
  LoaderStatistics,
  RawRow,
  TokenEncoder,
} from "./types.ts";

/**
 * Rows of tokens per packing window: enough for first fit to leave little
 * padding, few enough that a window is tokenised in a fraction of a second.
 */
const WINDOW_ROWS = 64;

/** Documents that are packed together, and the state before them. */
interface Window {
  drawn: number;
  statistics: LoaderStatistics;
  documents: Document[];
}

/** A place in the data, between two rows of batches. */
type Place = Pick<LoaderPosition, "epoch" | "drawn" | "row" | "statistics">;

/** Reads, tokenises and packs on the thread it is called on. */
export class DirectLoader implements Loader {
  readonly #dataset: Dataset;
  readonly #encoder: TokenEncoder | null;
  readonly #options: ResolvedLoaderOptions;
  #statistics = emptyStatistics();
  #closed = false;

  /**
   * A loader that has read nothing yet.
   *
   * @param encoder May be null when all rows are `input_ids`.
   * @throws {OptionError} when an option is out of range.
   */
  constructor(dataset: Dataset, encoder: TokenEncoder | null, options: LoaderOptions) {
    this.#dataset = dataset;
    this.#encoder = encoder;
    this.#options = resolveLoaderOptions(options);
  }

  /** Counters of the latest call of `batches`. */
  get statistics(): LoaderStatistics {
    return { ...this.#statistics };
  }

  /** Ends every stream of batches, now and later. */
  close(): void {
    this.#closed = true;
  }

  /**
   * The batches after `from`. The last batch of the last epoch is filled up with
   * rows of padding; a batch between two epochs has rows of both.
   *
   * @throws {OptionError} when `from` belongs to other options.
   */
  async *batches(from?: LoaderPosition): AsyncGenerator<Batch, void, void> {
    const { batchSize, sequenceLength } = this.#options;
    const order = this.#order();
    if (from !== undefined) expectPosition(from);
    if (from !== undefined) expectOrder(from, order);
    const pad = this.#padding();
    const begin = { epoch: 0, drawn: 0, row: 0, batch: 0, ...from };
    // An earlier version's position lacks counters that came later.
    const start = { ...begin, statistics: { ...emptyStatistics(), ...from?.statistics } };
    this.#statistics = { ...start.statistics };
    let builder = new BatchBuilder(batchSize, sequenceLength, pad);
    let position: LoaderPosition = { ...start, order };
    let batch = start.batch + 1;
    let waitedFrom = performance.now();
    for await (const { documents, ...place } of this.#packedRows(start)) {
      builder.addRow(documents);
      position = { ...place, batch, order };
      if (!builder.full) continue;
      yield builder.finish(position, performance.now() - waitedFrom);
      if (this.#closed) return;
      waitedFrom = performance.now();
      builder = new BatchBuilder(batchSize, sequenceLength, pad);
      batch++;
    }
    if (builder.filledRows > 0) yield builder.finish(position, performance.now() - waitedFrom);
  }

  /** Rows of batches, starting at a place in the data, each with the place just after it. */
  async *#packedRows(start: Place): AsyncGenerator<Place & { documents: Document[] }, void, void> {
    const { sequenceLength, epochs, packing } = this.#options;
    let { drawn: skip, row: given } = start;
    for (let epoch = start.epoch; epoch < epochs; epoch++) {
      let empty = skip === 0;
      for await (const { drawn, statistics, documents } of this.#windows(epoch, skip)) {
        if (this.#closed) return;
        empty = false;
        const rows = packing
          ? packFirstFit(documents, sequenceLength)
          : documents.map((document) => [document]);
        if (given > rows.length) {
          throw new OptionError(
            `Cannot resume the data: the position is behind row ${given} of a window that has ` +
              `${rows.length}; resume with the data that training started with`,
          );
        }
        for (let row = given; row < rows.length; row++) {
          yield { documents: rows[row], epoch, drawn, row: row + 1, statistics };
        }
        given = 0;
      }
      if (empty) throw this.#nothingLeft(epoch);
      skip = 0;
    }
  }

  /** The options that decide which documents come in which order. */
  #order(): string {
    const { sequenceLength, packing, shuffle, shuffleBuffer, seed, trainOnPrompt } = this.#options;
    return `sequenceLength ${sequenceLength}, packing ${packing}, shuffle ` +
      `${shuffle ? `of ${shuffleBuffer} rows by seed ${seed}` : "off"}, ` +
      `trainOnPrompt ${trainOnPrompt}${this.#dataset.mixture}`;
  }

  /** The windows of an epoch, from the one that starts after `skip` rows. */
  async *#windows(epoch: number, skip: number): AsyncGenerator<Window, void, void> {
    // Without packing a row's documents are a window, and nothing is read ahead.
    const windowTokens = this.#options.packing ? WINDOW_ROWS * this.#options.sequenceLength : 1;
    let drawn = 0;
    let tokens = 0;
    const open = (): Window => ({ drawn, statistics: { ...this.#statistics }, documents: [] });
    let window = open();
    for await (const { skipped, rows } of this.#encodedRows(epoch, skip)) {
      drawn += skipped;
      if (skipped > 0 && drawn === skip) window = open();
      for (const row of rows) {
        drawn++;
        for (const document of this.#documents(row)) {
          window.documents.push(document);
          tokens += document.ids.length;
        }
        if (tokens >= windowTokens) {
          yield window;
          window = open();
          tokens = 0;
        }
      }
    }
    if (drawn < skip) {
      throw new DataError(
        `Cannot resume after row ${skip} of ${this.#dataset.name}: it has ${drawn} rows; resume ` +
          "with the data that training started with",
      );
    }
    if (window.documents.length > 0) yield window;
  }

  /**
   * The rows of an epoch after the first `skip`, in chunks, with how many were skipped before. A chunk
   * is encoded while the one before it is in use.
   */
  async *#encodedRows(
    epoch: number,
    skip: number,
  ): AsyncGenerator<{ skipped: number; rows: EncodedRow[] }, void, void> {
    const { trainOnPrompt } = this.#options;
    let left = skip;
    let ahead: { skipped: number; encoded: Promise<EncodedRow[]> } | null = null;
    for await (const rows of this.#drawnRows(epoch)) {
      for (const chunk of chunksOf(rows)) {
        const skipped = Math.min(left, chunk.length);
        left -= skipped;
        const next = {
          skipped,
          encoded: encodeRows(chunk.slice(skipped), this.#dataset, this.#encoder, trainOnPrompt),
        };
        next.encoded.catch(() => {}); // thrown where it is awaited, if it is
        if (ahead !== null) yield { skipped: ahead.skipped, rows: await ahead.encoded };
        ahead = next;
      }
    }
    if (ahead !== null) yield { skipped: ahead.skipped, rows: await ahead.encoded };
  }

  /** The rows of an epoch in the order of training. */
  async *#drawnRows(epoch: number): AsyncGenerator<RawRow[], void, void> {
    const { shuffle, shuffleBuffer, seed } = this.#options;
    if (!shuffle) {
      yield* this.#dataset.rawRows({ epoch });
      return;
    }
    const buffer = new ShuffleBuffer(shuffleBuffer, new Random(seed, epoch));
    for await (const rows of this.#dataset.rawRows({ epoch, interleave: true })) {
      yield buffer.push(rows);
    }
    yield buffer.drain();
  }

  /** The documents of a row; none when the row is bad and bad rows are skipped. */
  #documents({ row, unused, result }: EncodedRow): Document[] {
    const { skipBadRows, sequenceLength } = this.#options;
    const statistics = this.#statistics;
    statistics.rows++;
    if (unused.length > 0) countUnused(statistics, unused);
    if (result instanceof Error) {
      if (!skipBadRows || !(result instanceof DataError)) throw result;
      statistics.badRows++;
      // Rows come shuffled, but the first in the order of the data is where one looks.
      const place = (row.file ?? 0) * 2 ** 32 + row.index;
      if (statistics.firstBadPlace === null || place < statistics.firstBadPlace) {
        statistics.firstBadRow = result.message;
        statistics.firstBadPlace = place;
      }
      return [];
    }
    if (result.length === 0) statistics.allMasked++;
    return result.flatMap((example) => {
      // Never skipped as a bad row: the tokenizer does not belong to the model.
      this.#checkVocabulary(example, row);
      return fit(example, sequenceLength, this.#encoder?.bosTokenId ?? null, statistics);
    });
  }

  /** What fills up rows: a token that the model has, since a tokenizer may have more. */
  #padding(): number {
    const ids = [this.#encoder?.padTokenId, this.#encoder?.eosTokenId];
    return ids.find((id) => typeof id === "number" && id < this.#options.vocabSize) ?? 0;
  }

  #checkVocabulary({ ids, labels }: Document, row: RawRow): void {
    // Plain loops: this visits every token, and callbacks would take a tenth of the loader's time.
    const { vocabSize } = this.#options;
    let bad: number | undefined;
    for (let i = 0; i < ids.length; i++) if (ids[i] >= vocabSize) bad ??= ids[i];
    for (let i = 0; i < labels.length; i++) if (labels[i] >= vocabSize) bad ??= labels[i];
    if (bad !== undefined) {
      const where = this.#dataset.locate(row);
      throw new DataError(
        `Cannot use ${where}: it has the ${showToken(bad, this.#encoder)}, but the model's ` +
          `vocabulary has ${vocabSize} entries; use the tokenizer that belongs to the model, and ` +
          "leave out tokens that the model was not made for",
      );
    }
  }

  #nothingLeft(epoch: number): DataError {
    const { rows, badRows, firstBadRow, allMasked } = this.#statistics;
    const { name, isHeldOut } = this.#dataset;
    if (rows === 0 && isHeldOut) {
      return new DataError(
        `Cannot use the rows held out of ${name}: there are none; hold out a larger fraction, or ` +
          "give held-out rows of their own",
      );
    }
    const where = isHeldOut ? `the rows held out of ${name}` : name;
    return new DataError(
      `Cannot use ${where}: epoch ${epoch} has no targets; of ${rows} rows read, ${badRows} were ` +
        `malformed and ${allMasked} had no target; give rows with an answer or text` +
        (firstBadRow === null ? "" : ` (the first malformed row: ${firstBadRow})`),
    );
  }
}
