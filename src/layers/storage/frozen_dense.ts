/**
 * Frozen embeddings, heads and norms: the weights outside the linear layers, which most methods do
 * not train.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { DenseType, DenseWeight } from "../method.ts";

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

  /** Makes a weight; norms are one row. */
  make(name: string, rows: number, cols: number): DenseWeight {
    const matrix = this.#device.matrix(rows, cols, rows > 1 ? this.#type : "f32", name);
    this.#matrices.push(matrix);
    return { value: () => matrix, gradient: null };
  }

  /** Frees all of them. */
  free(): void {
    this.#device.free(...this.#matrices);
  }
}
