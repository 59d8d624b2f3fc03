/**
 * How the tensors of a folder are called, where that is not how transformers calls the modules of the
 * model: plans have the latter names, files of older versions and of other tools may have others.
 *
 * @module
 */

import type { Weights } from "../io/weights.ts";
import type { ModelPlan } from "./plan.ts";

/** Names of a file, and those of a plan. */
interface Spelling {
  /** Whether a file is spelled so, by one of its names. */
  readonly sign: RegExp;
  /** From the name in a file to that in a plan. */
  toPlan(name: string): string;
  /** From the name in a plan to that in a file. */
  toFile(name: string): string;
}

/** What text models have at the top of their names. */
const TEXT_MODEL = /^(embed_tokens|layers|norm)\./;

/** Names of a text model that was saved without its head. They are written anew as plans have them. */
const HEADLESS: Spelling = {
  sign: TEXT_MODEL,
  toPlan: (name) => TEXT_MODEL.test(name) ? `model.${name}` : name,
  toFile: (name) => name,
};

/** Names of models of texts and images as they were before transformers 4.52. */
const WRAPPED: Spelling = {
  sign: /^language_model\./,
  toPlan: (name) =>
    name.replace(/^language_model\.lm_head\./, "lm_head.")
      .replace(/^language_model\.model\./, "model.language_model."),
  toFile: (name) =>
    name.replace(/^lm_head\./, "language_model.lm_head.")
      .replace(/^model\.language_model\./, "language_model.model."),
};

const AS_PLANNED: Spelling = { sign: /^/, toPlan: (name) => name, toFile: (name) => name };

/** What the names of the text model begin with where it is a part of another model. */
const TEXT_PREFIX = "model.language_model.";

/** Whether a plan is of a text model inside another model. */
function isWrapped({ embedding }: ModelPlan): boolean {
  return embedding.tensor.startsWith(TEXT_PREFIX);
}

/**
 * Finds how a folder spells the names of a plan, and lets its tensors go by those of the plan.
 *
 * @returns The name in a file of a tensor that the plan has under another.
 */
export function spellAsPlanned(weights: Weights, plan: ModelPlan): (name: string) => string {
  const other = isWrapped(plan) ? WRAPPED : HEADLESS;
  const isOther = !weights.has(plan.embedding.tensor) &&
    [...weights.names()].some((name) => other.sign.test(name));
  const spelling = isOther ? other : AS_PLANNED;
  weights.rename(spelling.toPlan);
  return spelling.toFile;
}

/**
 * Whether a tensor that a plan does not read is of a part that training text leaves as it is: the
 * vision of a model of texts and images, heads that predict further tokens, or keys and values of layers
 * that take those of another one.
 */
export function isCarried(name: string, plan: ModelPlan): boolean {
  if (/^(model\.)?mtp\./.test(name) || isUnusedKeyValue(name, plan)) return true;
  return isWrapped(plan) && !name.startsWith(TEXT_PREFIX) && !name.startsWith("lm_head.");
}

/** Whether a tensor is of keys and values that a layer has and does not use, as it takes another one's. */
function isUnusedKeyValue(name: string, { layers }: ModelPlan): boolean {
  const [, layer] = /\.layers\.(\d+)\.self_attn\.[kv]_(proj|norm)\.weight$/.exec(name) ?? [];
  return layers[Number(layer)]?.attention?.sharedWith !== undefined;
}
