/**
 * Options of FALQON, with their defaults and limits.
 *
 * @module
 */

import { checkInteger, checkKnown, checkOneOf } from "../../checks.ts";
import { OptionError } from "../../errors.ts";
import { SCALE_GRANULARITIES, type ScaleGranularity } from "../../numerics/formats.ts";
import type { DenseType } from "../../layers/method.ts";
import { CODED_BASES } from "../../layers/storage/base_weight.ts";
import { ADAPTER_INITS, type AdapterInit } from "./adapter_init.ts";
import { checkAlpha, checkRank, parseTargets } from "../targets.ts";

/**
 * How the optimizer's change of B reaches the low-precision codes.
 *
 * - `paper`: the `topK` rows with the largest change are rounded into the codes, then B is zeroed,
 *   as published;
 * - `accumulate`: B keeps what was not applied;
 * - `requantize`: B is an f32 master that is never zeroed, and a row is written as the rounding of
 *   the frozen reference plus all of B, so that rounding errors never add up.
 */
export type UpdateRule = "requantize" | "paper" | "accumulate";

/** Every {@linkcode UpdateRule}. */
export const UPDATE_RULES: readonly UpdateRule[] = ["requantize", "paper", "accumulate"];

/**
 * What the weights are stored in, and the operands of products rounded to.
 *
 * - `fp8`: e4m3, gradients e5m2, as published;
 * - `int8`: integers up to ±127, this project's own variant.
 */
export type FalqonFormat = keyof typeof CODED_BASES;

/** Every {@linkcode FalqonFormat}. */
export const FALQON_FORMATS: readonly FalqonFormat[] = ["fp8", "int8"];

/** Options of `falqon`. */
export interface FalqonOptions {
  /** Default `fp8`. */
  format?: FalqonFormat;
  /**
   * Whether the input of each layer, and W and A with it, are rotated by a block Hadamard transform
   * before they are rounded, which spreads outliers. Default: with `int8`, to which it gives two to
   * three times FP8's accuracy; `fp8` loses by it.
   */
  rotation?: boolean;
  /** Rows of A and columns of B. Default 64. */
  rank?: number;
  /** `requantize` applies B times `alpha / rank`. Default 16. */
  alpha?: number;
  /**
   * Rows of each weight that a step writes: the k with the largest pending change. Default 10 for
   * `paper` and `accumulate`, else all.
   */
  topK?: number;
  /** Default `requantize`. */
  updateRule?: UpdateRule;
  /**
   * With `requantize`: what is not yet written into the codes is added in the forward pass.
   * Default: true where topK is given.
   */
  pending?: boolean;
  /**
   * `melded`, as published and the default of `paper` and `accumulate`: the right singular vectors
   * of the quantisation error, times the roots of the singular values. A weight without a known
   * error, as it comes in FP8, starts `random-orthogonal`. `gradient`, the default of `requantize`:
   * the leading right singular vectors of the weight's gradient over the first micro-batches, in
   * which B alone can learn most (the idea of LoRA-GA, arXiv 2407.05000); without a `Trainer`,
   * which provides the data, it is random.
   */
  init?: AdapterInit;
  /** Default `row`: one scale per row of W and per token of x. `tensor`: one each, as published. */
  scaleGranularity?: ScaleGranularity;
  /**
   * Linear layers with adapters, by the last part of their name. Default all; the others are frozen
   * FP8.
   */
  targetModules?: readonly string[];
  /**
   * Storage of the embedding and lm_head, which stay as they are; norms are f32. Default `f16` on a
   * GPU that has it, else `f32`. f16 holds a BF16 value exactly down to 2⁻¹⁷; weights are rarely
   * smaller.
   */
  denseType?: DenseType;
}

/** {@linkcode FalqonOptions} with defaults filled in. */
export interface FalqonSettings {
  format: FalqonFormat;
  rotation: boolean;
  rank: number;
  /** c: the factor of B·A; 1 under `paper` and `accumulate`, which know no alpha. */
  loraScale: number;
  /** Rows of a weight that a step writes; null for all. */
  topK: number | null;
  updateRule: UpdateRule;
  pending: boolean;
  init: AdapterInit;
  scaleGranularity: ScaleGranularity;
  targets: ReadonlySet<string>;
  /** Null for f16 where the GPU has it, else f32. */
  denseType: DenseType | null;
}

/** The names of {@linkcode FalqonOptions}. */
const NAMES: readonly (keyof FalqonOptions)[] = [
  "format",
  "rotation",
  "rank",
  "alpha",
  "topK",
  "updateRule",
  "pending",
  "init",
  "scaleGranularity",
  "targetModules",
  "denseType",
];

/**
 * Fills in defaults and checks values.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function falqonSettings(options: FalqonOptions): FalqonSettings {
  checkKnown("falqon", options, NAMES, { scaling: "scaleGranularity" });
  const { rank = 64, alpha = 16, updateRule = "requantize", scaleGranularity = "row" } = options;
  const { topK, format = "fp8" } = options;
  checkOneOf("format", format, FALQON_FORMATS);
  const { rotation = CODED_BASES[format].isRotated } = options;
  const requantize = updateRule === "requantize";
  const init = options.init ?? (requantize ? "gradient" : "melded");
  checkRank(rank);
  checkAlpha(alpha);
  checkOneOf("updateRule", updateRule, UPDATE_RULES);
  checkOneOf("init", init, ADAPTER_INITS);
  checkOneOf("scaleGranularity", scaleGranularity, SCALE_GRANULARITIES);
  checkOneOf("denseType", options.denseType ?? "f16", ["f16", "f32"]);
  if (topK !== undefined) checkInteger("topK", topK, 1);
  if (options.pending && !requantize) {
    throw new OptionError(
      `Cannot use pending with the update rule ${updateRule}: it belongs to requantize`,
    );
  }
  return {
    format,
    rotation,
    rank,
    loraScale: requantize ? alpha / rank : 1,
    topK: topK ?? (requantize ? null : 10),
    updateRule,
    pending: requantize && topK !== undefined && (options.pending ?? true),
    init,
    scaleGranularity,
    targets: parseTargets(options.targetModules),
    denseType: options.denseType ?? null,
  };
}

/** The frozen model in a format, without adapters. */
export function frozenSettings(
  format: FalqonFormat,
  scaleGranularity: ScaleGranularity,
  rotation: boolean = CODED_BASES[format].isRotated,
): FalqonSettings {
  checkOneOf("format", format, FALQON_FORMATS);
  checkOneOf("scaleGranularity", scaleGranularity, SCALE_GRANULARITIES);
  return {
    format,
    rotation,
    rank: 0,
    loraScale: 0,
    topK: null,
    updateRule: "requantize",
    pending: false,
    init: "melded",
    scaleGranularity,
    targets: new Set(),
    denseType: null,
  };
}
