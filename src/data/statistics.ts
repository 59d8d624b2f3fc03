/**
 * Counters of what a loader did to the rows, and the warnings that follow from them.
 *
 * @module
 */

import type { LoaderStatistics } from "./types.ts";

/** Counters of a loader that has read nothing. */
export function emptyStatistics(): LoaderStatistics {
  return {
    rows: 0,
    badRows: 0,
    firstBadRow: null,
    firstBadPlace: null,
    documents: 0,
    tokens: 0,
    targets: 0,
    truncatedPrompts: 0,
    truncatedCompletions: 0,
    cutTargets: 0,
    splitTexts: 0,
    allMasked: 0,
    unusedColumns: {},
  };
}

/** Counts a row in which these columns are not used. */
export function countUnused(statistics: LoaderStatistics, columns: readonly string[]): void {
  // A new object: copies of the counters share the one before.
  const unusedColumns: Record<string, number> = { ...statistics.unusedColumns };
  for (const column of columns) unusedColumns[column] = (unusedColumns[column] ?? 0) + 1;
  statistics.unusedColumns = unusedColumns;
}

/**
 * Warnings about the rows read so far, one sentence each; none where all is well.
 *
 * @param options `purpose` is what the rows are read for; `partial` says that there are more rows
 * than were read.
 */
export function dataWarnings(
  statistics: LoaderStatistics,
  { purpose = "train", partial = false }: {
    purpose?: "train" | "evaluate";
    partial?: boolean;
  } = {},
): string[] {
  const { rows, badRows, firstBadRow, truncatedPrompts, truncatedCompletions, allMasked } =
    statistics;
  const { targets, cutTargets, unusedColumns } = statistics;
  const done = purpose === "train" ? "learned" : "counted";
  const warnings: string[] = [];
  const warn = (count: number, text: string) => {
    const which = partial ? `the first ${rows} rows` : `${rows} rows`;
    if (count > 0) warnings.push(`${count} of ${which} ${text}`);
  };
  warn(badRows, `are malformed and skipped, the first: ${firstBadRow}`);
  warn(truncatedPrompts, "have their prompt cut at its start to fit sequenceLength");
  warn(
    truncatedCompletions,
    "have their completion cut at its end to fit sequenceLength, so " +
      `${cutTargets} of ${targets + cutTargets} targets are not ${done}`,
  );
  warn(allMasked, "have nothing to learn and are left out");
  for (const [column, count] of Object.entries(unusedColumns)) {
    warn(count, `have a column "${column}" that is not used: map it to a key, or remove it`);
  }
  return warnings;
}
