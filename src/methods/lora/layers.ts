/**
 * The layers of a network under LoRA and its variants: what they do once per network.
 *
 * @module
 */

import { OptionError } from "../../errors.ts";
import type { BufferView } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import { makeBias } from "../../layers/bias.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import type {
  AdaptedLayers,
  DenseTable,
  DenseWeight,
  Linear,
  MethodContext,
} from "../../layers/method.ts";
import type { SavedAdapter, SavedModel } from "../../layers/saved.ts";
import { FrozenDense } from "../../layers/storage/frozen_dense.ts";
import { savedTargets } from "./given_adapter.ts";
import { LoraLinear } from "./linear.ts";
import type { LoraSettings } from "./settings.ts";
import { LoraShared } from "./shared.ts";

/** All linear layers of a network, their shared memory, and the frozen weights. */
export class LoraLayers implements AdaptedLayers {
  readonly isOriginal: boolean;
  readonly #linears: LoraLinear[] = [];
  readonly #shared: LoraShared;
  readonly #dense: FrozenDense;

  constructor(context: MethodContext, settings: LoraSettings) {
    this.#dense = new FrozenDense(context.device, settings.denseType);
    this.#shared = new LoraShared(context, settings);
    const { adapter } = settings;
    this.isOriginal = this.#shared.targets.size === 0 && !adapter;
  }

  linear(spec: LinearSpec): Linear {
    const linear = new LoraLinear(this.#shared, spec, makeBias(this, spec));
    this.#linears.push(linear);
    return linear;
  }

  dense(name: string, cols: number): DenseWeight {
    return this.#dense.row(name, cols);
  }

  table(name: string, rows: number, cols: number): DenseTable {
    return this.#dense.table(name, rows, cols);
  }

  reserve(tokens: number): void {
    const widest = (of: (linear: LoraLinear) => number) => Math.max(0, ...this.#linears.map(of));
    this.#shared.reserve(tokens, {
      input: widest(({ spec }) => spec.inFeatures),
      gradient: widest(({ spec }) => spec.width),
      adapterInput: widest(({ adapter, spec }) => adapter ? spec.inFeatures : 0),
      adapterGradient: widest(({ adapter, spec }) => adapter ? spec.width : 0),
      xA: widest(({ adapter }) => adapter?.layout.width ?? 0),
    });
  }

  /** Rounds the changed A and B for the GEMMs. */
  update(program: Program): void {
    for (const linear of this.#linears) linear.round(program, "trained");
  }

  beginMicroStep(program: Program): void {
    this.#shared.dropout?.next(program);
  }

  async refresh(): Promise<void> {
    await submitOnce(this.#shared.context.device, (program) => {
      for (const linear of this.#linears) linear.round(program, "all");
    });
  }

  state(): Map<string, BufferView> {
    return new Map([
      ...this.#linears.flatMap((linear) => linear.state()),
      ...this.#shared.dropout?.state() ?? [],
    ]);
  }

  saved(): SavedModel | SavedAdapter {
    const { settings, context: { linears } } = this.#shared;
    const { rank, alpha, useRslora, useDora, dropout, base, adapter } = settings;
    if (!this.isOriginal) {
      const config = {
        rank,
        alpha,
        useRslora,
        targetModules: savedTargets(linears, (part) => this.#shared.rankOf(part) > 0),
        ...(useDora && { useDora }),
        ...(dropout > 0 && { dropout }),
        ...(adapter?.config.kept && { kept: adapter.config.kept }),
      };
      const others = adapter?.others;
      return { kind: "adapter", config, others, tensors: () => this.#readAdapters() };
    }
    if (base === "nf4") {
      throw new OptionError(
        "Cannot save a model in NF4 as model folders have no format for it: use frozen(), " +
          'frozen("f16") or frozenFp8()',
      );
    }
    return { kind: "model", dtype: base === "f16" ? "F16" : "F32", codes: null };
  }

  free(): void {
    this.#shared.free();
    this.#dense.free();
  }

  async #readAdapters(): Promise<PeftAdapter["tensors"]> {
    const tensors: PeftAdapter["tensors"] = new Map();
    const { settings: { adapter: given }, context: { linears } } = this.#shared;
    if (given) {
      const inBlocks = new Set(linears.flatMap(({ parts }) => parts.map(({ module }) => module)));
      // Factors of the head, which are not trained.
      for (const [module, pair] of given.tensors) {
        if (!inBlocks.has(module)) tensors.set(module, pair);
      }
    }
    for (const { adapter } of this.#linears) {
      for (const [module, pair] of await adapter?.read() ?? []) tensors.set(module, pair);
    }
    return tensors;
  }
}
