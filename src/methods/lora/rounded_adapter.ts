/**
 * An adapter's factor in the precision of the GEMMs. The optimizer trains an f32 matrix; GEMMs read
 * this rounded copy of it, which is made again after each optimizer step.
 *
 * @module
 */

import { firstOf, type Matrix, roundUp, type Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { quantize } from "../../kernels/rows/quantize.ts";
import { type GemmOperand, type Precision, PRECISIONS } from "../../layers/operand.ts";
import { needsScales } from "../../numerics/formats.ts";

/**
 * A rounded copy of A or B: in f16 the rounded values, in e4m3 codes with one scale per row or one
 * for all rows.
 */
export class RoundedAdapter {
  readonly #device: Device;
  readonly #codes: Matrix;
  readonly #scales: Vector;
  readonly #granularity: "row" | "tensor" | "given";

  /**
   * @param scaling of e4m3: `tensor` where a GEMM sums over the rows, so that their scales must be
   * equal.
   */
  constructor(
    device: Device,
    { rows, cols }: { rows: number; cols: number },
    precision: Exclude<Precision, "f32">,
    scaling: "row" | "tensor",
    label: string,
  ) {
    this.#device = device;
    const format = PRECISIONS[precision].input;
    this.#granularity = needsScales(format) ? scaling : "given";
    this.#codes = device.matrix(rows, cols, format.name, label, "model");
    // Enough for the rows or the columns of a GEMM, which are whole groups of 16.
    const length = roundUp(Math.max(rows, cols), 16);
    this.#scales = device.vector(length, "f32", `scales of ${label}`, "model");
    device.write(this.#scales, new Float32Array(length).fill(1));
  }

  /** The operand that products read. */
  get operand(): GemmOperand {
    if (this.#granularity === "given") return { matrix: this.#codes };
    return { matrix: this.#codes, scales: this.#scales };
  }

  /** Records the rounding of the f32 values. */
  record(program: Program, input: Matrix): void {
    const scales = firstOf(this.#scales, input.rows);
    quantize(program, { input, codes: this.#codes, scales, granularity: this.#granularity });
  }

  free(): void {
    this.#device.free(this.#codes, this.#scales);
  }
}
