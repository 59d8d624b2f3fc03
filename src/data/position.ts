/**
 * Checks a position that comes from a file: a damaged one must not go on with other rows.
 *
 * @module
 */

import { isCount, MOST_COUNT } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { emptyStatistics } from "./statistics.ts";
import type { LoaderPosition } from "./types.ts";

/** Counters that are not numbers. */
const TEXTS: readonly string[] = ["firstBadRow", "unusedColumns"];

/** Characters of an order in a sentence: data of many files has a long one. */
const MOST_SHOWN = 200;

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
    if (name !== "firstBadPlace") expectCount(name, count);
    else if (count !== null) expectCount(name, count, Number.MAX_SAFE_INTEGER); // nothing is added to it
  }
  const { firstBadRow = null, unusedColumns = {} } = statistics;
  if (firstBadRow !== null && typeof firstBadRow !== "string") {
    throw wrong("firstBadRow", firstBadRow, "a text or null");
  }
  const columns = expectObject("unusedColumns", unusedColumns);
  for (const [name, count] of Object.entries(columns)) expectCount(name, count);
  expectAgreement(position as unknown as LoaderPosition);
}

/**
 * Checks that a position was reached in the order of a loader.
 *
 * @throws {OptionError} if it was not, with both; where one is long, from where they differ on.
 */
export function expectOrder(position: LoaderPosition, order: string): void {
  if (position.order === order) return;
  const orders = [position.order, order].map((text) => text.split(/(?<=, | and )/));
  let same = 0;
  if (position.order.length > MOST_SHOWN || order.length > MOST_SHOWN) {
    while (orders[0][same] === orders[1][same]) same++;
  }
  const [found, wanted] = orders.map((parts) => {
    const rest = parts.slice(same).join("") || "nothing more";
    return rest.length > MOST_SHOWN ? `${rest.slice(0, MOST_SHOWN)}…` : rest;
  });
  throw new OptionError(
    `Cannot resume the data: the position was reached with ${found}, but this loader has ${wanted}; ` +
      "use the same options",
  );
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

function expectCount(name: string, value: unknown, most = MOST_COUNT): void {
  if (!isCount(value, most)) throw wrong(name, value, `a whole number from 0 to ${most}`);
}

function wrong(name: string, value: unknown, wanted: string): OptionError {
  const found = value === undefined ? "missing" : JSON.stringify(value)?.slice(0, 80);
  return new OptionError(
    `Cannot resume the data: ${name} of the position is ${found} and must be ${wanted}; go on from ` +
      "another checkpoint",
  );
}
