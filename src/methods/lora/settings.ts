/**
 * Options of LoRA and its variants, with their defaults and limits.
 *
 * @module
 */

import { checkBoolean, checkOneOf, checkOptions, type Names, refuseValue } from "../../checks.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import type { DenseType } from "../../layers/method.ts";
import type { Precision } from "../../layers/operand.ts";
import { BASE_TYPES, type BaseType } from "../../layers/storage/base_weight.ts";
import { expectAdapterKind } from "./given_adapter.ts";
import { checkAlpha, checkRank, parseTargets, type Targets } from "../targets.ts";

/** Options of LoRA and all its variants. */
export interface AdapterOptions {
  /** Rows of A and columns of B. Default 16. */
  rank?: number;
  /** The adapter is scaled by `alpha / rank`. Default 16. */
  alpha?: number;
  /** Linear layers with adapters, by the last part of their name. Default all. */
  targetModules?: readonly string[];
  /**
   * Train A too; otherwise only B is trained, as in LoRA-FA (arXiv 2308.03303) and FALQON. Default
   * true.
   */
  trainA?: boolean;
  /**
   * The share of the adapters' inputs that training drops, from 0 to below 1, the others scaled to keep
   * the mean. One mask for all layers of the same input. Default: that of `adapter`, else 0.
   */
  dropout?: number;
  /** Scale adapters by `alpha / √rank` (rsLoRA, arXiv 2312.03732). Default false. */
  rslora?: boolean;
  /**
   * Train the norms of the rows of adapted weights too (DoRA, arXiv 2402.09353), which keeps the output
   * of each adapted layer for the backward pass. Default false.
   */
  dora?: boolean;
  /**
   * Adapters to start from instead of a random A and a zero B; gives rank, alpha, targets, and whether
   * they are rsLoRA or DoRA.
   */
  adapter?: PeftAdapter;
}

/** Options of `lora`. */
export interface LoraOptions extends AdapterOptions {
  /**
   * Storage of the frozen weights, and what the operands of their products are rounded to: `f32`,
   * the default, rounds nothing; `f16` scales the row of each token by a power of two; `fp8` is
   * e4m3 with one scale per row, `int8` integers up to ±127 likewise; `nf4` is 4-bit NormalFloat with double quantisation, decoded to
   * f16 before each product. docs/METHODS.md explains how products accumulate.
   */
  base?: BaseType;
  /**
   * What the operands of the adapters' products are rounded to. Default f32 with an f32 base, else
   * f16; `fp8`, as in TorchAO's float8 training, needs the base `fp8`.
   */
  adapterPrecision?: Precision;
}

/** {@linkcode LoraOptions} with defaults filled in. */
export interface LoraSettings {
  rank: number;
  alpha: number;
  /** The adapter is scaled by `alpha / √rank` instead of `alpha / rank`. */
  useRslora: boolean;
  /** Rows of adapted weights have magnitudes of their own. */
  useDora: boolean;
  /** The share of the adapters' inputs that training drops. */
  dropout: number;
  targets: Targets;
  trainA: boolean;
  /** How the frozen weights of linear layers are stored. */
  base: BaseType;
  /** What the operands of the adapters' products are rounded to. */
  adapterPrecision: Precision;
  /**
   * Storage of the embedding and the head; null for f16 where the GPU has it, else f32, as FALQON.
   */
  denseType: DenseType | null;
  adapter?: PeftAdapter;
}

/** The names of {@linkcode AdapterOptions}. */
export const ADAPTER_NAMES: Names<AdapterOptions> = {
  rank: true,
  alpha: true,
  targetModules: true,
  trainA: true,
  adapter: true,
  dropout: true,
  rslora: true,
  dora: true,
};

/** The names of {@linkcode LoraOptions}. */
const LORA_NAMES: Names<LoraOptions> = { ...ADAPTER_NAMES, base: true, adapterPrecision: true };

/** The precisions of adapters on each base, the default first. */
const ADAPTER_PRECISIONS: Readonly<Record<BaseType, readonly Precision[]>> = {
  f32: ["f32"],
  f16: ["f16"],
  fp8: ["f16", "fp8"],
  int8: ["f16"],
  nf4: ["f16"],
};

/**
 * Fills in defaults and checks values.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function loraSettings(options: LoraOptions): LoraSettings {
  checkOptions("lora", options, LORA_NAMES, { baseType: "base" });
  const { adapter, trainA = true, base = "f32" } = options;
  if (adapter !== undefined) expectAdapterKind(adapter);
  const { rank = 16, alpha = 16, targetModules } = adapter?.config ?? options;
  checkOneOf("base", base, BASE_TYPES);
  const { adapterPrecision = ADAPTER_PRECISIONS[base][0] } = options;
  checkOneOf("adapterPrecision", adapterPrecision, ADAPTER_PRECISIONS[base]);
  checkRank(rank);
  checkAlpha(alpha);
  const { dropout = adapter?.config.dropout ?? 0, rslora = false, dora = false } = options;
  checkDropout(dropout);
  for (const [name, value] of Object.entries({ trainA, rslora, dora })) checkBoolean(name, value);
  return {
    rank,
    alpha,
    useRslora: adapter?.config.useRslora ?? rslora,
    useDora: adapter ? adapter.config.useDora ?? false : dora,
    dropout,
    targets: parseTargets(targetModules),
    trainA,
    base,
    adapterPrecision,
    denseType: denseTypeBeside(base),
    adapter,
  };
}

/**
 * The frozen model without adapters.
 *
 * @throws {OptionError} for an unknown base.
 */
export function frozenSettings(base: BaseType): LoraSettings {
  checkOneOf("base", base, BASE_TYPES);
  return {
    rank: 0,
    alpha: 0,
    useRslora: false,
    useDora: false,
    dropout: 0,
    targets: [],
    trainA: false,
    base,
    adapterPrecision: "f32",
    denseType: denseTypeBeside(base),
  };
}

function checkDropout(dropout: number): void {
  if (typeof dropout === "number" && dropout >= 0 && dropout < 1) return;
  refuseValue("dropout", dropout, "a number from 0 to below 1");
}

/** With an f32 or f16 base, embedding and head have the same type. */
function denseTypeBeside(base: BaseType): DenseType | null {
  return base === "f32" || base === "f16" ? base : null;
}
