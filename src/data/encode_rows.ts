/**
 * Tokenises rows, many at once: a tokenizer has work for every core of the machine then.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import { finishPlans, planTokens } from "./tokenize.ts";
import type { TokenizedExample, TokenPlan } from "./tokenized_example.ts";
import type { RawRow, TokenEncoder } from "./types.ts";

/** A row with its documents of any length, or why it has none. */
export interface EncodedRow {
  row: RawRow;
  /** Its columns with data that are not used. */
  unused: string[];
  result: TokenizedExample[] | Error;
}

/** Rows that the tokenizer is given at once: enough to keep every core of the machine at work. */
const CHUNK_ROWS = 64;
/** Characters of them: a row may have many, and its tokens take many times its memory. */
const CHUNK_CHARACTERS = 1 << 21;

/** Rows in the chunks in which they are tokenised. */
export function* chunksOf(rows: readonly RawRow[]): Generator<RawRow[]> {
  let [chunk, characters]: [RawRow[], number] = [[], 0];
  for (const row of rows) {
    const length = row.text?.length ?? 0;
    const isFull = chunk.length === CHUNK_ROWS || characters + length > CHUNK_CHARACTERS;
    if (chunk.length > 0 && isFull) {
      yield chunk;
      [chunk, characters] = [[], 0];
    }
    chunk.push(row);
    characters += length;
  }
  if (chunk.length > 0) yield chunk;
}

/** Tokenises rows. What is wrong with one is an error in its place. */
export async function encodeRows(
  rows: readonly RawRow[],
  dataset: Dataset,
  encoder: TokenEncoder | null,
  trainOnPrompt: boolean,
): Promise<EncodedRow[]> {
  const unused: string[][] = rows.map(() => []);
  const planned = rows.map((row, i): TokenPlan[] | Error => {
    try {
      const example = dataset.parse(row, (columns) => unused[i] = columns);
      return planTokens(example, encoder, trainOnPrompt, dataset.locate(row));
    } catch (error) {
      return error as Error;
    }
  });
  const plans = planned.flatMap((plan) => plan instanceof Error ? [] : plan);
  try {
    const finished = await finishPlans(plans, encoder);
    let at = 0;
    return planned.map((plan, i) => ({
      row: rows[i],
      unused: unused[i],
      result: plan instanceof Error ? plan : finished.slice(at, at += plan.length),
    }));
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    // Some text of some row has no tokens: which, shows when each row is tried.
    if (rows.length > 1) {
      const each = rows.map((row) => encodeRows([row], dataset, encoder, trainOnPrompt));
      return (await Promise.all(each)).flat();
    }
    const where = dataset.locate(rows[0]);
    return [{
      row: rows[0],
      unused: unused[0],
      result: new DataError(`${where}: ${error.message}`),
    }];
  }
}
