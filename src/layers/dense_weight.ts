/**
 * Weights outside the linear layers, embedding, norms and head, from a model's files.
 *
 * @module
 */

import type { Device } from "../gpu/device.ts";
import { loadMatrix, uploadRows } from "./load.ts";
import type { DenseWeight } from "./method.ts";
import { type RowOrder, toMerged } from "./row_order.ts";
import type { WeightSource } from "./weight_source.ts";

/** A weight of a known size. */
export interface SizedWeight extends DenseWeight {
  rows: number;
  cols: number;
  /** Of a weight of one row: where its columns are, if not in the order of the files. */
  order?: RowOrder;
}

/** Fills a weight. */
export async function loadDense(
  device: Device,
  name: string,
  source: WeightSource,
  { value, rows, cols, order }: SizedWeight,
): Promise<void> {
  if (!order || source.fill) return await loadMatrix(device, name, rows, source, value());
  const values = await source.rows(name, [1, cols], 0, 1);
  uploadRows(device, value(), 0, toMerged({ rows: cols, order }, values));
}
