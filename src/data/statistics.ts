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
    documents: 0,
    tokens: 0,
    targets: 0,
    truncatedPrompts: 0,
    truncatedCompletions: 0,
    splitTexts: 0,
    allMasked: 0,
  };
}

/** Warnings about the rows read so far, one sentence each; none where all is well. */
export function dataWarnings(statistics: LoaderStatistics): string[] {
  const { rows, badRows, firstBadRow, truncatedPrompts, truncatedCompletions, allMasked } =
    statistics;
  const warnings: string[] = [];
  const warn = (count: number, text: string) => {
    if (count > 0) warnings.push(`${count} of ${rows} rows ${text}`);
  };
  warn(badRows, `were malformed and skipped, the first: ${firstBadRow}`);
  warn(truncatedPrompts, "had their prompt cut at its start to fit sequenceLength");
  warn(truncatedCompletions, "had their completion cut at its end to fit sequenceLength");
  warn(allMasked, "had nothing to learn and were left out");
  return warnings;
}
