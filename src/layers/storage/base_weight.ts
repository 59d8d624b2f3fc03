/**
 * The frozen weight of a merged linear layer, stored in one of several formats.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { FORMATS, type NumberFormat } from "../../numerics/formats.ts";
import type { LinearSpec } from "../linear_spec.ts";
import type { WeightSource } from "../weight_source.ts";
import type { DenseType } from "../method.ts";
import type { GemmOperand, Precision } from "../operand.ts";
import { loadMerged, readPart } from "../load.ts";

/** How a frozen weight is stored. */
export type BaseType = DenseType | "fp8" | "int8" | "nf4";

/** Every {@linkcode BaseType}. */
export const BASE_TYPES: readonly BaseType[] = ["fp8", "int8", "f32", "f16", "nf4"];

/** A frozen weight W [width, inFeatures] and its two products. */
export interface BaseWeight {
  /**
   * f32 [width]: the scales of W's rows, if it has any. The gradient's columns are divided by them
   * before it is rounded.
   */
  readonly rowScales?: Vector;
  /** Loads it from a model's files. */
  load(source: WeightSource): Promise<void>;
  /** Records `output = x·Wᵀ (+ addend)`. */
  forward(program: Program, x: GemmOperand, output: Matrix, addend?: Matrix): void;
  /**
   * Records `dInput = g·W`, for a gradient whose columns were divided by the scales of W's rows.
   */
  backward(program: Program, g: GemmOperand, dInput: Matrix): void;
  /** Reads part `index` of the layer as the GEMMs see it, f32 [rows, inFeatures]. */
  readPart(index: number): Promise<Float32Array<ArrayBuffer>>;
  /** Frees its buffers. */
  free(): void;
}

/** What precision the GEMMs of a base weight round their operands to. */
export const BASE_PRECISION: Readonly<Record<BaseType, Precision>> = {
  f32: "f32",
  f16: "f16",
  fp8: "fp8",
  int8: "int8",
  nf4: "f16",
};

/** The bases that are stored as codes with one scale per row, and the format of the codes. */
export const CODED_BASES: Readonly<Partial<Record<BaseType, NumberFormat>>> = {
  fp8: FORMATS.e4m3,
  int8: FORMATS.int8,
};

/** A weight in f32 or f16. */
export class DenseBase implements BaseWeight {
  readonly #device: Device;
  readonly #spec: LinearSpec;
  readonly #weight: Matrix;

  constructor(device: Device, spec: LinearSpec, type: DenseType) {
    this.#device = device;
    this.#spec = spec;
    this.#weight = device.matrix(spec.width, spec.inFeatures, type, `${spec.name} weight`);
  }

  load(source: WeightSource): Promise<void> {
    return loadMerged(this.#device, this.#spec, source, this.#weight);
  }

  forward(program: Program, x: GemmOperand, output: Matrix, addend?: Matrix): void {
    const { matrix: a, scales: rowScales } = x;
    gemm(program, { layout: "nt", a, b: this.#weight, out: output, rowScales, addend });
  }

  backward(program: Program, g: GemmOperand, dInput: Matrix): void {
    const { matrix: a, scales: rowScales } = g;
    gemm(program, { layout: "nn", a, b: this.#weight, out: dInput, rowScales });
  }

  readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    return readPart(this.#device, this.#spec.parts[index], this.#weight);
  }

  free(): void {
    this.#device.free(this.#weight);
  }
}
