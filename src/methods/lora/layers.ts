/**
 * The layers of a network with adapters beside frozen weights.
 *
 * @module
 */

import type { BufferView } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import {
  BASE_PRECISION,
  type BaseType,
  type BaseWeight,
  CODED_BASES,
  DenseBase,
} from "../../layers/storage/base_weight.ts";
import { QuantizedBase } from "../../layers/storage/quantized_base.ts";
import { FrozenDense } from "../../layers/storage/frozen_dense.ts";
import { LoraLinear } from "./linear.ts";
import type {
  AdaptedLayers,
  DenseType,
  DenseWeight,
  Linear,
  MethodContext,
} from "../../layers/method.ts";
import { Nf4Base, Nf4Memory } from "../../layers/storage/nf4_base.ts";
import { operandRows, type Precision } from "../../layers/operand.ts";
import type { QuantizedRowBuffer } from "../../layers/quantized_row_buffer.ts";
import { RowBuffer } from "../../gpu/row_buffer.ts";

/** What a method was asked for, defaults filled in. */
export interface LoraSettings {
  rank: number;
  alpha: number;
  /** The adapter counts `alpha / √rank` instead of `alpha / rank`. */
  useRslora: boolean;
  targets: ReadonlySet<string>;
  trainA: boolean;
  /** How the frozen weights of linear layers are stored. */
  baseType: BaseType;
  /** What the operands of the adapters' products are rounded to. */
  adapterPrecision: Precision;
  /** Storage of the embedding and the head; null for f16 where the GPU has it, else f32, as FALQON. */
  denseType: DenseType | null;
  adapter?: PeftAdapter;
}

/** The layers of a network with adapters beside frozen weights, and the memory they share. */
export class LoraLayers implements AdaptedLayers {
  readonly linears: LoraLinear[] = [];
  /** The quantised input of the layer at work, and the gradient of its output, as the base weight takes them. */
  readonly input: QuantizedRowBuffer | null;
  readonly gradient: QuantizedRowBuffer | null;
  /** The same as the adapters take them; null where they take those of the base weight, or f32. */
  readonly adapterInput: QuantizedRowBuffer | null;
  readonly adapterGradient: QuantizedRowBuffer | null;
  /** x·Aᵀ and its gradient, quantised. */
  readonly lowCodes: QuantizedRowBuffer | null;
  readonly dLowCodes: QuantizedRowBuffer | null;
  /** Gradient of x·Aᵀ: read by the very next products, so one does for all layers. */
  readonly dLow: RowBuffer;
  readonly #nf4: Nf4Memory | null;
  readonly #dense: FrozenDense;

  constructor(readonly context: MethodContext, readonly settings: LoraSettings) {
    const { device } = context;
    const { baseType, adapterPrecision, denseType } = settings;
    this.#dense = new FrozenDense(device, denseType);
    const base = BASE_PRECISION[baseType];
    this.input = operandRows(device, base, "input", "input");
    this.gradient = operandRows(device, base, "gradient", "output gradient");
    const own = adapterPrecision === base ? "f32" : adapterPrecision;
    this.adapterInput = operandRows(device, own, "input", "input of adapters");
    const codes = CODED_BASES[baseType];
    // The scales of such a weight's rows are divided out of the gradient that the weight takes: B has others.
    const ownGradient = codes ? adapterPrecision : own;
    const label = "output gradient of adapters";
    this.adapterGradient = operandRows(device, ownGradient, "gradient", label);
    this.lowCodes = operandRows(device, adapterPrecision, "input", "x·Aᵀ");
    this.dLowCodes = operandRows(device, adapterPrecision, "gradient", "gradient of x·Aᵀ");
    this.dLow = new RowBuffer(device, "gradient of x·Aᵀ");
    this.#nf4 = baseType === "nf4" ? new Nf4Memory(device) : null;
  }

  /** What the product of the adapter is multiplied by. */
  get scaling(): number {
    const { rank, alpha, useRslora } = this.settings;
    return alpha / (useRslora ? Math.sqrt(rank) : rank);
  }

  linear(spec: LinearSpec): Linear {
    const linear = new LoraLinear(this, spec);
    this.linears.push(linear);
    return linear;
  }

  /** Makes the frozen weight of a layer. */
  makeBase(spec: LinearSpec): BaseWeight {
    const { device } = this.context;
    const { baseType } = this.settings;
    const codes = CODED_BASES[baseType];
    if (codes) return new QuantizedBase(device, spec, codes);
    if (baseType === "nf4") return new Nf4Base(device, this.#nf4!, spec);
    return new DenseBase(device, spec, baseType as DenseType);
  }

  dense(name: string, rows: number, cols: number): DenseWeight {
    return this.#dense.make(name, rows, cols);
  }

  reserve(tokens: number): void {
    const widest = (of: (linear: LoraLinear) => number) => Math.max(0, ...this.linears.map(of));
    const low = widest(({ adapter }) => adapter?.layout.width ?? 0);
    this.dLow.reserve(tokens, low);
    this.lowCodes?.reserve(tokens, low);
    this.dLowCodes?.reserve(tokens, low);
    this.input?.reserve(tokens, widest(({ spec }) => spec.inFeatures));
    this.gradient?.reserve(tokens, widest(({ spec }) => spec.width));
    this.adapterInput?.reserve(
      tokens,
      widest(({ adapter, spec }) => adapter ? spec.inFeatures : 0),
    );
    this.adapterGradient?.reserve(tokens, widest(({ adapter, spec }) => adapter ? spec.width : 0));
    this.#nf4?.reserve();
  }

  /** What products read of A and B follows these. */
  update(program: Program): void {
    for (const { adapter } of this.linears) adapter?.copy(program, "trained");
  }

  async refresh(): Promise<void> {
    await submitOnce(this.context.device, (program) => {
      for (const { adapter } of this.linears) adapter?.copy(program, "all");
    });
  }

  state(): Map<string, BufferView> {
    return new Map(this.linears.flatMap((linear) => linear.state()));
  }

  free(): void {
    const { input, gradient, adapterInput, adapterGradient, lowCodes, dLowCodes, dLow } = this;
    const rooms = [input, gradient, adapterInput, adapterGradient, lowCodes, dLowCodes, dLow];
    for (const room of rooms) room?.free();
    this.#nf4?.free();
    this.#dense.free();
  }
}
