/**
 * FALQON (arXiv 2510.24061): the adapter is merged into the FP8 backbone, which alone is the
 * trained model.
 *
 * One GEMM `x~·[W~; A~]ᵀ` computes a layer's output and xA = x·Aᵀ. The backward pass multiplies by
 * the same codes and, unless A is trained too, keeps neither x nor a gradient of A. After each
 * optimizer step an update rule writes B into the codes.
 *
 * @module
 */

import { checkBoolean } from "../../checks.ts";
import {
  CODE_FORMATS,
  SCALE_GRANULARITIES,
  type ScaleGranularity,
} from "../../numerics/formats.ts";
import type { Method } from "../../layers/method.ts";
import { ALPHA, type MethodEntry, RANK, TARGET_MODULES } from "../entry.ts";
import { largestRank } from "../targets.ts";
import { ADAPTER_INITS } from "./adapter_init.ts";
import { FalqonLayers } from "./layers.ts";
import {
  type FalqonOptions,
  type FalqonSettings,
  falqonSettings,
  frozenSettings,
  ROUNDINGS,
  UPDATE_RULES,
} from "./settings.ts";

/**
 * Trains adapters that live in the FP8 weight itself.
 *
 * @throws {OptionError} for options that are unknown or out of range.
 */
export function falqon(options: FalqonOptions = {}): Method {
  const settings = falqonSettings(options);
  const method = falqonMethod("falqon", true, settings);
  if (options.rank !== undefined) return method;
  return {
    ...method,
    build: (context) => {
      const rank = largestRank(settings.targets, context.linears, settings.rank);
      return new FalqonLayers(context, falqonSettings({ ...options, rank }));
    },
  };
}

/**
 * The frozen model in FP8, without adapters: what FALQON starts from.
 *
 * @param scaleGranularity What shares a scale.
 * @param weightGranularity The same of weights, where these have others than activations.
 * @throws {OptionError} for an unknown granularity.
 */
export function frozenFp8(
  scaleGranularity: ScaleGranularity = "row",
  weightGranularity: ScaleGranularity = scaleGranularity,
): Method {
  const settings = frozenSettings("fp8", scaleGranularity, undefined, weightGranularity);
  return falqonMethod("frozen-fp8", false, settings);
}

/** The same in int8, with or without rotation: see `FalqonOptions.rotation`. */
export function frozenInt8(rotation = true): Method {
  checkBoolean("rotation", rotation);
  return falqonMethod("frozen-int8", false, frozenSettings("int8", "row", rotation));
}

function falqonMethod(name: string, trains: boolean, settings: FalqonSettings): Method {
  return {
    name,
    trains,
    settings,
    // The rows of a melded A are short: see the sweep in docs/ACCURACY.md.
    learningRateFactor: settings.init === "melded" ? 10 : 1,
    build: (context) => new FalqonLayers(context, settings),
  };
}

/** FALQON in the registry. */
export const FALQON: MethodEntry = {
  name: "falqon",
  summary: "adapters merged into an FP8 backbone, which alone is the trained model",
  options: {
    rank: { ...RANK, default: "64, or the most that the model's smallest layer takes" },
    alpha: ALPHA,
    targetModules: TARGET_MODULES,
    format: {
      kind: "choice",
      choices: CODE_FORMATS,
      help: "What weights are stored in and products are made of",
      default: "fp8",
    },
    rotation: {
      kind: "boolean",
      help: "Rotate inputs before they are rounded",
      default: "on with int8",
    },
    trainA: { kind: "boolean", help: "Train A too, not only B", default: "off" },
    updateRule: {
      kind: "choice",
      choices: UPDATE_RULES,
      help: "How the optimizer's change reaches the weight",
      default: "stochastic; requantize with topK, pending or rounding nearest",
    },
    rounding: {
      kind: "choice",
      choices: ROUNDINGS,
      help: "How requantize rounds to codes",
      default: "nearest; stochastic for the rule of that name",
    },
    topK: {
      kind: "integer",
      help: "Rows of each weight that a step writes",
      default: "all; 10 for paper and accumulate",
    },
    pending: {
      kind: "boolean",
      help: "Rows not yet written act in the forward",
      default: "on with topK",
    },
    init: {
      kind: "choice",
      choices: ADAPTER_INITS,
      help: "How A starts",
      default: "gradient; melded for paper and accumulate",
    },
    scaleGranularity: {
      kind: "choice",
      choices: SCALE_GRANULARITIES,
      help: "One scale per row and token, or per tensor",
      default: "row",
    },
  },
  bases: ["fp8"],
  savesAdapter: false,
  create: (options) => falqon(options),
};
