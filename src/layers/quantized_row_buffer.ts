/**
 * Memory for quantised activations and gradients, whose number of rows differs from step to step.
 *
 * @module
 */

import { asVector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Quantized } from "../kernels/rows/quantize.ts";
import { RowBuffer } from "../gpu/row_buffer.ts";
import type { NumberFormat } from "../numerics/formats.ts";

/**
 * A quantised matrix with one row per token, reserved for the longest step: a {@linkcode RowBuffer}
 * with one scale per row.
 */
export class QuantizedRowBuffer {
  readonly #codes: RowBuffer;
  readonly #scales: RowBuffer;

  constructor(device: Device, label: string, { name }: NumberFormat) {
    this.#codes = new RowBuffer(device, `${label} in ${name}`, name);
    this.#scales = new RowBuffer(device, `scales of the ${label} in ${name}`);
  }

  /** Reserves `tokens` rows of `cols` columns; none are needed where `cols` is 0. */
  reserve(tokens: number, cols: number): void {
    this.#codes.reserve(tokens, cols);
    this.#scales.reserve(1, cols === 0 ? 0 : tokens);
  }

  /** The first `count` rows, `cols` wide. */
  rows(count: number, cols: number): Quantized {
    return {
      codes: this.#codes.rows(count, cols),
      scales: asVector(this.#scales.rows(1, count)),
    };
  }

  free(): void {
    this.#codes.free();
    this.#scales.free();
  }
}
