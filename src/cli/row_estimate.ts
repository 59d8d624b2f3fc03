/**
 * How many rows data has, about, without reading all of it: a run whose steps are not counted can
 * still say how much is left.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";

/** Rows that are looked at; fewer are counted. */
const ROWS = 2000;

/**
 * The rows of one epoch: counted where there are few or their places in the file are not known, else
 * estimated from the bytes of the files.
 *
 * @param signal Ends it early.
 * @returns Null where the rows can be read only once, or the estimate was ended.
 */
export async function estimateRows(
  dataset: Dataset,
  signal?: AbortSignal,
): Promise<number | null> {
  const groups = dataset.descriptor?.groups;
  if (!dataset.rereadable) return null;
  let rows = 0;
  for await (const chunk of dataset.rawRows()) {
    if (signal?.aborted) return null;
    rows += chunk.length;
    const { file = 0, offset = 0 } = chunk.at(-1)!;
    if (groups === undefined || rows < ROWS || offset === 0) continue;
    const weighted = groups.flatMap(({ files, weight }) =>
      files.map(({ path }) => ({ path, weight: dataset.isHeldOut ? 1 : weight }))
    );
    const sizes = await Promise.all(
      weighted.map(async ({ path, weight }) => weight * (await Deno.stat(path)).size),
    );
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const before = sizes.slice(0, file).reduce((sum, size) => sum + size, 0);
    const read = before + weighted[file].weight * offset;
    return Math.max(rows, Math.round(rows * total / read));
  }
  return rows;
}
