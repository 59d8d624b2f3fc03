/**
 * What a plan may ask for of all that its types can say: the one place that knows what the kernels
 * compute. A plan that asks for more is refused, before any weight is read.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { JsonFields } from "../io/json.ts";
import { MAX_HEAD_DIM } from "../kernels/attention/shapes.ts";
import { MAX_KEY_DIM } from "../kernels/delta_net/shapes.ts";
import type { LayerPlan, ModelPlan, NormPlan } from "./plan.ts";
import { longContexts } from "./token_buffers.ts";

/** The head sizes that the attention kernels are built for. */
const HEAD_DIM = { min: 8, max: MAX_HEAD_DIM };

/** Something that no kernel computes yet. */
interface Limit {
  /** Whether a plan asks for it. */
  asks(plan: ModelPlan): boolean;
  /** The fields of config.json that ask for it in the families there are. */
  fields: readonly string[];
  /** What they must be. */
  wanted: string;
  /** An imperative. */
  remedy: string;
}

const inLayers = (asks: (layer: LayerPlan) => boolean) => (plan: ModelPlan) =>
  plan.layers.some(asks);
const inNorms = (asks: (norm: NormPlan) => boolean) => (plan: ModelPlan) =>
  [plan.finalNorm, ...plan.layers.flatMap(({ norms }) => Object.values(norms))]
    .some((norm) => norm !== null && asks(norm));

const LIMITS: readonly Limit[] = [
  {
    asks: inLayers(({ attention }) => attention?.sharedWith !== undefined && !attention.qkNorm),
    fields: ["num_kv_shared_layers"],
    wanted: "0",
    remedy: "choose a model whose layers have keys and values of their own, or norm them",
  },
  {
    asks: inLayers(({ attention, tensors }) =>
      attention !== null && !tensors.v && attention.sharedWith === undefined &&
      !attention.qkNorm?.values
    ),
    fields: ["attention_k_eq_v"],
    wanted: "false",
    remedy: "choose a model whose values have a projection, or are normed",
  },
  {
    asks: ({ layers }) => longContexts(layers).length > 1,
    fields: ["rope_parameters"],
    wanted: "of one original_max_position_embeddings",
    remedy: "choose a model whose layers are all made for the same original context",
  },
  {
    // The factor is one of the products before the norm, which would take it out again.
    asks: inLayers(({ residualScale, norms: { attentionOut, mlpOut } }) =>
      residualScale !== 1 && (attentionOut !== null || mlpOut !== null)
    ),
    fields: ["residual_multiplier"],
    wanted: "1",
    remedy: "choose a model that scales its branches or has norms behind them, not both",
  },
  {
    asks: inLayers(({ parallel }) => parallel),
    fields: ["use_parallel_residual", "model_type"],
    wanted: "false",
    remedy: "choose a model whose MLP follows its attention",
  },
  {
    asks: inNorms(({ kind }) => kind !== "rms"),
    fields: ["model_type"],
    wanted: "that of a model with RMSNorm",
    remedy: "choose such a model",
  },
  {
    asks: inLayers(({ deltaNet }) => (deltaNet?.keyDim ?? 0) > MAX_KEY_DIM),
    fields: ["linear_key_head_dim"],
    wanted: `at most ${MAX_KEY_DIM}`,
    remedy: "choose a model with such heads",
  },
];

/**
 * Refuses a plan that asks for what no kernel computes yet.
 *
 * @param fields The config that the plan was made from, for the message.
 * @throws {ModelError} naming the field that asks for it, its value and the remedy.
 */
export function expectSupported(plan: ModelPlan, fields: JsonFields): void {
  for (const { asks, fields: names, wanted, remedy } of LIMITS) {
    if (!asks(plan)) continue;
    throw fields.error(names.find((name) => fields.has(name)) ?? names[0], wanted, remedy);
  }
  const sizes = plan.layers.flatMap(({ attention }) => attention?.headDim ?? []);
  const headDim = sizes.find((size) =>
    size % 2 !== 0 || size < HEAD_DIM.min || size > HEAD_DIM.max
  );
  if (headDim !== undefined) {
    throw new ModelError(
      `The head size in ${fields.where} (head_dim, or hidden_size / num_attention_heads) must be ` +
        `even and from ${HEAD_DIM.min} to ${HEAD_DIM.max}: found ${headDim}; choose a model with ` +
        `such heads`,
    );
  }
}
