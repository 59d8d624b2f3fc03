/**
 * FALQON (arXiv 2510.24061): the adapter is merged into the FP8 backbone, which alone is the trained model.
 *
 * One product `x~·[W~; A~]ᵀ` gives a layer's output and the adapter's input x·Aᵀ. The backward multiplies by the same
 * codes and keeps neither x nor a gradient of A. After each optimizer step an update rule carries B into the codes.
 *
 * @module
 */

import { OptionError } from "../../errors.ts";
import type { BufferView } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { SCALE_GRANULARITIES, type ScaleGranularity } from "../../kernels/rows/quantize.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import { gramMatrices } from "./adapter_init.ts";
import { FalqonLinear } from "./linear.ts";
import type { UpdateCounts } from "./update.ts";
import { FrozenDense } from "../../layers/storage/frozen_dense.ts";
import type {
  AdaptedLayers,
  DenseType,
  DenseWeight,
  Linear,
  Method,
  MethodContext,
} from "../../layers/method.ts";
import { PRECISIONS } from "../../layers/operand.ts";
import { QuantizedRowBuffer } from "../../layers/quantized_row_buffer.ts";
import { RowBuffer } from "../../gpu/row_buffer.ts";
import { checkAlpha, checkRank, parseTargets } from "../targets.ts";

/**
 * How the optimizer's change of B reaches the FP8 codes.
 *
 * - `paper`: the change of the `topK` rows with the largest is rounded into the codes, then B is zeroed, as published;
 * - `accumulate`: B keeps what was not applied;
 * - `requantize`: B is an f32 master that is never zeroed, and a row is written as the rounding of the frozen reference
 *   plus all of B, so that rounding errors never add up.
 */
export type UpdateRule = "requantize" | "paper" | "accumulate";

/** Every {@linkcode UpdateRule}. */
export const UPDATE_RULES: readonly UpdateRule[] = ["requantize", "paper", "accumulate"];

/** How the adapter A begins. */
export type AdapterInit = "gradient" | "melded" | "random-orthogonal" | "kaiming";

/** Every {@linkcode AdapterInit}. */
export const ADAPTER_INITS: readonly AdapterInit[] = [
  "gradient",
  "melded",
  "random-orthogonal",
  "kaiming",
];

/** Options of {@linkcode falqon}. */
export interface FalqonOptions {
  /** Rows of A and columns of B. Default 64. */
  rank?: number;
  /** `requantize` applies B times `alpha / rank`. Default 16. */
  alpha?: number;
  /** Rows of each weight that a step writes: the k with the most pending. Default 10 for `paper` and `accumulate`, else all. */
  topK?: number;
  /** Default `requantize`. */
  updateRule?: UpdateRule;
  /** With `requantize`: rows not yet written act in the forward beside the codes. Default: where topK is given. */
  pending?: boolean;
  /**
   * `melded`, as published and the default of `paper` and `accumulate`: the right singular vectors of the quantisation
   * error, times the roots of the singular values. A weight without a known error, as it comes in FP8, begins
   * `random-orthogonal`. `gradient`, the default of `requantize`: the leading right singular vectors of the weight's
   * gradient over the first micro-batches, in which B alone can learn most (the idea of LoRA-GA, arXiv 2407.05000);
   * without a `Trainer`, which has the data, it is random.
   */
  init?: AdapterInit;
  /** Default `row`: one scale a row of W and a token of x. `tensor`: one each, as published. */
  scaling?: ScaleGranularity;
  /** Linear layers with adapters, by the last part of their name. Default all; the others are frozen FP8. */
  targetModules?: readonly string[];
  /**
   * Storage of the embedding and lm_head, which stay as they are; norms are f32. Default `f16` on a GPU that has it, else
   * `f32`. f16 holds all of a BF16 value from 2⁻¹⁷ on, which weights rarely are below.
   */
  denseType?: DenseType;
}

/** What {@linkcode falqon} was asked for, defaults filled in. */
export interface FalqonSettings {
  rank: number;
  /** c: what the forward applies B with; 1 under `paper` and `accumulate`, which know no alpha. */
  factor: number;
  /** Rows of a weight that a step writes; null for all. */
  topK: number | null;
  updateRule: UpdateRule;
  pending: boolean;
  init: AdapterInit;
  scaling: ScaleGranularity;
  targets: ReadonlySet<string>;
  /** Null for what suits the GPU. */
  denseType: DenseType | null;
}

/**
 * Trains adapters that live in the FP8 weight itself.
 *
 * @throws {OptionError} for options out of range.
 */
export function falqon(options: FalqonOptions = {}): Method {
  const { rank = 64, alpha = 16, updateRule = "requantize", scaling = "row" } = options;
  const requantize = updateRule === "requantize";
  const init = options.init ?? (requantize ? "gradient" : "melded");
  checkRank(rank);
  checkAlpha(alpha);
  oneOf("updateRule", updateRule, UPDATE_RULES);
  oneOf("init", init, ADAPTER_INITS);
  oneOf("scaling", scaling, SCALE_GRANULARITIES);
  oneOf("denseType", options.denseType ?? "f16", ["f16", "f32"]);
  const { topK } = options;
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw new OptionError(`Cannot write topK = ${topK} rows: expected an integer of at least 1`);
  }
  if (options.pending && !requantize) {
    throw new OptionError(
      `Cannot use pending with the update rule ${updateRule}: it belongs to requantize`,
    );
  }
  return falqonMethod("falqon", {
    rank,
    factor: requantize ? alpha / rank : 1,
    topK: topK ?? (requantize ? null : 10),
    updateRule,
    pending: requantize && topK !== undefined && (options.pending ?? true),
    init,
    scaling,
    targets: parseTargets(options.targetModules),
    denseType: options.denseType ?? null,
  });
}

