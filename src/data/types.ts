/**
 * The shapes that travel through the data path: raw row → example → document → batch.
 *
 * @module
 */

import type { ChatMessage } from "../io/chat_template.ts";

/** The label of a token that is not a target, as in Hugging Face and PyTorch. */
export const IGNORED_LABEL: number = -100;

/** The part of a tokenizer that the data path uses. */
export interface TokenEncoder {
  /** Token ids of each text, without the special tokens that begin or end one. */
  encodeBatch(
    texts: readonly string[],
    options: { addSpecialTokens: false },
  ): Promise<ArrayLike<number>[]>;
  /**
   * The special tokens that the tokenizer puts before a text and after it, where its ids do not have
   * them already.
   */
  around(ids: ArrayLike<number>): { before: readonly number[]; after: readonly number[] };
  /** The spelling of a token, for messages; null for an id that has none. */
  tokenOf?(id: number): string | null;
  /** Id that starts a document, or null if the model has none. */
  readonly bosTokenId: number | null;
  /** Id that ends a document, or null if the model has none. */
  readonly eosTokenId: number | null;
  /** Id that fills up rows, or null if the model has none. */
  readonly padTokenId: number | null;
  /** Turns a conversation into text, or null if the model has no template. */
  readonly chatTemplate: ConversationRenderer | null;
}

/** The part of a chat template that the data path uses. */
export interface ConversationRenderer {
  /** The text of a conversation. */
  render(
    messages: readonly ChatMessage[],
    options: {
      addGenerationPrompt: boolean;
      /** What else the template may name, such as `tools`. */
      variables?: Readonly<Record<string, unknown>>;
    },
  ): string;
  /**
   * Where the template says itself what the model writes (`{% generation %}`), as UTF-16 ranges of the
   * text; null where it does not.
   */
  generated?(
    messages: readonly ChatMessage[],
    variables?: Readonly<Record<string, unknown>>,
  ): [start: number, end: number][] | null;
}

/** One row as a source gives it, not yet parsed: cheap to shuffle and to skip. */
export interface RawRow {
  /** Place among the rows of the source, from 0. Blank lines are not rows. */
  index: number;
  /** Line of the file on which the row starts, from 1; 0 when the source is not a file. */
  line: number;
  /** The row's text in a file, or null when its bytes are not valid UTF-8. */
  text: string | null;
  /** The row itself when the source is not a file. */
  value?: unknown;
  /** Which of the dataset's files it is from. */
  file?: number;
  /**
   * What the text is: JSON; JSON of a table's row, whose empty cells are columns that the row may
   * lack; or plain text. Absent: JSON.
   */
  kind?: "json" | "table" | "text";
  /** Why the row cannot be read, where that shows before it is parsed. */
  problem?: string;
  /** Where the row starts in its file, in bytes of the file on disk, about. */
  offset?: number;
}

/** A row after its format was recognised. */
export type Example =
  | { kind: "text"; text: string }
  | { kind: "completion"; prompt: string; completion: string }
  | ChatExample
  | { kind: "ids"; inputIds: ArrayLike<number>; labels: ArrayLike<number> | undefined };

/** A conversation. */
export interface ChatExample {
  kind: "chat";
  /** The turns, whole: a field that the template knows is never lost. */
  messages: ChatMessage[];
  /** What else the template may name: `tools`, `documents`, the row's `chat_template_kwargs`. */
  variables?: Readonly<Record<string, unknown>>;
  /** Answers before this message are context only; default 0. */
  learnFrom?: number;
}

/** Token ids that attend to one another, with a label for each. */
export interface Document {
  /** Token ids, `[length]`. */
  ids: Uint32Array;
  /** Label of each token, `[length]`, not shifted; {@linkcode IGNORED_LABEL} where masked. */
  labels: Int32Array;
}

/** Counters of everything that happened to the rows read so far, over all epochs. */
export interface LoaderStatistics {
  /** Rows read and tokenised or skipped as bad. */
  rows: number;
  /** Rows skipped because they were malformed (`skipBadRows`). */
  badRows: number;
  /** The error of the first bad row in the order of the data, or null. */
  firstBadRow: string | null;
  /** Its place in that order, or null. */
  firstBadPlace: number | null;
  /** Documents kept. */
  documents: number;
  /** Tokens of the documents kept. */
  tokens: number;
  /** Targets of the documents kept. */
  targets: number;
  /** Prompts cut at their start. */
  truncatedPrompts: number;
  /** Completions cut at their end. */
  truncatedCompletions: number;
  /** Targets that were cut off with the end of completions. */
  cutTargets: number;
  /** Plain texts split into several documents. */
  splitTexts: number;
  /** Documents dropped because no token of theirs is a target. */
  allMasked: number;
  /** Columns with data that no format uses beside the one recognised, and in how many rows. */
  unusedColumns: Readonly<Record<string, number>>;
}

/**
 * The point in the data just after a batch. It is plain JSON, small, and
 * `loader.batches(position)` continues from it with bit-identical batches.
 */
export interface LoaderPosition {
  /** Epoch of the current window, from 0. */
  epoch: number;
  /** Rows of that epoch drawn before the current window began. */
  drawn: number;
  /** Batch rows of the current window that earlier batches hold. */
  row: number;
  /** Batches since the start of training. */
  batch: number;
  /** The counters at the start of the current window. */
  statistics: LoaderStatistics;
  /** The options that decide the order of the data; a loader refuses another's position. */
  order: string;
}

/**
 * A batch of static shape `[rows, sequenceLength]`. All arrays are flat, of
 * `rows * sequenceLength` elements, and ready for upload.
 */
export interface Batch {
  /** Rows, padding rows included. */
  rows: number;
  /** Tokens per row. */
  sequenceLength: number;
  /** Token ids. */
  inputIds: Uint32Array<ArrayBuffer>;
  /** Already shifted: the label of the next token of the same document, else −100. */
  targets: Int32Array<ArrayBuffer>;
  /** Place of the token in its document, from 0. */
  positions: Uint32Array<ArrayBuffer>;
  /** Flat index of the first token of this token's document. */
  documentStart: Uint32Array<ArrayBuffer>;
  /** Flat index one past the last token of this token's document. */
  documentEnd: Uint32Array<ArrayBuffer>;
  /** Number of targets that are not −100. */
  targetCount: number;
  /** Number of tokens that are not padding. */
  tokenCount: number;
  /** The point just after this batch. */
  position: LoaderPosition;
  /** Milliseconds that the consumer waited for this batch. */
  waitMs: number;
}

/** A stream of batches. */
export interface Loader {
  /**
   * The batches, from the start or from just after the batch that carried
   * `from`. Leaving the loop early releases the file and the worker.
   *
   * @throws {DataError} on a bad row, or when an epoch has no document to train on.
   * @throws {FileError} when the file cannot be read.
   */
  batches(from?: LoaderPosition): AsyncGenerator<Batch, void, void>;
  /** Counters of the latest call of `batches`; up to a packing window ahead of its batches. */
  readonly statistics: LoaderStatistics;
  /** Ends every stream of batches, now and later. */
  close(): void;
}
