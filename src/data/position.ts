/**
 * Checks a position that comes from a file: a damaged one must not go on with other rows.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { emptyStatistics } from "./statistics.ts";
import type { LoaderPosition } from "./types.ts";

/** Counters that are not numbers. */
const TEXTS: readonly string[] = ["firstBadRow", "unusedColumns"];

/**
 * @param value What is to be a position.
 * @throws {OptionError} if it is none, with the field that is wrong.
 */
export function expectPosition(value: unknown): asserts value is LoaderPosition {
  const position = expectObject("the position", value);
  for (const name of ["epoch", "drawn", "row", "batch"]) expectCount(name, position[name]);
  if (typeof position.order !== "string") throw wrong("order", position.order, "a text");
  // An earlier version's position lacks counters that came later.
  const statistics = expectObject("statistics", position.statistics ?? {});
  for (const [name, count] of Object.entries(statistics)) {
    if (!Object.hasOwn(emptyStatistics(), name) || TEXTS.includes(name)) continue;
    if (name === "firstBadPlace" && count === null) continue;
    expectCount(name, count);
  }
  const { firstBadRow = null, unusedColumns = {} } = statistics;
  if (firstBadRow !== null && typeof firstBadRow !== "string") {
    throw wrong("firstBadRow", firstBadRow, "a text or null");
  }
  const columns = expectObject("unusedColumns", unusedColumns);
  for (const [name, count] of Object.entries(columns)) expectCount(name, count);
  expectAgreement(position as unknown as LoaderPosition);
}

/** Counters that say the same in two ways must agree. */
function expectAgreement({ epoch, drawn, row, batch, statistics }: LoaderPosition): void {
  const rows = statistics?.rows;
  if (rows !== undefined && (epoch === 0 ? rows !== drawn : rows < drawn + epoch)) {
    throw wrong("drawn", drawn, `that of ${rows} rows read in ${epoch + 1} epochs`);
  }
  const documents = statistics?.documents;
  if (documents !== undefined && batch > documents + row) {
    throw wrong("batch", batch, `at most one for each of ${documents} documents and ${row} rows`);
  }
  if (batch > 0 && row === 0) throw wrong("row", row, "at least 1, as a batch was made");
}

function expectObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw wrong(name, value, "an object");
}

function expectCount(name: string, value: unknown): void {
  if (Number.isSafeInteger(value) && value as number >= 0) return;
  throw wrong(name, value, "a whole number of at least 0");
}

function wrong(name: string, value: unknown, wanted: string): OptionError {
  const found = value === undefined ? "missing" : JSON.stringify(value)?.slice(0, 80);
  return new OptionError(
    `Cannot resume the data: ${name} of the position is ${found} and must be ${wanted}; go on from ` +
      "another checkpoint",
  );
}
