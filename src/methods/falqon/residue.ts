/**
 * What the update rule `accumulate` keeps of B: the part that rounding did not realise.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { AdaptedPart, Selection } from "../../kernels/falqon/adapted_part.ts";
import { subtractRealized } from "../../kernels/falqon/selection.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { dequantize } from "../../kernels/rows/quantize.ts";
import { gramInverse } from "../../numerics/linear_algebra.ts";

/** Sizes of {@linkcode Residue}. */
export interface ResidueSizes {
  /** Of the adapted part, for labels. */
  module: string;
  /** Rows that a step writes. */
  count: number;
  inputs: number;
  rank: number;
}

/** Finds by how much of B the codes of one adapted part really changed; its matrices are f32. */
export class Residue {
  /** [count, inputs]: what the codes of written rows changed by; the update writes it. */
  readonly change: Matrix;
  readonly #device: Device;
  /** [rank, inputs]: A~ in code units, and the scales with which it is decoded. */
  readonly #a: Matrix;
  readonly #ones: Vector;
  /** [count, rank]: change·A~ᵀ. */
  readonly #alongA: Matrix;
  /** [count, rank]: the change as coefficients of A~. */
  readonly #realized: Matrix;
  /** [rank, rank]: (A~·A~ᵀ)⁻¹. */
  readonly #gramInverse: Matrix;

  constructor(device: Device, { module, count, inputs, rank }: ResidueSizes) {
    const matrix = (rows: number, cols: number, what: string) =>
      device.matrix(rows, cols, "f32", `${module} ${what}`, "model");
    this.#device = device;
    this.change = matrix(count, inputs, "change");
    this.#a = matrix(rank, inputs, "A as numbers");
    this.#ones = device.vector(rank, "f32", `${module} scales of A as numbers`, "model");
    this.#alongA = matrix(count, rank, "change along A");
    this.#realized = matrix(count, rank, "realized change of B");
    this.#gramInverse = matrix(rank, rank, "inverse Gram matrix of A");
    device.write(this.#ones, new Float32Array(rank).fill(1));
  }

  /** Starts from the A of a part. */
  async begin(part: AdaptedPart): Promise<void> {
    await submitOnce(this.#device, (program) => this.#decodeA(program, part));
    const values = await this.#device.readMatrix(this.#a);
    const inverse = Float32Array.from(gramInverse(Float64Array.from(values), part.rank));
    this.#device.writeMatrix(this.#gramInverse, inverse);
  }

  /** Records `B −= d·A~ᵀ·(A~·A~ᵀ)⁻¹` for the written rows, d being what their codes changed by. */
  record(program: Program, part: AdaptedPart, selection: Selection): void {
    this.#decodeA(program, part);
    gemm(program, { layout: "nt", a: this.change, b: this.#a, out: this.#alongA });
    gemm(program, {
      layout: "nn",
      a: this.#alongA,
      b: this.#gramInverse,
      out: this.#realized,
    });
    subtractRealized(program, { part, selection, realized: this.#realized });
  }

  /** What a checkpoint needs. */
  get stored(): BufferView {
    return this.#gramInverse;
  }

  /** Frees its buffers. */
  free(): void {
    const { change } = this;
    this.#device.free(
      change,
      this.#a,
      this.#ones,
      this.#alongA,
      this.#realized,
      this.#gramInverse,
    );
  }

  /** A~ lies among the codes, in any layout. */
  #decodeA(program: Program, { weight, aRow }: AdaptedPart): void {
    dequantize(program, { codes: weight, scales: this.#ones, out: this.#a, firstRow: aRow });
  }
}
