/**
 * LoRA as PEFT does it: `y = x·Wᵀ + (alpha / rank) · (x·Aᵀ)·Bᵀ`, W frozen, A and B trained in f32. Without targets it
 * is the frozen model.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { type BufferView, columnsOf, type Matrix, rowsOf } from "../gpu/buffers.ts";
import { Program } from "../gpu/program.ts";
import type { PeftAdapter } from "../io/peft.ts";
import { gemm } from "../kernels/gemm.ts";
import type { LinearSpec } from "../model/linear_spec.ts";
import type { WeightSource } from "../model/weight_source.ts";
import type { Parameter } from "../optim/parameters.ts";
import type {
  DenseType,
  Linear,
  LinearBackward,
  LinearForward,
  Method,
  MethodContext,
  MethodLayers,
} from "./method.ts";
import { SavedRows } from "./saved_rows.ts";
import {
  type AdapterLayout,
  adapterLayout,
  checkAlpha,
  checkRank,
  parseTargets,
} from "./targets.ts";
import { loadMerged, readPart, uploadRows } from "./upload.ts";

/** Options of {@linkcode lora}. */
export interface LoraOptions {
  /** Rows of A and columns of B. Default 16. */
  rank?: number;
  /** The adapter counts `alpha / rank`. Default 16. */
  alpha?: number;
  /** Linear layers with adapters, by the last part of their name. Default all. */
  targetModules?: readonly string[];
  /** Train A too; without it only B is trained, as in LoRA-FA (arXiv 2308.03303) and FALQON. Default true. */
  trainA?: boolean;
  /** Storage of the frozen weights; arithmetic is f32. Default `f32`. */
  baseType?: DenseType;
  /** Adapters to start from instead of a random A and a zero B; gives rank, alpha and targets. */
  adapter?: PeftAdapter;
}

/** Trains low-rank adapters beside frozen weights. */
export function lora(options: LoraOptions = {}): Method {
  const { adapter, trainA = true, baseType = "f32" } = options;
  const rank = adapter?.config.rank ?? options.rank ?? 16;
  const alpha = adapter?.config.alpha ?? options.alpha ?? 16;
  checkRank(rank);
  checkAlpha(alpha);
  const targets = parseTargets(adapter ? adapter.config.targetModules : options.targetModules);
  const useRslora = adapter?.config.useRslora ?? false;
  return {
    name: "lora",
    build: (context) =>
      new LoraLayers(context, { rank, alpha, useRslora, targets, trainA, baseType, adapter }),
  };
}

/** The frozen model: for evaluation and generation. */
export function frozen(baseType: DenseType = "f32"): Method {
  const targets = new Set<string>();
  return {
    name: "frozen",
    build: (context) =>
      new LoraLayers(context, {
        rank: 0,
        alpha: 0,
        useRslora: false,
        targets,
        trainA: false,
        baseType,
      }),
  };
}

/** What {@linkcode lora} was asked for, defaults filled in. */
export interface LoraSettings {
  rank: number;
  alpha: number;
  /** The adapter counts `alpha / √rank` instead of `alpha / rank`. */
  useRslora: boolean;
  targets: ReadonlySet<string>;
  trainA: boolean;
  baseType: DenseType;
  adapter?: PeftAdapter;
}

/** The layers of a network under LoRA. */
export class LoraLayers implements MethodLayers {
  readonly linears: LoraLinear[] = [];
  #dense: Matrix[] = [];
  /** Gradient of x·Aᵀ: read by the very next products, so one does for all layers. */
  readonly dLow: SavedRows;

  constructor(readonly context: MethodContext, readonly settings: LoraSettings) {
    this.dLow = new SavedRows(context.device, "gradient of x·Aᵀ");
  }

  /** What the product of the adapter is multiplied by. */
  get scaling(): number {
    const { rank, alpha, useRslora } = this.settings;
    return alpha / (useRslora ? Math.sqrt(rank) : rank);
  }

  /** A frozen A is not among the parameters, and starts from random numbers. */
  state(): Map<string, BufferView> {
    return new Map(this.linears.flatMap((linear) => linear.state()));
  }

  linear(spec: LinearSpec): Linear {
    const linear = new LoraLinear(this, spec);
    this.linears.push(linear);
    return linear;
  }

  dense(name: string, rows: number, cols: number) {
    const type = rows > 1 ? this.settings.baseType : "f32";
    const matrix = this.context.device.matrix(rows, cols, type, name);
    this.#dense.push(matrix);
    return { value: () => matrix, gradient: null };
  }

  reserve(tokens: number): void {
    this.dLow.reserve(tokens, Math.max(0, ...this.linears.map(({ layout }) => layout.width)));
  }

  free(): void {
    this.context.device.free(...this.#dense);
    this.dLow.free();
  }
}

/** A merged linear with a LoRA adapter on each targeted part. */
export class LoraLinear implements Linear {
  readonly layout: AdapterLayout;
  readonly needsInput: boolean;
  readonly readsInput = true;
  readonly #weight: Matrix;
  /** f32 [layout.width, inFeatures]: the parts' A below each other, zero rows between. */
  readonly #a: { value: Matrix; gradient?: Matrix } | null = null;
  /** The A that is ours to free: the one that is not trained. */
  readonly #frozenA: Matrix | null = null;
  /** [rows, rank] of each adapted part */
  readonly #b: Parameter[];
  readonly #low: SavedRows;

