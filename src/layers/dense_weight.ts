/**
 * The weights that are no matrix of a linear layer: norms, biases, embedding and head.
 *
 * @module
 */

import type { Matrix } from "../gpu/buffers.ts";

/** Element type of the weights that stay high precision. */
export type DenseType = "f32" | "f16";

/** What is no matrix of a linear layer: a norm, biases, or a slab of an embedding or a head. */
export interface DenseWeight {
  /** [rows, cols]; norms and biases are one row. */
  value: () => Matrix;
  /** f32 gradient to add to, where the weight is trained. */
  gradient: (() => Matrix) | null;
}

/** Rows of a table, in buffers of their own. */
export interface DenseSlab extends DenseWeight {
  /** The row of the table that its row 0 is. */
  readonly firstRow: number;
  readonly rows: number;
}

/** An embedding or a head [rows, cols]: its rows in one slab or several, see dense_table.ts. */
export interface DenseTable {
  readonly rows: number;
  readonly cols: number;
  /** In order. */
  readonly slabs: readonly DenseSlab[];
}
