/**
 * Embedding and head as slabs of rows: a table of a large vocabulary is beyond what a GPU binds of one
 * buffer, so its rows lie in several.
 *
 * Kernels take a slab at a time. A table that fits is one slab, and costs what one matrix costs.
 *
 * @module
 */

import { ELEMENT_BYTES, pitchOf, roundUp } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { PACKED_MULTIPLE } from "../kernels/gemm/pack.ts";
import type { DenseSlab, DenseTable, DenseType, DenseWeight } from "./dense_weight.ts";

/**
 * Rows of slabs are a multiple of this, but for those of the last: products of slabs write whole tiles
 * side by side, as one product would, and packed operands have no gaps.
 */
const SLAB_STEP = PACKED_MULTIPLE;

/** What a table is made of. */
export interface TableShape {
  name: string;
  rows: number;
  cols: number;
  type: DenseType;
}

/**
 * The rows of each slab: as many as a binding holds, also of what half-precision products pack a slab
 * into.
 *
 * @param bindingLimit Bytes.
 */
export function slabRows(
  bindingLimit: number,
  { rows, cols, type }: Omit<TableShape, "name">,
): number[] {
  const width = type === "f16" ? roundUp(cols, PACKED_MULTIPLE) : pitchOf(cols);
  const rowBytes = width * ELEMENT_BYTES[type];
  const fit = Math.floor(bindingLimit / rowBytes);
  if ((type === "f16" ? roundUp(rows, SLAB_STEP) : rows) <= fit) return [rows];
  // Fewer rows than a step would not do: their buffer is then refused.
  const step = Math.max(SLAB_STEP, Math.floor(fit / SLAB_STEP) * SLAB_STEP);
  return Array.from(
    { length: Math.ceil(rows / step) },
    (_, i) => Math.min(step, rows - i * step),
  );
}

/** Makes a table of slabs that `make` makes, a name and a number of rows given. */
export function makeTable(
  device: Device,
  shape: TableShape,
  make: (name: string, rows: number) => DenseWeight,
): DenseTable {
  const { name, rows, cols } = shape;
  let firstRow = 0;
  const slabs = slabRows(device.bindingLimit, shape).map((count): DenseSlab => {
    const first = firstRow;
    firstRow += count;
    const isWhole = count === rows;
    return {
      ...make(isWhole ? name : `${name}, rows from ${first} on`, count),
      firstRow: first,
      rows: count,
    };
  });
  return { rows, cols, slabs };
}

/** Whether a table is trained. */
export function isTrained({ slabs }: DenseTable): boolean {
  return slabs[0].gradient !== null;
}