  constructor(readonly layers: LoraLayers, readonly spec: LinearSpec) {
    const { context: { device, parameters }, settings: { rank, targets, trainA, baseType } } =
      layers;
    this.layout = adapterLayout(spec, rank, targets);
    const { width } = this.layout;
    this.needsInput = width > 0 && trainA;
    this.#weight = device.matrix(spec.width, spec.inFeatures, baseType, `${spec.name} weight`);
    if (width > 0 && trainA) {
      this.#a = parameters.declare(`${spec.name}.lora_A`, width, spec.inFeatures, true);
    } else if (width > 0) {
      this.#frozenA = device.matrix(width, spec.inFeatures, "f32", `${spec.name} frozen A`);
      this.#a = { value: this.#frozenA };
    }
    this.#b = this.layout.parts.map(({ part }) =>
      parameters.declare(`${part.module}.lora_B`, part.rows, rank, true)
    );
    this.#low = new SavedRows(device, `${spec.name} x·Aᵀ`);
  }

  reserve(tokens: number): void {
    this.#low.reserve(tokens, this.layout.width);
  }

  async load(source: WeightSource): Promise<void> {
    const { context: { device }, settings: { adapter } } = this.layers;
    await loadMerged(device, this.spec, source, this.#weight);
    this.layout.parts.forEach(({ part, start }, i) => {
      const stored = adapter?.tensors.get(part.module);
      if (adapter && !stored) {
        throw new ModelError(
          `Cannot use the adapter as it has no tensors for "${part.module}", which its ` +
            "target_modules name: it was made for another model",
        );
      }
      uploadRows(device, this.#a!.value, start, stored?.A ?? this.#randomA());
      if (stored) uploadRows(device, this.#b[i].value, 0, stored.B);
    });
  }

  /** PEFT's default: Kaiming uniform with a = √5, that is uniform in ±1/√inFeatures. */
  #randomA(): Float32Array<ArrayBuffer> {
    const { context: { random }, settings: { rank } } = this.layers;
    const { inFeatures } = this.spec;
    const bound = 1 / Math.sqrt(inFeatures);
    return Float32Array.from({ length: rank * inFeatures }, () => (2 * random() - 1) * bound);
  }

  inputCodes(): null {
    return null;
  }

  gradientCodes(): null {
    return null;
  }

  forward(program: Program, { input, output, addend }: LinearForward): void {
    gemm(program, { layout: "nt", a: input!, b: this.#weight, out: output, addend });
    if (!this.#a) return;
    const low = this.#low.rows(output.rows);
    gemm(program, { layout: "nt", a: input!, b: this.#a.value, out: low });
    this.layout.parts.forEach(({ part, start }, i) =>
      gemm(program, {
        layout: "nt",
        a: columnsOf(low, start, this.layers.settings.rank),
        b: this.#b[i].value,
        out: columnsOf(output, part.start, part.rows),
        alpha: this.layers.scaling,
        accumulate: true,
      })
    );
  }

  backward(program: Program, { dOutput, input, dInput }: LinearBackward): void {
    if (dInput) gemm(program, { layout: "nn", a: dOutput, b: this.#weight, out: dInput });
    if (!this.#a) return;
    const { settings: { rank }, scaling: alpha, dLow: shared } = this.layers;
    const low = this.#low.rows(dOutput.rows);
    const dLow = shared.rows(dOutput.rows, this.layout.width);
    this.layout.parts.forEach(({ part, start }, i) => {
      const dPart = columnsOf(dOutput, part.start, part.rows);
      const { value, gradient } = this.#b[i];
      gemm(program, {
        layout: "tn",
        a: dPart,
        b: columnsOf(low, start, rank),
        out: gradient,
        alpha,
        accumulate: true,
      });
      gemm(program, {
        layout: "nn",
        a: dPart,
        b: value,
        out: columnsOf(dLow, start, rank),
        alpha,
      });
    });
    const { gradient } = this.#a;
    if (gradient) {
      gemm(program, { layout: "tn", a: dLow, b: input!, out: gradient, accumulate: true });
    }
    if (!dInput) return;
    gemm(program, { layout: "nn", a: dLow, b: this.#a.value, out: dInput, accumulate: true });
  }

  state(): [string, BufferView][] {
    return this.#frozenA ? [[`${this.spec.name}.frozen_A`, this.#frozenA]] : [];
  }

  /** The adapters by module, for a PEFT folder. */
  async readAdapters(): Promise<PeftAdapter["tensors"]> {
    const { device } = this.layers.context;
    const inFeatures = this.spec.inFeatures;
    const tensors: PeftAdapter["tensors"] = new Map();
    for (const [i, { part, start }] of this.layout.parts.entries()) {
      const [A, B] = [
        await device.readMatrix(rowsOf(this.#a!.value, start, this.layers.settings.rank)),
        await device.readMatrix(this.#b[i].value),
      ];
      tensors.set(part.module, { A, B, inFeatures, outFeatures: part.rows });
    }
    return tensors;
  }

  /** The frozen weight with the adapter merged in. */
  async readWeight(index: number): Promise<Float32Array<ArrayBuffer>> {
    const { context: { device }, settings: { rank }, scaling } = this.layers;
    const part = this.spec.parts[index];
    const weight = await readPart(device, part, this.#weight);
    const at = this.layout.parts.findIndex((adapted) => adapted.index === index);
    if (at < 0) return weight;
    const merged = device.matrix(part.rows, this.spec.inFeatures, "f32", "merged weight");
    uploadRows(device, merged, 0, weight);
    using program = new Program(device);
    gemm(program, {
      layout: "nn",
      a: this.#b[at].value,
      b: rowsOf(this.#a!.value, this.layout.parts[at].start, rank),
      out: merged,
      alpha: scaling,
      accumulate: true,
    });
    (await program.prepare()).run();
    const values = await device.readMatrix(merged);
    device.free(merged);
    return values;
  }

  free(): void {
    this.layers.context.device.free(this.#weight, this.#frozenA);
    this.#low.free();
  }
}
