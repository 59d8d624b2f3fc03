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
