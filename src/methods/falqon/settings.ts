/**
 * Options of FALQON, with their defaults and limits.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  type Names,
} from "../../checks.ts";
import { OptionError } from "../../errors.ts";
import {
  CODE_FORMATS,
  type CodeFormat,
  SCALE_GRANULARITIES,
  type ScaleGranularity,
} from "../../numerics/formats.ts";
import type { DenseType } from "../../layers/method.ts";
import { CODED_BASES } from "../../layers/storage/base_weight.ts";
import { ADAPTER_INITS, type AdapterInit } from "./adapter_init.ts";
import { checkAlpha, checkRank, parseTargets, type Targets } from "../targets.ts";

/**
 * How the optimizer's change of B reaches the low-precision codes.
 *
 * - `paper`: the `topK` rows with the largest change are rounded into the codes, then B is zeroed,
 *   as published;
 * - `accumulate`: B keeps what was not applied;
 * - `requantize`: B is an f32 master that is never zeroed, and a row is written as the rounding of
 *   the frozen reference plus all of B, so that rounding errors never add up;
 * - `stochastic`: B is a master as well. Every code is the rounding, up or down by a threshold of its
 *   own, of what the weight was before training plus all of B; that is recovered from the code and
 *   from B before the step, so no reference is kept. Where A is trained too, the step's change is
 *   rounded into the code instead, by thresholds that go on from step to step.
 */
export type UpdateRule = "requantize" | "paper" | "accumulate" | "stochastic";

/** Every {@linkcode UpdateRule}. */
export const UPDATE_RULES: readonly UpdateRule[] = [
  "requantize",
  "paper",
  "accumulate",
  "stochastic",
];

/**
 * How `requantize` rounds to codes: to the nearest, or to one of the two neighbours by a threshold of
 * the element's own, such that values are right on average. `stochastic` always does the latter, the other rules never.
 */
export type Rounding = "nearest" | "stochastic";

/** Every {@linkcode Rounding}. */
export const ROUNDINGS: readonly Rounding[] = ["nearest", "stochastic"];

/**
 * By how much the scales of a weight under `stochastic` leave room above its largest magnitude:
 * they are fixed, and the weight grows.
 */
const HEADROOM = 1.125;

/** Options of `falqon`. */
export interface FalqonOptions {
  /**
   * What the weights are stored in, and the operands of products rounded to: `fp8`, the default and as
   * published, is e4m3, with e5m2 for gradients; `int8`, integers up to ±127, is this project's own.
   */
  format?: CodeFormat;
  /**
   * Whether the input of each layer, and W and A with it, are rotated by a block Hadamard transform
   * before they are rounded, which spreads outliers. Default: with `int8`, to which it gives two to
   * three times FP8's accuracy; `fp8` loses by it.
   */
  rotation?: boolean;
  /**
   * With `stochastic`: train A too, not only B. Both are kept in f32 then, and every step changes W by
   * what it changed their product by. Default false.
   */
  trainA?: boolean;
  /** Rows of A and columns of B. Default 64, or the shorter side of the smallest weight that is adapted. */
  rank?: number;
  /** `requantize` and `stochastic` apply B times `alpha / rank`. Default 16. */
  alpha?: number;
  /**
   * Rows of each weight that a step writes: the k with the largest pending change. Default 10 for
   * `paper` and `accumulate`, else all.
   */
  topK?: number;
  /** Default `stochastic`; `requantize` where `topK`, `pending` or `rounding: "nearest"` is given. */
  updateRule?: UpdateRule;
  /** Of `requantize`. Default `nearest`; `stochastic` for the rule of that name. */
  rounding?: Rounding;
  /**
   * With `requantize`: what is not yet written into the codes is added in the forward pass.
   * Default: true where topK is given.
   */
  pending?: boolean;
  /**
   * `melded`, as published and the default of `paper` and `accumulate`: the right singular vectors
   * of the quantisation error, times the roots of the singular values. A weight without a known
   * error, as it comes in FP8, starts `random-orthogonal`. `gradient`, the default of the others:
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
  /**
   * How many times its largest magnitude a row of W can grow to, for measurements. Default 1.125
   * under `stochastic`, else 1.
   *
   * @internal
   */
  headroom?: number;
}

/** {@linkcode FalqonOptions} with defaults filled in. */
export interface FalqonSettings {
  format: CodeFormat;
  rotation: boolean;
  trainA: boolean;
  rank: number;
  /** c: the factor of B·A; 1 under `paper` and `accumulate`, which know no alpha. */
  loraScale: number;
  /** Rows of a weight that a step writes; null for all. */
  topK: number | null;
  updateRule: UpdateRule;
  rounding: Rounding;
  /** How many times its largest magnitude a row of W can grow to. */
  headroom: number;
  pending: boolean;
  init: AdapterInit;
  scaleGranularity: ScaleGranularity;
  /** That of the weights alone. */
  weightGranularity: ScaleGranularity;
  targets: Targets;
  /** Null for f16 where the GPU has it, else f32. */
  denseType: DenseType | null;
}

