/**
 * Frozen embeddings, heads and norms: the weights outside the linear layers, which most methods do
 * not train.
 *
 * @module
 */

import type { ElementType, Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { makeTable } from "../dense_table.ts";
import type { DenseTable, DenseType, DenseWeight } from "../method.ts";

/**
 * The frozen weights outside the linear layers: norms in f32, embedding and head in a type of their
 * own.
 */
export class FrozenDense {
  readonly #device: Device;
  readonly #type: DenseType;
  readonly #matrices: Matrix[] = [];

  /** @param type of embedding and head; null for f16 where the GPU has it, else f32. */
  constructor(device: Device, type: DenseType | null) {
    this.#device = device;
    this.#type = type ?? (device.hasF16 ? "f16" : "f32");
  }

  /** Makes a weight of one row. */
  row(name: string, cols: number): DenseWeight {
    return this.#make(name, 1, cols, "f32");
  }

  /** Makes an embedding or a head. */
  table(name: string, rows: number, cols: number): DenseTable {
    const type = this.#type;
    const make = (slab: string, count: number) => this.#make(slab, count, cols, type);
    return makeTable(this.#device, { name, rows, cols, type }, make);
  }

  #make(name: string, rows: number, cols: number, type: ElementType): DenseWeight {
    const matrix = this.#device.matrix(rows, cols, type, name, "model");
    this.#matrices.push(matrix);
    return { value: () => matrix, gradient: null };
  }

  /** Frees all of them. */
  free(): void {
    this.#device.free(...this.#matrices);
  }
}
