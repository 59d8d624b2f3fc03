/**
 * Rows of a table that may lie in slabs, by the tokens of a pass; forward and backward.
 *
 * @module
 */

import type { Matrix, Vector } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { embed, embedBackward, type SlabPlace } from "../kernels/rows/embedding.ts";
import type { DenseTable } from "../layers/method.ts";

/** What both directions need. */
interface TableRows {
  /** u32 [tokens] */
  ids: Vector;
  table: DenseTable;
  /** Factor of the rows. */
  scale: number;
}

/** Records `output[t] = scale · table[ids[t]]`. */
export function lookUp(
  program: Program,
  { table, output, ...options }: TableRows & { output: Matrix },
): void {
  for (const { value, ...slab } of table.slabs) {
    embed(program, { ...options, table: value(), slab: placeOf(slab, table), output });
  }
}

/** Records the gradient of a table, added to what is there; nothing where it is not trained. */
export function lookUpBackward(
  program: Program,
  { table, dOutput, ...options }: TableRows & { dOutput: Matrix },
): void {
  for (const { gradient, ...slab } of table.slabs) {
    if (!gradient) continue;
    const place = { dTable: gradient(), slab: placeOf(slab, table) };
    embedBackward(program, { ...options, dOutput, ...place });
  }
}

/** Where a slab is in its table; nothing where it is the whole table. */
function placeOf(
  { firstRow }: { firstRow: number },
  { rows, slabs }: DenseTable,
): SlabPlace | undefined {
  return slabs.length > 1 ? { firstRow, vocab: rows } : undefined;
}