/** The frozen model in FP8, without adapters: what FALQON starts from. */
export function frozenFp8(scaling: ScaleGranularity = "row"): Method {
  return falqonMethod("frozen-fp8", {
    rank: 0,
    factor: 0,
    topK: null,
    updateRule: "requantize",
    pending: false,
    init: "melded",
    scaling,
    targets: new Set(),
    denseType: null,
  });
}

function falqonMethod(name: string, settings: FalqonSettings): Method {
  return { name, build: (context) => new FalqonLayers(context, settings) };
}

function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new OptionError(`Cannot use ${name} "${value}": expected one of ${allowed.join(", ")}`);
}

/** The layers of a network under FALQON, and the memory they share. */
export class FalqonLayers implements AdaptedLayers {
  readonly linears: FalqonLinear[] = [];
  /** What inputs, weights and gradients are quantised to. */
  readonly precision = PRECISIONS.fp8;
  /** The quantised input of the layer at work. */
  readonly input: QuantizedRowBuffer;
  /** Its quantised output gradient. */
  readonly gradient: QuantizedRowBuffer;
  /** c·G·(B − B_flushed) of the layer at work. */
  readonly gPending: RowBuffer;
  /** G·Ωᵀ of the layer at work, while A is calibrated. */
  readonly gSketch: RowBuffer;
  readonly #dense: FrozenDense;

  constructor(readonly context: MethodContext, readonly settings: FalqonSettings) {
    const { device } = context;
    this.#dense = new FrozenDense(device, settings.denseType);
    this.input = new QuantizedRowBuffer(device, "input", this.precision.input);
    this.gradient = new QuantizedRowBuffer(device, "output gradient", this.precision.gradient);
    this.gPending = new RowBuffer(device, "pending part of the output gradient");
    this.gSketch = new RowBuffer(device, "sketched output gradient");
  }

  linear(spec: LinearSpec): Linear {
    const linear = new FalqonLinear(this, spec);
    this.linears.push(linear);
    return linear;
  }

  dense(name: string, rows: number, cols: number): DenseWeight {
    return this.#dense.make(name, rows, cols);
  }

  reserve(tokens: number): void {
    const widest = (of: (linear: FalqonLinear) => number) => Math.max(...this.linears.map(of));
    this.input.reserve(tokens, widest(({ spec }) => spec.inFeatures));
    this.gradient.reserve(tokens, widest((linear) => linear.gradientWidth));
    if (this.settings.pending) this.gPending.reserve(tokens, widest(({ layout }) => layout.width));
  }

  get usesGradientInit(): boolean {
    return this.settings.init === "gradient";
  }

  async beginGradientInit(tokens: number, random: () => number): Promise<void> {
    for (const linear of this.linears) await linear.beginSketch(random);
    this.gSketch.reserve(tokens, Math.max(...this.linears.map(({ sketchWidth }) => sketchWidth)));
  }

  async endGradientInit(): Promise<void> {
    const { context: { device }, linears } = this;
    const grams = await gramMatrices(device, linears.flatMap(({ sketches }) => sketches));
    for (const linear of linears) {
      await linear.endSketch(grams.splice(0, linear.sketches.length));
    }
    const scales = await device.readAll(linears.map((linear) => linear.scales));
    for (const [i, linear] of linears.entries()) await linear.begin(new Float32Array(scales[i]));
    this.gSketch.free();
  }

  update(program: Program): void {
    for (const linear of this.linears) linear.update(program);
  }

  /** Records that every row is written, so that the codes are the whole model. */
  flush(program: Program): void {
    for (const linear of this.linears) linear.flush(program);
  }

  /** Makes the updates that are recorded from now on count what they do. */
  countUpdates(): void {
    for (const { updates } of this.linears) for (const update of updates) update.count();
  }

  /** Reads what the last update did, all layers together. */
  async updateCounts(): Promise<UpdateCounts> {
    const total: UpdateCounts = {
      codesChanged: 0,
      codes: 0,
      clamps: 0,
      intendedSquared: 0,
      realizedDotIntended: 0,
    };
    for (const update of this.linears.flatMap(({ updates }) => updates)) {
      const counts = await update.counts();
      for (const key of Object.keys(total) as (keyof UpdateCounts)[]) total[key] += counts[key];
    }
    return total;
  }

  state(): Map<string, BufferView> {
    return new Map(this.linears.flatMap((linear) => [...linear.state()]));
  }

  free(): void {
    const { input, gradient, gPending, gSketch } = this;
    for (const saved of [input, gradient, gPending, gSketch]) saved.free();
    this.#dense.free();
  }
}
