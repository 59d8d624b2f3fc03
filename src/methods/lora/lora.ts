/**
 * LoRA as PEFT does it: `y = x·Wᵀ + (alpha / rank) · (x·Aᵀ)·Bᵀ`, W frozen, A and B trained in f32. Without targets it
 * is the frozen model.
 *
 * The methods of this family differ in how W is stored and in what the products' operands are rounded to; see
 * docs/METHODS.md for both.
 *
 * @module
 */

import type { PeftAdapter } from "../../io/peft.ts";
import { LoraLayers, type LoraSettings } from "./layers.ts";
import type { DenseType, Method } from "../../layers/method.ts";
import { checkAlpha, checkRank, parseTargets } from "../targets.ts";

/** Options that all methods with adapters beside a frozen weight have. */
export interface AdapterOptions {
  /** Rows of A and columns of B. Default 16. */
  rank?: number;
  /** The adapter counts `alpha / rank`. Default 16. */
  alpha?: number;
  /** Linear layers with adapters, by the last part of their name. Default all. */
  targetModules?: readonly string[];
  /** Train A too; without it only B is trained, as in LoRA-FA (arXiv 2308.03303) and FALQON. Default true. */
  trainA?: boolean;
  /** Adapters to start from instead of a random A and a zero B; gives rank, alpha and targets. */
  adapter?: PeftAdapter;
}

/** Options of {@linkcode lora}. */
export interface LoraOptions extends AdapterOptions {
  /**
   * Storage of the frozen weights, and what the products' operands are rounded to: nothing in `f32`, the default; in
   * `f16` inputs and gradients too, a token's row scaled by a power of two. Sums are f32 in both.
   */
  baseType?: DenseType;
}

/** Trains low-rank adapters beside frozen weights. */
export function lora(options: LoraOptions = {}): Method {
  const { baseType = "f32" } = options;
  return adapterMethod("lora", options, {
    baseType,
    adapterPrecision: baseType,
    denseType: baseType,
  });
}

/** Low-rank adapters in f16 beside frozen FP8 weights: what FALQON merges, kept apart. */
export function fp8Lora(options: AdapterOptions = {}): Method {
  return adapterMethod("fp8-lora", options, {
    baseType: "fp8",
    adapterPrecision: "f16",
    denseType: null,
  });
}

/**
 * Low-rank adapters in FP8 beside frozen FP8 weights, as TorchAO's float8 training does it with scales a row: A, B, x·Aᵀ
 * and gradients are quantised anew in every step; gradients of A and B are computed from unrounded values.
 */
export function torchaoStyle(options: AdapterOptions = {}): Method {
  return adapterMethod("torchao-style", options, {
    baseType: "fp8",
    adapterPrecision: "fp8",
    denseType: null,
  });
}

/**
 * QLoRA (arXiv 2305.14314): frozen weights in 4-bit NormalFloat with double quantisation, decoded to f16 before each
 * product, as bitsandbytes does; adapters in f16.
 */
export function qlora(options: AdapterOptions = {}): Method {
  return adapterMethod("qlora", options, {
    baseType: "nf4",
    adapterPrecision: "f16",
    denseType: null,
  });
}

/** The frozen model: for evaluation and generation. */
export function frozen(baseType: DenseType | "nf4" = "f32"): Method {
  const settings: LoraSettings = {
    rank: 0,
    alpha: 0,
    useRslora: false,
    targets: new Set(),
    trainA: false,
    baseType,
    adapterPrecision: "f32",
    denseType: baseType === "nf4" ? null : baseType,
  };
  return { name: "frozen", build: (context) => new LoraLayers(context, settings) };
}

function adapterMethod(
  name: string,
  options: AdapterOptions,
  numbers: Pick<LoraSettings, "baseType" | "adapterPrecision" | "denseType">,
): Method {
  const { adapter, trainA = true } = options;
  const { rank = 16, alpha = 16, targetModules } = adapter?.config ?? options;
  checkRank(rank);
  checkAlpha(alpha);
  const settings: LoraSettings = {
    rank,
    alpha,
    useRslora: adapter?.config.useRslora ?? false,
    targets: parseTargets(targetModules),
    trainA,
    adapter,
    ...numbers,
  };
  return { name, build: (context) => new LoraLayers(context, settings) };
}
