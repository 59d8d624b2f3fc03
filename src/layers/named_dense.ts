/**
 * Weights outside the linear layers, between the GPU and a model's files.
 *
 * @module
 */

import type { Device } from "../gpu/device.ts";
import { loadMatrix, readDense, uploadRows } from "./load.ts";
import type { DenseWeight } from "./method.ts";
import { type RowOrder, toMerged, toStored } from "./row_order.ts";
import type { WeightSource } from "./weight_source.ts";

/** A weight [rows, cols], known by the name of its tensor. */
export interface NamedDense extends DenseWeight {
  rows: number;
  cols: number;
  /**
   * Of a vector: where each element of its tensor is on the GPU. Left out where each is at its own
   * place.
   */
  order?: RowOrder;
}

/** Fills a weight from the tensor `name`. */
export async function loadDense(
  device: Device,
  name: string,
  { value, rows, cols, order }: NamedDense,
  source: WeightSource,
): Promise<void> {
  // The elements that a GPU makes up have no order.
  if (!order || source.fill) return await loadMatrix(device, name, rows, source, value());
  const values = await source.rows(name, [1, cols], 0, 1);
  uploadRows(device, value(), 0, toMerged({ rows: cols, order }, values));
}

/** Reads a weight as its tensor has it, or its gradient: packed f32 [rows, cols]. */
export async function readNamed(
  device: Device,
  weight: NamedDense,
  of: keyof DenseWeight = "value",
): Promise<Float32Array<ArrayBuffer>> {
  const { cols, order } = weight;
  return toStored({ rows: cols, order }, await readDense(device, weight[of]!()));
}
