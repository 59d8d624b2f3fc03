/**
 * The fields of a config.json that no family read. One that changes the graph would make the model
 * load and compute something plausible and wrong, so it is refused by name.
 *
 * The rules know how such fields are called in published models, and which values ask for LLaMA's
 * graph. A field that matches no rule passes: config.json is full of metadata (the versions and
 * settings of whatever wrote it), new names appear with every release, and to refuse all that is
 * unknown would refuse most models that run. What changes the graph and has an unknown name nearly
 * always comes with tensors of its own, which `claimed_tensors.ts` refuses.
 *
 * @module
 */

import type { JsonFields } from "../io/json.ts";
import { attentionOf, type ModelPlan } from "./plan.ts";

/** What the values that ask for nothing are compared with. */
interface Context {
  plan: ModelPlan;
  fields: JsonFields;
}

/** Fields of one kind. */
interface Rule {
  /** Their names. */
  names: RegExp;
  /** Whether a value, which is neither null, false nor empty, leaves the graph as it is. */
  neutral?(value: unknown, context: Context): boolean;
  /** Whether false and 0 leave the graph as it is. Default true. */
  off?: boolean;
  /** The values that pass, for the message. */
  wanted: string;
}

/** Fields that change nothing although a rule below would take them. */
const HARMLESS = new RegExp(
  [
    "dropout", // the product trains without, and says so
    "^initializer_", // how fresh weights are drawn
    "^router_(aux_loss|z_loss)", // a term of another training loss
    "^output_router_logits$",
    "(^|_)(model|tensor|data|pipeline|sequence|expert)_parallel", // how it was spread over machines
    "grad_norm|clip_grad|(loss|grad(ient)?)_scal", // settings of a training run
    "(^|_)(fused?|flash|kernel|impl|checkpoint(ing)?)(_|$)", // how the same is computed
    "_token_(id|index)s?$",
  ].join("|"),
);

const isOne = (value: unknown): boolean =>
  value === 1 || (Array.isArray(value) && value.every(isOne));
const equals = (...wanted: unknown[]) => (value: unknown) => wanted.includes(value);
const all = (accepts: (value: unknown) => boolean) => (value: unknown) =>
  [value].flat().every(accepts);
const isPlain = (value: unknown) =>
  typeof value === "string" && /^(full|global|dense|causal)?_?(attention|attn)?$/.test(value);

