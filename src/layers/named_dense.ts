/**
 * Weights outside the linear layers, between the GPU and a model's files: slab by slab, so that neither
 * side holds more of a large table than it must.
 *
 * @module
 */

import type { Device } from "../gpu/device.ts";
import type { DenseTable, DenseWeight } from "./dense_weight.ts";
import { loadMatrixRows, readDense, uploadRows } from "./load.ts";
import { type RowOrder, toMerged, toStored } from "./row_order.ts";
import type { WeightSource } from "./weight_source.ts";

/** A weight [rows, cols], known by the name of its tensor. */
export interface NamedDense extends DenseTable {
  /**
   * Of a vector: where each element of its tensor is on the GPU. Left out where each is at its own
   * place.
   */
  order?: RowOrder;
  /** Of a vector: the shape of its tensor. Default `[cols]`. */
  shape?: readonly number[];
}

/** How the files of a model hold a vector, where that is not as it is on the GPU. */
export type StoredVector = Pick<NamedDense, "order" | "shape">;

/** A weight of one row, as one slab. */
export function rowAsNamed(weight: DenseWeight, cols: number, stored?: StoredVector): NamedDense {
  return { ...stored, rows: 1, cols, slabs: [{ ...weight, firstRow: 0, rows: 1 }] };
}

/** Fills a weight from the tensor `name`. */
export async function loadDense(
  device: Device,
  name: string,
  { rows, cols, slabs, order }: NamedDense,
  source: WeightSource,
): Promise<void> {
  // The elements that a GPU makes up have no order.
  if (order && !source.fill) {
    const values = await source.rows(name, [1, cols], 0, 1);
    uploadRows(device, slabs[0].value(), 0, toMerged({ rows: cols, order }, values));
    return;
  }
  for (const { value, firstRow } of slabs) {
    await loadMatrixRows(device, { name, shape: [rows, cols], firstRow }, source, value());
  }
}

/** Reads a weight as its tensor has it, or its gradient, slab by slab: packed f32 rows. */
export async function* readSlabs(
  device: Device,
  { cols, slabs, order }: NamedDense,
  of: keyof DenseWeight = "value",
): AsyncGenerator<Float32Array<ArrayBuffer>, void> {
  for (const slab of slabs) {
    yield toStored({ rows: cols, order }, await readDense(device, slab[of]!()));
  }
}

/** Reads a weight as its tensor has it, or its gradient: packed f32 [rows, cols]. */
export async function readNamed(
  device: Device,
  weight: NamedDense,
  of?: keyof DenseWeight,
): Promise<Float32Array<ArrayBuffer>> {
  const slabs = readSlabs(device, weight, of);
  if (weight.slabs.length === 1) return (await slabs.next()).value!;
  const values = new Float32Array(weight.rows * weight.cols);
  let at = 0;
  for await (const slab of slabs) {
    values.set(slab, at);
    at += slab.length;
  }
  return values;
}
