/**
 * Memory for activations whose number of rows differs from step to step.
 *
 * @module
 */

import { type ElementType, type Matrix, matrixBytes, pitchOf } from "./buffers.ts";
import type { Device } from "./device.ts";

/**
 * A matrix with one row per token, reserved for the longest step; a step uses as many rows as it
 * has tokens. Narrower matrices may share its memory.
 */
export class RowBuffer {
  #matrix: Matrix | null = null;

  constructor(
    readonly device: Device,
    readonly label: string,
    readonly type: ElementType = "f32",
  ) {}

  /** Reserves memory for `tokens` rows of `cols` columns; keeps what it has if that is enough. */
  reserve(tokens: number, cols: number): void {
    const old = this.#matrix;
    if (cols === 0 || (old && old.rows >= tokens && old.pitch >= pitchOf(cols, this.type))) return;
    this.device.free(old);
    this.#matrix = this.device.matrix(tokens, cols, this.type, this.label);
  }

  /** The first `count` rows, `cols` wide. */
  rows(count: number, cols?: number): Matrix {
    const whole = this.#matrix;
    if (!whole) throw new TypeError(`"${this.label}" is used before it was reserved`);
    const width = cols ?? whole.cols;
    if (count > whole.rows || pitchOf(width, this.type) > whole.pitch) {
      throw new RangeError(
        `Cannot use "${this.label}" as ${count}×${width}: ${whole.rows}×${whole.cols} are reserved`,
      );
    }
    const pitch = pitchOf(width, this.type);
    const size = matrixBytes(count, pitch, this.type);
    return { ...whole, rows: count, cols: width, pitch, size };
  }

  free(): void {
    this.device.free(this.#matrix);
    this.#matrix = null;
  }
}
