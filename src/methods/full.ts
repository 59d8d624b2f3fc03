/**
 * Full training: every weight is an f32 parameter. For pretraining small models, and for inspecting
 * gradients.
 *
 * @module
 */

import type { Program } from "../gpu/program.ts";
import { gemm } from "../kernels/gemm/gemm.ts";
import { biasOperand, makeBias, recordBiasGradient } from "../layers/bias.ts";
import { makeTable } from "../layers/dense_table.ts";
import type { LinearSpec } from "../layers/linear_spec.ts";
import type { WeightSource } from "../layers/weight_source.ts";
import type { Parameter } from "../layers/parameters.ts";
import type {
  AdaptedLayers,
  DenseTable,
  DenseWeight,
  Linear,
  LinearBackward,
  LinearForward,
  Method,
  MethodContext,
} from "../layers/method.ts";
import type { SavedModel } from "../layers/saved.ts";
import type { MethodEntry } from "./entry.ts";
import { loadMerged, readPart } from "../layers/load.ts";

/** Trains every parameter in f32. */
export function full(): Method {
  const build = (context: MethodContext) => new FullLayers(context);
  // A change of every weight is larger than one of low rank at the same rate.
  return { name: "full", trains: true, learningRateFactor: 0.1, build };
}

/** Full training in the list of methods. */
export const FULL: MethodEntry = {
  name: "full",
  summary: "every weight, in f32",
  options: {},
  bases: ["f32"],
  savesAdapter: false,
  create: full,
};

class FullLayers implements AdaptedLayers {
  readonly isOriginal = false;

  constructor(readonly context: MethodContext) {}

  linear(spec: LinearSpec): Linear {
    return new FullLinear(this.context, spec, makeBias(this, spec));
  }

  dense(name: string, cols: number): DenseWeight {
    return this.#declare(name, 1, cols, false);
  }

  table(name: string, rows: number, cols: number): DenseTable {
    const make = (slab: string, count: number) => this.#declare(slab, count, cols, true);
    return makeTable(this.context.device, { name, rows, cols, type: "f32" }, make);
  }

  reserve(): void {}

  saved(): SavedModel {
    return { kind: "model", dtype: "F32", codes: null };
  }

  free(): void {}

  #declare(name: string, rows: number, cols: number, decay: boolean): DenseWeight {
    const parameter = this.context.parameters.declare(name, rows, cols, decay);
    return { value: () => parameter.value, gradient: () => parameter.gradient };
  }
}

/** A merged linear whose weight and biases are parameters. */
class FullLinear implements Linear {
  readonly backwardReadsInput = true;
  readonly rotation = 1;
  readonly forwardReadsF32 = true;
  readonly preferredOutputType = "f32";
  readonly preferredGradientType = "f32";
  readonly #weight: Parameter;

  constructor(
    readonly context: MethodContext,
    readonly spec: LinearSpec,
    readonly bias: DenseWeight | null,
  ) {
    this.#weight = context.parameters.declare(spec.name, spec.width, spec.inFeatures, true);
  }

  reserve(): void {}

  async load(source: WeightSource): Promise<void> {
    await loadMerged(this.context.device, this.spec, source, this.#weight.value);
  }

  inputCodes(): null {
    return null;
  }

  gradientCodes(): null {
    return null;
  }

  forward(program: Program, { input, output, addend }: LinearForward): void {
    const { value: b } = this.#weight;
    const { outputFactor: alpha } = this.spec;
    const bias = biasOperand(this);
    gemm(program, { layout: "nt", a: input!, b, out: output, alpha, ...bias, addend });
  }

  backward(program: Program, { dOutput, input, dInput }: LinearBackward): void {
    const { value, gradient } = this.#weight;
    const { outputFactor: alpha } = this.spec;
    gemm(program, {
      layout: "tn",
      a: dOutput,
      b: input!,
      out: gradient,
      accumulate: true,
      alpha,
    });
    recordBiasGradient(program, this, dOutput);
    if (dInput) gemm(program, { layout: "nn", a: dOutput, b: value, out: dInput, alpha });
  }

  readWeight(index: number): Promise<Float32Array<ArrayBuffer>> {
    return readPart(this.context.device, this.spec.parts[index], this.#weight.value);
  }

  readGradient(index: number): Promise<Float32Array<ArrayBuffer>> {
    return readPart(this.context.device, this.spec.parts[index], this.#weight.gradient);
  }

  free(): void {}
}
