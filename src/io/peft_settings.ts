/**
 * The settings of an adapter that PEFT wrote: what is read of them, and which mean something that is
 * not done here.
 *
 * @module
 */

import { type JsonFields, showJson } from "./json.ts";
import { boundedPattern } from "./patterns/matcher.ts";
import type { PeftConfig } from "./peft_adapter.ts";

/** Settings with which an adapter is something other than factors of weights, and how to go on. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  use_qalora: "train it without",
  use_bdlora: "train it without",
  layer_replication:
    "merge the adapter with PEFT (merge_and_unload), and use the model of more layers that this gives",
  alora_invocation_tokens: "train it without, or generate with PEFT",
  arrow_config: "merge one of its adapters with PEFT",
  kasa_config: "merge the adapter with PEFT (merge_and_unload)",
  monteclora_config: "merge the adapter with PEFT (merge_and_unload)",
};

/** Initialisations that leave the base model's weights as they are. */
const INITIALIZATIONS: unknown[] = [undefined, true, false, "gaussian", "eva", "orthogonal"];

/** Keys of a setting by patterns, and how many of them may be more than a name: each meets all modules. */
const [MOST_KEYS, MOST_EXPRESSIONS] = [4096, 100];
const PLAIN = /^[\w.]*$/;

/** Settings that tensors other than the factors of linear layers belong to. */
export const KEPT_SETTINGS = [
  "modules_to_save",
  "trainable_token_indices",
  "lora_bias",
  "bias",
  "target_modules",
  "exclude_modules",
  "layers_to_transform",
  "layers_pattern",
] as const;

/**
 * Makes sure that an adapter is one that can be read.
 *
 * @throws {ModelError} naming the setting that is in the way.
 */
export function expectReadable(fields: JsonFields): void {
  if (fields.raw("peft_type") !== "LORA") {
    throw fields.error("peft_type", '"LORA"', "of PEFT's adapters only LoRA's kinds are read");
  }
  for (const [name, remedy] of Object.entries(UNSUPPORTED)) {
    if (isSet(fields.raw(name))) throw fields.error(name, "off", remedy);
  }
  const bias = fields.string("bias", "none");
  if (!["none", "all", "lora_only"].includes(bias)) {
    throw fields.error("bias", '"none", "all" or "lora_only"', "save the adapter again");
  }
  if (!INITIALIZATIONS.includes(fields.raw("init_lora_weights"))) {
    throw fields.error(
      "init_lora_weights",
      "one that keeps the base model's weights",
      "convert the adapter to plain LoRA with PEFT's path_initial_model_for_weight_conversion",
    );
  }
}

/** Reads what the factors are used by. */
export function readSettings(fields: JsonFields): Omit<PeftConfig, "targetModules"> {
  const dropout = fields.raw("lora_dropout") ?? 0;
  if (typeof dropout !== "number" || !(dropout >= 0 && dropout < 1)) {
    throw fields.error("lora_dropout", "a number from 0 to below 1", "correct it");
  }
  return {
    rank: fields.integer("r", 1),
    alpha: fields.positive("lora_alpha"),
    useRslora: fields.boolean("use_rslora", false),
    ...(fields.boolean("use_dora", false) && { useDora: true }),
    ...(dropout > 0 && { dropout }),
  };
}

/**
 * What a setting of patterns has for a module: the value of the first pattern that matches the end of
 * its name, from a dot on, as PEFT has it; undefined where none does.
 *
 * @throws {ModelError} for a pattern or a value that cannot be read.
 */
export function patternOf(
  fields: JsonFields,
  setting: "rank_pattern" | "alpha_pattern",
  module: string,
): number | undefined {
  const entries = Object.entries(fields.raw(setting) ?? {});
  const expressions = entries.filter(([key]) => !PLAIN.test(key)).length;
  if (entries.length > MOST_KEYS || expressions > MOST_EXPRESSIONS) {
    throw fields.error(
      setting,
      `at most ${MOST_KEYS} modules, and ${MOST_EXPRESSIONS} regular expressions, by value`,
      "name the modules by their whole names",
    );
  }
  for (const [key, value] of entries) {
    if (!matchesEnd(fields, setting, key, module)) continue;
    if (typeof value === "number" && value >= 1e-30 && value <= 1e30) return value;
    throw fields.error(setting, "positive numbers by module, from 1e-30 to 1e+30");
  }
}

function matchesEnd(fields: JsonFields, setting: string, key: string, module: string): boolean {
  try {
    return boundedPattern(`(?:.*\\.)?(?:${key})$`).matches(module);
  } catch (error) {
    throw fields.error(
      setting,
      `regular expressions that are read here, which ${showJson(key)} is not as ` +
        (error as Error).message,
      "name the modules by their whole names",
    );
  }
}

function isSet(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false;
}