/** The names of {@linkcode FalqonOptions}. */
const NAMES: Names<FalqonOptions> = {
  format: true,
  rotation: true,
  trainA: true,
  rank: true,
  alpha: true,
  topK: true,
  updateRule: true,
  rounding: true,
  headroom: true,
  pending: true,
  init: true,
  scaleGranularity: true,
  targetModules: true,
  denseType: true,
};

/**
 * Fills in defaults and checks values.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function falqonSettings(options: FalqonOptions): FalqonSettings {
  checkOptions("falqon", options, NAMES, { scaling: "scaleGranularity" });
  const { rank = 64, alpha = 16, scaleGranularity = "row" } = options;
  const { topK, format = "fp8", trainA = false, updateRule = defaultRule(options) } = options;
  checkOneOf("format", format, CODE_FORMATS);
  const { rotation = CODED_BASES[format].isRotated } = options;
  const requantize = updateRule === "requantize";
  const stochastic = updateRule === "stochastic";
  const applies = requantize || stochastic; // c·B, in all rows
  const init = options.init ?? (applies ? "gradient" : "melded");
  const rounding = options.rounding ?? (stochastic ? "stochastic" : "nearest");
  const headroom = options.headroom ?? (stochastic ? HEADROOM : 1);
  checkRank(rank);
  checkAlpha(alpha);
  checkOneOf("updateRule", updateRule, UPDATE_RULES);
  checkOneOf("rounding", rounding, ROUNDINGS);
  checkOneOf("init", init, ADAPTER_INITS);
  checkOneOf("scaleGranularity", scaleGranularity, SCALE_GRANULARITIES);
  checkOneOf("denseType", options.denseType ?? "f16", ["f16", "f32"]);
  checkNumber("headroom", headroom, 1);
  for (const [name, value] of Object.entries({ trainA, rotation, pending: options.pending })) {
    if (value !== undefined) checkBoolean(name, value);
  }
  if (topK !== undefined) checkInteger("topK", topK, 1);
  checkRounding(updateRule, rounding, topK);
  if (trainA && !stochastic) {
    throw new OptionError(
      `Cannot use trainA with the update rule ${updateRule}, which writes B into the weight along an A that stays: ` +
        "choose updateRule stochastic, or leave trainA out",
    );
  }
  if (options.pending && !requantize) {
    throw new OptionError(
      `Cannot use pending with the update rule ${updateRule}: it belongs to requantize`,
    );
  }
  return {
    format,
    rotation,
    trainA,
    rank,
    loraScale: applies ? alpha / rank : 1,
    topK: topK ?? (applies ? null : 10),
    updateRule,
    rounding,
    headroom,
    pending: requantize && topK !== undefined && (options.pending ?? true),
    init,
    scaleGranularity,
    weightGranularity: scaleGranularity,
    targets: parseTargets(options.targetModules),
    denseType: options.denseType ?? null,
  };
}

/** The rule that a choice of rows or of rounding belongs to; without one, the default. */
function defaultRule({ topK, pending, rounding }: FalqonOptions): UpdateRule {
  const chooses = topK !== undefined || pending !== undefined || rounding === "nearest";
  return chooses ? "requantize" : "stochastic";
}

/** Stochastic rounding belongs to rules that write all rows from what does not drift. */
function checkRounding(rule: UpdateRule, rounding: Rounding, topK: number | undefined): void {
  if (rule === "stochastic" && rounding === "nearest") {
    throw new OptionError(
      "Cannot round to nearest with the update rule stochastic: use requantize for that",
    );
  }
  if (rounding === "nearest") return;
  if (rule !== "stochastic" && rule !== "requantize") {
    throw new OptionError(
      `Cannot round stochastically with the update rule ${rule}: it belongs to stochastic and requantize`,
    );
  }
  if (topK !== undefined) {
    throw new OptionError(
      `Cannot use topK ${topK} with stochastic rounding: it writes all rows; leave it out`,
    );
  }
}

/** The frozen model in a format, without adapters. */
export function frozenSettings(
  format: CodeFormat,
  scaleGranularity: ScaleGranularity,
  rotation: boolean = CODED_BASES[format].isRotated,
  weightGranularity: ScaleGranularity = scaleGranularity,
): FalqonSettings {
  checkOneOf("format", format, CODE_FORMATS);
  checkOneOf("scaleGranularity", scaleGranularity, SCALE_GRANULARITIES);
  checkOneOf("weightGranularity", weightGranularity, SCALE_GRANULARITIES);
  return {
    format,
    rotation,
    trainA: false,
    rank: 0,
    loraScale: 0,
    topK: null,
    updateRule: "requantize",
    rounding: "nearest",
    headroom: 1,
    pending: false,
    init: "melded",
    scaleGranularity,
    weightGranularity,
    targets: [],
    denseType: null,
  };
}
