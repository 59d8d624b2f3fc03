/**
 * Odd sizes of delta nets for tests of kernels.
 *
 * @module
 */

import { assert } from "@std/assert";
import { roundUp } from "../../src/gpu/buffers.ts";
import { type DeltaHeads, keyColumns, valueColumns } from "../../src/kernels/delta_net/shapes.ts";
import { takeColumns } from "../oracle/columns.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "./device.ts";
import { packLengths } from "./documents.ts";
import { uploadMatrix } from "./gpu.ts";
import { randomValues } from "./random.ts";

const TOLERANCE = 2e-6;

/** Sizes of a delta net, and the lengths of documents. */
export interface Case {
  heads: DeltaHeads;
  width: number;
  lengths: number[];
}

/** One token of one channel each; documents shorter than the convolution; more tokens than a share of a sum. */
export const DELTA_NET_CASES: Case[] = [
  { heads: { keyHeads: 1, keyDim: 1, valueHeads: 1, valueDim: 1 }, width: 1, lengths: [1] },
  { heads: { keyHeads: 2, keyDim: 8, valueHeads: 4, valueDim: 12 }, width: 4, lengths: [2, 1, 9] },
  { heads: { keyHeads: 1, keyDim: 83, valueHeads: 3, valueDim: 7 }, width: 3, lengths: [41, 29] },
  { heads: { keyHeads: 3, keyDim: 16, valueHeads: 3, valueDim: 80 }, width: 5, lengths: [7] },
];

/** A merged output of linear layers, each from a multiple of 16 on, and the documents. */
export function mergedOf({ heads, lengths }: Case) {
  const tokens = lengths.reduce((a, b) => a + b);
  const widths = [keyColumns(heads), keyColumns(heads), valueColumns(heads), valueColumns(heads)];
  let end = 0;
  const places = [...widths, heads.valueHeads, heads.valueHeads].map((cols) => {
    const column = roundUp(end, 16);
    end = column + cols;
    return { column, cols };
  });
  const width = roundUp(end, 16);
  const [q, k, v, z, b, a] = places;
  const columns = { k: k.column, v: v.column, z: z.column, b: b.column, a: a.column };
  const { matrix, exact } = uploadMatrix(device, randomValues(tokens * width, 1, 3), tokens, width);
  const dMerged = device.matrix(tokens, width, "f32", "gradient");
  const part = (values: ArrayLike<number>, block: typeof q) => takeColumns(values, width, block);
  return { tokens, places, columns, matrix, exact, dMerged, part, ...packLengths(device, lengths) };
}

/** Compares results with what the oracle says, by name. */
export function check(
  pairs: Record<string, [ArrayLike<number>, Float64Array]>,
  given: unknown,
): void {
  for (const [name, [got, want]] of Object.entries(pairs)) {
    const error = relativeError(got, want);
    assert(error < TOLERANCE, `${name} of ${JSON.stringify(given)}: error ${error}`);
  }
}