/** The first rule that a name matches counts. */
const RULES: readonly Rule[] = [
  {
    names: /^(query_pre_attn_scalar|query_pre_attn_scaling)$/,
    neutral: (value, { plan }) => value === attentionOf(plan)?.headDim,
    off: false,
    wanted: "absent, or the head size",
  },
  {
    names: /^(attention_multiplier|attn_scale|attention_scale|softmax_scale)$/,
    neutral: (value, { plan }) =>
      typeof value === "number" && Math.abs(value / attentionOf(plan)!.scale - 1) < 1e-6,
    off: false,
    wanted: "absent, or 1 / √(head size)",
  },
  {
    // Says for each layer whether it rotates: 1 for yes.
    names: /^no_?rope_layers$/,
    neutral: isOne,
    wanted: "absent, or 1 for every layer",
  },
  {
    names: /no_?rope|nope_/,
    neutral: (_, { fields }) => Array.isArray(fields.json.no_rope_layers), // which says it all
    wanted: "absent or 0",
  },
  {
    names: /^_?sliding_window|^(use_sliding_window|max_window_layers)$/,
    neutral: (_, { fields }) => hasNoWindow(fields),
    wanted: "absent or null",
  },
  {
    names: /^(mlp_)?(layer|block|attention|attn)(_block)?_types?$|^layers_block_type$/,
    neutral: all(isPlain),
    wanted: "absent, or full_attention for every layer",
  },
  {
    // What LLaMA has: only false would change it.
    names: new RegExp(
      "^(use_)?(causal|rope|rotary|rotary_emb|rms_?norm|gated_mlp|swiglu)$|" +
        "^(is_causal|no_bias|scale_attn_weights)$",
    ),
    neutral: equals(true),
    off: false,
    wanted: "absent or true",
  },
  {
    names: /^position_embedding_type$/,
    neutral: equals("rope", "rotary"),
    wanted: "absent or rope",
  },
  {
    names: /^norm(alization)?_(type|function)$|^normalization$/,
    neutral: (value) => typeof value === "string" && /^rms_?norm$|^rms$/i.test(value),
    wanted: "absent or rms_norm",
  },
  {
    names: /norm.*_eps(ilon)?$/,
    neutral: (value, { plan }) => value === plan.finalNorm.eps,
    off: false,
    wanted: "absent, or the same as rms_norm_eps",
  },
  {
    names: /(^|_)(hidden_|mlp_|ffn_)?act(ivation)?(_fn|_function|_type)?$/,
    neutral: equals("silu", "swish", "swiglu"),
    wanted: "absent or silu",
  },
  {
    names: /head_dim|head_size/,
    neutral: (value, { plan }) => value === attentionOf(plan)?.headDim,
    wanted: "absent, or the head size",
  },
  {
    // Factors of anything: embedding, logits, branches, keys, scores, rotations.
    names: /multiplier|scal(e|ing)|(^|_)mup|residual|depth_factor|rotary|^rope|rope_|_rope$/,
    neutral: (value) => value === false || isOne(value),
    off: false,
    wanted: "absent or 1",
  },
  {
    names: /num_experts_per_tok|experts_per_tok|num_(local_|routed_|shared_)?experts|moe_num/,
    neutral: (_, { fields }) => hasNoExperts(fields),
    wanted: "absent or 0",
  },
  {
    names: /moe|expert|router/,
    neutral: (_, { fields }) => hasNoExperts(fields),
    wanted: "absent",
  },
  {
    names: new RegExp(
      [
        "soft_?cap|logits?_cap",
        "window",
        "bias$|_bias_|^bias_|^add_bias",
        "norm",
        "k_eq_v",
        "(kv|key_value).*shar|shar.*(kv|key_value)",
        "parallel",
        "bidirectional|cross_attention|is_encoder_decoder|prefix_lm",
        "alibi|relative_(attention|position)",
        "(q|kv)_lora_rank",
        "altup|laurel|per_layer|double_wide|activation_sparsity|block_configs",
        "mamba|ssm_|(^|_)conv(_|$)|^linear_(attn|attention|key|value|num|conv)|delta_net|hybrid",
        "(^|_)sinks?(_|$)|swiglu_limit|clip|clamp|temperature_tuning|chunk_size",
        "sparse|^quantization$|dim_model_base|recurren",
      ].join("|"),
    ),
    wanted: "absent, null or false",
  },
];

/**
 * Refuses the fields of a config that change the graph and were not read while it was planned.
 *
 * @throws {ModelError} naming the field, its value and the remedy.
 */
export function refuseUnclaimed(fields: JsonFields, plan: ModelPlan): void {
  const context = { plan, fields };
  for (const name of fields.unclaimed()) {
    const value = fields.json[name];
    if (isEmpty(value) || HARMLESS.test(name)) continue;
    const rule = RULES.find(({ names }) => names.test(name));
    if (!rule || rule.neutral?.(value, context)) continue;
    if ((rule.off ?? true) && isOff(value)) continue;
    throw fields.error(name, rule.wanted, remedy(fields));
  }
}

/** What helps with a config.json that does not describe the graph of its `model_type`. */
function remedy(fields: JsonFields): string {
  return `models of model_type ${JSON.stringify(fields.json.model_type)} have no such thing, so ` +
    "restore the model_type that the model was published with, or remove the field if the model " +
    "was trained without it";
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === "" ||
    (typeof value === "object" && Object.keys(value).length === 0);
}

function isOff(value: unknown): boolean {
  return value === false || value === 0 || (Array.isArray(value) && value.every(isOff));
}

/** Whether a config that has fields of windows does not use any. */
function hasNoWindow({ json }: JsonFields): boolean {
  if (json.use_sliding_window === true) return false;
  return json.use_sliding_window === false || (json.sliding_window ?? null) === null ||
    (Array.isArray(json.layer_types) && json.layer_types.every(isPlain));
}

/** Whether a config that has fields of experts does not use any. */
function hasNoExperts({ json }: JsonFields): boolean {
  const counts = Object.entries(json).filter(([name]) =>
    /^(moe_)?num_(local_|routed_)?experts$|^n_routed_experts$/.test(name)
  );
  return counts.length > 0 && counts.every(([, count]) => isEmpty(count) || isOff(count));
}
