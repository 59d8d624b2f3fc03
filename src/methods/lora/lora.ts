/**
 * LoRA as PEFT does it: `y = x·Wᵀ + (alpha / rank) · (x·Aᵀ)·Bᵀ`, W frozen, A and B trained in f32.
 * Without targets it is the frozen model.
 *
 * The variants differ in how W is stored and in what precision GEMMs round their operands to;
 * docs/METHODS.md lists both.
 *
 * @module
 */

import { checkOptions } from "../../checks.ts";
import type { Method } from "../../layers/method.ts";
import type { BaseType } from "../../layers/storage/base_weight.ts";
import { ALPHA, type MethodEntry, type MethodOption, RANK, TARGET_MODULES } from "../entry.ts";
import { baseChanges } from "./base_changes.ts";
import { LoraLayers } from "./layers.ts";
import {
  ADAPTER_NAMES,
  type AdapterOptions,
  type LoraOptions,
  type LoraSettings,
  loraSettings,
} from "./settings.ts";

/**
 * Trains low-rank adapters; the weights are frozen and stored as `base` says.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function lora(options: LoraOptions = {}): Method {
  const settings = loraSettings(options);
  const { base, adapterPrecision } = settings;
  return loraMethod(adapterPrecision === "fp8" ? "torchao-style" : NAMES[base], true, settings);
}

/** The name of `lora` on each base. */
const NAMES: Readonly<Record<BaseType, string>> = {
  f32: "lora",
  f16: "lora",
  fp8: "fp8-lora",
  int8: "int8-lora",
  nf4: "qlora",
};

/**
 * Low-rank adapters in f16 and frozen FP8 weights: what FALQON merges, kept separate.
 * `lora({ base: "fp8" })`.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function fp8Lora(options: AdapterOptions = {}): Method {
  checkOptions("fp8Lora", options, ADAPTER_NAMES);
  return lora({ ...options, base: "fp8" });
}

/**
 * Low-rank adapters in f16 and frozen int8 weights. `lora({ base: "int8" })`.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function int8Lora(options: AdapterOptions = {}): Method {
  checkOptions("int8Lora", options, ADAPTER_NAMES);
  return lora({ ...options, base: "int8" });
}

/**
 * Low-rank adapters in FP8 beside frozen FP8 weights, as TorchAO's float8 training does it with one
 * scale per row: A, B, x·Aᵀ and gradients are quantised again in every step; gradients of A and B
 * are computed from unrounded values. `lora({ base: "fp8", adapterPrecision: "fp8" })`.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function torchaoStyle(options: AdapterOptions = {}): Method {
  checkOptions("torchaoStyle", options, ADAPTER_NAMES);
  return lora({ ...options, base: "fp8", adapterPrecision: "fp8" });
}

/**
 * QLoRA (arXiv 2305.14314): frozen weights in 4-bit NormalFloat with double quantisation, decoded
 * to f16 before each product, as bitsandbytes does; adapters in f16. `lora({ base: "nf4" })`.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function qlora(options: AdapterOptions = {}): Method {
  checkOptions("qlora", options, ADAPTER_NAMES);
  return lora({ ...options, base: "nf4" });
}

function loraMethod(name: string, trains: boolean, settings: LoraSettings): Method {
  const { adapter } = settings;
  return {
    name,
    trains,
    settings,
    needsAllLayers: adapter !== undefined,
    build: (context) => new LoraLayers(context, settings),
    ...(adapter && { changes: (linears) => baseChanges(adapter, linears) }),
  };
}

const ADAPTER_OPTIONS: Readonly<Record<string, MethodOption>> = {
  rank: RANK,
  alpha: ALPHA,
  targetModules: TARGET_MODULES,
  trainA: { kind: "boolean", help: "Train A too, not only B", default: "on" },
  dropout: {
    kind: "number",
    help: "Share of the adapters' inputs that training drops",
    default: "that of --adapter, else 0",
  },
  rslora: { kind: "boolean", help: "rsLoRA: scale adapters by alpha / √rank" },
  dora: { kind: "boolean", help: "DoRA: train the norms of the rows of adapted weights too" },
  adapter: {
    kind: "adapter",
    help: "Start from a PEFT adapter, which has rank, alpha and targets",
  },
};

/** LoRA and its variants in the registry. */
export const LORA_METHODS: readonly MethodEntry[] = [
  loraEntry("lora", "adapters beside a frozen f32 or f16 model, as PEFT", ["f32", "f16"], lora),
  loraEntry("fp8-lora", "f16 adapters beside FP8 weights", ["fp8"], fp8Lora),
  loraEntry("int8-lora", "f16 adapters beside int8 weights", ["int8"], int8Lora),
  loraEntry("torchao-style", "FP8 adapters beside FP8 weights", ["fp8"], torchaoStyle),
  loraEntry("qlora", "f16 adapters beside 4-bit weights", ["nf4"], qlora),
];

function loraEntry(
  name: string,
  summary: string,
  bases: readonly BaseType[],
  create: (options: LoraOptions) => Method,
): MethodEntry {
  return { name, summary, options: ADAPTER_OPTIONS, bases, savesAdapter: true, create };
}
