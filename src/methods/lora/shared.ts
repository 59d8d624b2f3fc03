/**
 * Settings and workspace that the layers of a network under LoRA share.
 *
 * @module
 */

import { RowBuffer } from "../../gpu/row_buffer.ts";
import { rankOf, scaleOf } from "../../io/peft_adapter.ts";
import type { LinearPart, LinearSpec } from "../../layers/linear_spec.ts";
import type { DenseType, MethodContext } from "../../layers/method.ts";
import { operandRows } from "../../layers/operand.ts";
import type { QuantizedRowBuffer } from "../../layers/quantized_row_buffer.ts";
import {
  BASE_PRECISION,
  type BaseWeight,
  codedBase,
  DenseBase,
} from "../../layers/storage/base_weight.ts";
import { Nf4Base, Nf4Workspace } from "../../layers/storage/nf4_base.ts";
import { QuantizedBase } from "../../layers/storage/quantized_base.ts";
import { rotationBlock } from "../../numerics/hadamard.ts";
import { findTargets } from "../targets.ts";
import { Dropout } from "./dropout.ts";
import { expectAdapter } from "./given_adapter.ts";
import type { LoraSettings } from "./settings.ts";

/** Columns of each workspace: the most that a layer needs; 0 where none needs it. */
export interface WorkspaceWidths {
  input: number;
  gradient: number;
  /** Of the layers with adapters. */
  adapterInput: number;
  adapterGradient: number;
  /** x·Aᵀ */
  xA: number;
}

/** Settings, device and workspace of all layers: each buffer holds a value of the layer at work. */
export class LoraShared {
  /** The kinds of linear layers with new adapters; none where an adapter is given. */
  readonly targets: ReadonlySet<string>;
  /** What training drops of the adapters' inputs; null for nothing. */
  readonly dropout: Dropout | null;
  /** The quantised input and the gradient of the output, as the base weight takes them. */
  readonly input: QuantizedRowBuffer | null;
  readonly gradient: QuantizedRowBuffer | null;
  /** The same for the adapters; null where they share the base weight's, or take f32. */
  readonly adapterInput: QuantizedRowBuffer | null;
  readonly adapterGradient: QuantizedRowBuffer | null;
  /** x·Aᵀ and its gradient, quantised. */
  readonly xACodes: QuantizedRowBuffer | null;
  readonly dxACodes: QuantizedRowBuffer | null;
  /** Gradient of x·Aᵀ: the next GEMMs read it, so all layers share one buffer. */
  readonly dxA: RowBuffer;
  readonly #nf4: Nf4Workspace | null;

  constructor(readonly context: MethodContext, readonly settings: LoraSettings) {
    const { device, linears } = context;
    const { base: baseType, adapterPrecision, adapter, dropout } = settings;
    this.targets = adapter ? new Set() : findTargets(settings.targets, linears);
    if (adapter) expectAdapter(adapter, linears);
    this.dropout = dropout > 0 ? new Dropout(device, dropout, context.random) : null;
    const base = BASE_PRECISION[baseType];
    this.input = operandRows(device, base, "input", "input");
    this.gradient = operandRows(device, base, "gradient", "output gradient");
    const own = adapterPrecision === base ? "f32" : adapterPrecision;
    // What is left of a dropped input is not what the base weight multiplies.
    const ownInput = this.dropout ? adapterPrecision : own;
    this.adapterInput = operandRows(device, ownInput, "input", "input of adapters");
    // A quantised weight divides its row scales out of the gradient's columns; B needs a copy
    // without that.
    const ownGradient = codedBase(baseType) ? adapterPrecision : own;
    const label = "output gradient of adapters";
    this.adapterGradient = operandRows(device, ownGradient, "gradient", label);
    this.xACodes = operandRows(device, adapterPrecision, "input", "x·Aᵀ");
    this.dxACodes = operandRows(device, adapterPrecision, "gradient", "gradient of x·Aᵀ");
    this.dxA = new RowBuffer(device, "gradient of x·Aᵀ");
    this.#nf4 = baseType === "nf4" ? new Nf4Workspace(device) : null;
  }

  /** The rank of a part's adapter; 0 for none. */
  rankOf({ module, kind }: LinearPart): number {
    const { rank, adapter } = this.settings;
    if (!adapter) return this.targets.has(kind) ? rank : 0;
    const tensors = adapter.tensors.get(module);
    return tensors ? rankOf(tensors) : 0;
  }

  /** c: the factor of B·A of a part. */
  scaleOf({ module }: LinearPart): number {
    const { rank, alpha, useRslora, adapter } = this.settings;
    const tensors = adapter?.tensors.get(module);
    if (tensors) return scaleOf(adapter!.config, tensors);
    return alpha / (useRslora ? Math.sqrt(rank) : rank);
  }

  /** Makes the memory in which weights are decoded, where they are. */
  reserveDecoded(): void {
    this.#nf4?.reserve();
  }

  /** Makes the frozen weight of a layer. */
  makeBase(spec: LinearSpec): BaseWeight {
    const { device } = this.context;
    const { base } = this.settings;
    const coded = codedBase(base);
    if (coded) {
      const rotation = coded.isRotated ? rotationBlock(spec.inFeatures) : 1;
      return new QuantizedBase(device, spec, coded.format, rotation);
    }
    if (base === "nf4") return new Nf4Base(device, this.#nf4!, spec);
    return new DenseBase(device, spec, base as DenseType);
  }

  /** Makes the workspace for steps of up to `tokens` tokens. */
  reserve(tokens: number, widths: WorkspaceWidths): void {
    this.dxA.reserve(tokens, widths.xA);
    this.xACodes?.reserve(tokens, widths.xA);
    this.dxACodes?.reserve(tokens, widths.xA);
    this.input?.reserve(tokens, widths.input);
    this.gradient?.reserve(tokens, widths.gradient);
    this.adapterInput?.reserve(tokens, widths.adapterInput);
    this.adapterGradient?.reserve(tokens, widths.adapterGradient);
    this.#nf4?.reserve();
  }

  /** Frees the workspace. */
  free(): void {
    const { input, gradient, adapterInput, adapterGradient, xACodes, dxACodes, dxA } = this;
    const buffers = [input, gradient, adapterInput, adapterGradient, xACodes, dxACodes, dxA];
    for (const buffer of buffers) buffer?.free();
    this.dropout?.free();
    this.#nf4?.free();
  }
}
