/**
 * A frozen weight that is stored as codes, for LoRA on an FP8 or int8 base.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import type { NumberFormat } from "../../numerics/formats.ts";
import type { LinearSpec } from "../linear_spec.ts";
import type { WeightSource } from "../weight_source.ts";
import { type Added, type BaseWeight, DECODED } from "./base_weight.ts";
import { QuantizedWeight } from "./quantized_weight.ts";
import type { GemmOperand } from "../operand.ts";

/** A weight in a format of codes with one scale per row, as FALQON's. */
export class QuantizedBase implements BaseWeight {
  readonly #weight: QuantizedWeight;
  readonly #spec: LinearSpec;

  /** @param rotation The block by which its rows are rotated, 1 for none. */
  constructor(
    device: Device,
    spec: LinearSpec,
    format: NumberFormat,
    readonly rotation: number,
  ) {
    this.#weight = new QuantizedWeight(device, spec, format, { rotation });
    this.#spec = spec;
  }

  get rowScales(): Vector {
    return this.#weight.scales;
  }

  async load(source: WeightSource): Promise<void> {
    for (const part of this.#spec.parts) await this.#weight.loadPart(part, source);
  }

  forward(program: Program, x: GemmOperand, output: Matrix, added: Added): void {
    gemm(program, {
      layout: "nt",
      a: x.matrix,
      b: this.#weight.codes,
      out: output,
      rowScales: x.scales,
      columnScales: this.#weight.scales,
      alpha: this.#spec.outputFactor,
      ...added,
    });
  }

  backward(program: Program, g: GemmOperand, dInput: Matrix): void {
    gemm(program, {
      layout: "nn",
      a: g.matrix,
      b: this.#weight.codes,
      out: dInput,
      rowScales: g.scales,
      alpha: this.#spec.outputFactor,
    });
  }

  decodePart(program: Program, index: number): Matrix {
    const part = this.#spec.parts[index];
    const out = program.scratch(part.rows, this.#spec.inFeatures, DECODED, "f32", "model");
    this.#weight.decodePart(program, part, out);
    return out;
  }

  readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#weight.readPart(this.#spec.parts[index]);
  }

  free(): void {
    this.#weight.free();
  }
}
