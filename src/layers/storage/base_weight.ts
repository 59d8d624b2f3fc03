/**
 * The frozen weight of a merged linear layer, stored in one of several formats.
 *
 * @module
 */

import { type Matrix, rowsOf, type Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { gemm, type GemmOptions } from "../../kernels/gemm/gemm.ts";
import { widen } from "../../kernels/rows/widen.ts";
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

/** What a forward product comes with. */
export type Added = Pick<GemmOptions, "bias" | "biasFactor" | "addend">;

/** A frozen weight W [width, inFeatures] and its two products. */
export interface BaseWeight {
  /**
   * f32 [width]: the scales of W's rows, if it has any. The gradient's columns are divided by them
   * before it is rounded.
   */
  readonly rowScales?: Vector;
  /** The block by which its rows are rotated: inputs must be, and `dInput` comes out so. */
  readonly rotation?: number;
  /** Loads it from a model's files. */
  load(source: WeightSource): Promise<void>;
  /** Records `output = outputFactor · (x·Wᵀ (+ bias)) (+ addend)`. */
  forward(program: Program, x: GemmOperand, output: Matrix, added: Added): void;
  /**
   * Records `dInput = outputFactor · g·W`, for a gradient whose columns were divided by the scales of W's rows.
   */
  backward(program: Program, g: GemmOperand, dInput: Matrix): void;
  /** Reads part `index` of the layer as the GEMMs see it, f32 [outFeatures, inFeatures]. */
  readPart(index: number): Promise<Float32Array<ArrayBuffer>>;
  /** Records decoding part `index`, rotated back: f32 [rows, inFeatures], in the program's scratch. */
  decodePart(program: Program, index: number): Matrix;
  /** Frees its buffers. */
  free(): void;
}

/** The label of the scratch memory in which {@linkcode BaseWeight.decodePart} leaves its result. */
export const DECODED = "decoded weight";

/** What precision the GEMMs of a base weight round their operands to. */
export const BASE_PRECISION: Readonly<Record<BaseType, Precision>> = {
  f32: "f32",
  f16: "f16",
  fp8: "fp8",
  int8: "int8",
  nf4: "f16",
};

/** How weights are stored as codes with one scale per row. */
export interface CodedBase {
  readonly format: NumberFormat;
  /**
   * Whether rows are rotated before they are rounded. Integers have no bits to spare for outliers;
   * FP8 has, and loses by a rotation.
   */
  readonly isRotated: boolean;
}

/** The bases that are stored as codes. */
export const CODED_BASES = {
  fp8: { format: FORMATS.e4m3, isRotated: false },
  int8: { format: FORMATS.int8, isRotated: true },
} as const satisfies Readonly<Partial<Record<BaseType, CodedBase>>>;

/** How a base is stored as codes; null for one that is not. */
export function codedBase(base: BaseType): CodedBase | null {
  return Object.hasOwn(CODED_BASES, base) ? CODED_BASES[base as keyof typeof CODED_BASES] : null;
}

/** A weight in f32 or f16. */
export class DenseBase implements BaseWeight {
  readonly #device: Device;
  readonly #spec: LinearSpec;
  readonly #weight: Matrix;

  constructor(device: Device, spec: LinearSpec, type: DenseType) {
    this.#device = device;
    this.#spec = spec;
    const growsWith = type === "f32" ? "f32 model" : "model";
    const label = `${spec.name} weight`;
    this.#weight = device.matrix(spec.width, spec.inFeatures, type, label, growsWith);
  }

  load(source: WeightSource): Promise<void> {
    return loadMerged(this.#device, this.#spec, source, this.#weight);
  }

  forward(program: Program, x: GemmOperand, output: Matrix, added: Added): void {
    const { matrix: a, scales: rowScales } = x;
    const { outputFactor: alpha } = this.#spec;
    const b = this.#weight;
    gemm(program, { layout: "nt", a, b, out: output, rowScales, alpha, ...added });
  }

  backward(program: Program, g: GemmOperand, dInput: Matrix): void {
    const { matrix: a, scales: rowScales } = g;
    const { outputFactor: alpha } = this.#spec;
    gemm(program, { layout: "nn", a, b: this.#weight, out: dInput, rowScales, alpha });
  }

  decodePart(program: Program, index: number): Matrix {
    const { start, rows } = this.#spec.parts[index];
    const weight = rowsOf(this.#weight, start, rows);
    const { cols, pitch, type } = weight;
    const out = program.scratch(rows, cols, DECODED, "f32", "model");
    if (type === "f32") program.copy(weight, out);
    // With its padding a matrix is as packed as a file.
    else widen(program, { raw: weight, dtype: "F16", out: { ...out, cols: pitch } });
    return out;
  }

  readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    return readPart(this.#device, this.#spec.parts[index], this.#weight);
  }

  free(): void {
    this.#device.free(this.#weight);
  }
}
