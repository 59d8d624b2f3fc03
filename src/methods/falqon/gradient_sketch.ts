/**
 * A random projection of a weight's gradient: Ω·(Gᵀ·x) has the row space of Gᵀ·x in few rows. Its
 * leading directions initialise FALQON's A.
 *
 * @module
 */

import { columnsOf, type Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { lowRankGradient } from "../../kernels/gemm/low_rank_gradient.ts";
import { leadingDirections, randomMatrix, sketchRows, sketchVariant } from "./adapter_init.ts";
import type { AdapterPart } from "../targets.ts";

/** The sketched gradient of one adapted part. */
export class GradientSketch {
  /** f32 [sketch rows, inFeatures] */
  readonly sum: Matrix;
  readonly #device: Device;

  /** @param omega f32 [sketch rows, part rows] */
  private constructor(
    device: Device,
    readonly adapter: AdapterPart,
    readonly omega: Matrix,
    inFeatures: number,
  ) {
    this.#device = device;
    this.sum = device.matrix(omega.rows, inFeatures, "f32", "sketched gradient", "model");
  }

  /** Draws Ω and starts the sum at zero. */
  static async begin(
    device: Device,
    adapter: AdapterPart,
    inFeatures: number,
    rank: number,
    random: () => number,
  ): Promise<GradientSketch> {
    const { rows } = adapter.part;
    const width = sketchRows(rank, rows, inFeatures);
    const omega = await randomMatrix(device, width, rows, 1, random);
    try {
      return new GradientSketch(device, adapter, omega, inFeatures);
    } catch (error) {
      device.free(omega);
      throw error;
    }
  }

  /** Columns of G·Ωᵀ. */
  get width(): number {
    return this.omega.rows;
  }

  /**
   * Records `sum += (G·Ωᵀ)ᵀ·x`, of which only the directions count: no factor of the layer does.
   *
   * @param dOutput f32 [tokens, width of the merged layer]
   * @param input f32 [tokens, inFeatures]
   * @param projected f32 [tokens, width]: workspace for G·Ωᵀ.
   */
  add(program: Program, dOutput: Matrix, input: Matrix, projected: Matrix): void {
    const { start, rows } = this.adapter.part;
    const a = columnsOf(dOutput, start, rows);
    const variant = sketchVariant(program.device);
    gemm(program, { layout: "nt", a, b: this.omega, out: projected, variant });
    lowRankGradient(program, {
      a: columnsOf(projected),
      b: columnsOf(input),
      out: this.sum,
      accumulate: true,
    });
  }

  /**
   * The leading directions as a new A, and the end of the sketch.
   *
   * @param gram sum·sumᵀ
   * @returns f32 [rank, inFeatures], for the caller to free; null if the gradient was zero.
   */
  async end(gram: Float64Array, rank: number): Promise<Matrix | null> {
    try {
      return await leadingDirections(this.#device, this.sum, gram, rank);
    } finally {
      this.free();
    }
  }

  /** Frees its buffers. */
  free(): void {
    this.#device.free(this.omega, this.sum);
  }
}
