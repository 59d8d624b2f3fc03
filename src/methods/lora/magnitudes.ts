/**
 * DoRA (arXiv 2402.09353): the rows of an adapted weight have trained norms,
 *
 *     y = m / ‖W + c·B·A‖ ⊙ (x·Wᵀ + c·(x·Aᵀ)·Bᵀ)
 *
 * with norms of rows, which gradients do not pass through (section 4.3 of the paper, and PEFT). They are
 * computed from the weight as products see it, and A and B as the optimizer has them, after each of its
 * steps.
 *
 * @module
 */

import { columnsOf, type Matrix, rowsOf, type Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { RowBuffer } from "../../gpu/row_buffer.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { addColumnSums } from "../../kernels/rows/column_sums.ts";
import { rowNormFactors } from "../../kernels/rows/row_norm_factors.ts";
import { scaleColumns } from "../../kernels/rows/scale_columns.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import { uploadRows } from "../../layers/load.ts";
import type { MethodContext } from "../../layers/method.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { toMerged, toStored } from "../../layers/row_order.ts";
import type { BaseWeight } from "../../layers/storage/base_weight.ts";
import type { AdapterPart } from "../targets.ts";

/** The factors of an adapted part, as the norms see them. */
export interface PartFactors {
  /** f32 [rank, inFeatures] */
  a: Matrix;
  /** f32 [rows, rank] */
  b: Matrix;
  /** c */
  scale: number;
}

/** The magnitudes of the adapted parts of a layer. */
export class Magnitudes {
  readonly #device: Device;
  readonly #parts: readonly AdapterPart[];
  /** f32 [1, rows] of each adapted part, in the order of the merged weight. */
  readonly #magnitudes: Parameter[];
  /** f32 [width]: m / ‖row‖, 1 where nothing is adapted. */
  readonly #factors: Vector;
  /** f32 [width]: 1 / ‖row‖ */
  readonly #inverse: Vector;
  /** The output of the last forward pass before its columns were scaled. */
  readonly #unscaled: RowBuffer;
  readonly #width: number;

  constructor(
    { device, parameters }: MethodContext,
    { name, width }: LinearSpec,
    parts: readonly AdapterPart[],
  ) {
    this.#device = device;
    this.#parts = parts;
    this.#width = width;
    this.#magnitudes = parts.map(({ part }) =>
      parameters.declare(`${part.module}.lora_magnitude_vector`, 1, part.rows, true)
    );
    this.#factors = device.vector(width, "f32", `${name} factors of rows`, "model");
    this.#inverse = device.vector(width, "f32", `${name} inverse norms of rows`, "model");
    device.write(this.#factors, new Float32Array(width).fill(1));
    this.#unscaled = new RowBuffer(device, `${name} output before its magnitudes`);
  }

  /** Reserves memory for steps of up to `tokens` tokens. */
  reserve(tokens: number): void {
    this.#unscaled.reserve(tokens, this.#width);
  }

  /**
   * Fills the magnitudes: those given, else the norms of the rows, so that nothing changes.
   *
   * @param given By part, in the order of the tensor's rows; undefined for a new adapter.
   */
  async load(
    given: readonly (Float32Array<ArrayBuffer> | undefined)[],
    base: BaseWeight,
    factors: readonly PartFactors[],
  ): Promise<void> {
    const unknown = given.includes(undefined);
    if (unknown) {
      await submitOnce(this.#device, (program) => this.record(program, base, factors));
    }
    const norms = unknown
      ? new Float32Array(await this.#device.read(this.#inverse)).map((x) => x > 0 ? 1 / x : 0)
      : new Float32Array(0);
    this.#parts.forEach(({ part }, i) => {
      const values = given[i];
      const own = values ? toMerged(part, values) : norms.slice(part.start, part.start + part.rows);
      uploadRows(this.#device, this.#magnitudes[i].value, 0, own);
    });
  }

  /** Records the factors of rows for weights that have changed. */
  record(program: Program, base: BaseWeight, factors: readonly PartFactors[]): void {
    this.#parts.forEach(({ part, index }, i) => {
      const { a, b, scale: alpha } = factors[i];
      const changed = base.decodePart(program, index);
      gemm(program, { layout: "nn", a: b, b: a, out: changed, alpha, accumulate: true });
      const magnitude = this.#magnitudes[i].value;
      const [to, inverse] = [this.#factors, this.#inverse];
      rowNormFactors(program, {
        input: changed,
        magnitude,
        factors: to,
        inverse,
        first: part.start,
      });
    });
  }

  /** Where the forward pass writes an output before its columns are scaled. */
  unscaled({ rows, cols }: Pick<Matrix, "rows" | "cols">): Matrix {
    return this.#unscaled.rows(rows, cols);
  }

  /** Records `output = factors ⊙ unscaled (+ biasFactor · bias) (+ addend)`. */
  forward(
    program: Program,
    output: Matrix,
    added: { bias?: Vector; biasFactor?: number; addend?: Matrix },
  ): void {
    const input = this.unscaled(output);
    scaleColumns(program, { input, factors: this.#factors, out: output, ...added });
  }

  /**
   * Records the gradients of the magnitudes, added to theirs.
   *
   * @returns That of the output before its columns were scaled.
   */
  backward(program: Program, dOutput: Matrix): Matrix {
    const times = this.unscaled(dOutput);
    this.#parts.forEach(({ part }, i) => {
      addColumnSums(program, {
        input: columnsOf(dOutput, part.start, part.rows),
        out: columnsOf(this.#magnitudes[i].gradient),
        product: { times, factors: this.#inverse },
      });
    });
    const out = program.scratch(dOutput.rows, dOutput.cols, "gradient before magnitudes");
    scaleColumns(program, { input: dOutput, factors: this.#factors, out });
    return out;
  }

  /** Reads the magnitudes of adapted part `i`, as a file has them. */
  async read(i: number): Promise<Float32Array<ArrayBuffer>> {
    const { value } = this.#magnitudes[i];
    return toStored(this.#parts[i].part, await this.#device.readMatrix(rowsOf(value, 0, 1)));
  }

  /** Frees everything except the parameters. */
  free(): void {
    this.#device.free(this.#factors, this.#inverse);
    this.#unscaled.free();
  }
}
