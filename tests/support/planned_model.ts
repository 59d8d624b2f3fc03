/** Tiny models of any plan, whether a family makes it or not: their weights are random and in memory. */

import type { WeightSource } from "../../src/layers/weight_source.ts";
import { type ModelConfig, parseModelConfig } from "../../src/model/config.ts";
import type { ModelPlan, NormPlan } from "../../src/model/plan.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import { randomValues } from "./random.ts";

/** Odd on purpose, with grouped heads. */
const CONFIG = {
  model_type: "llama",
  vocab_size: 67,
  hidden_size: 52,
  intermediate_size: 44,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 10,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
};

/** A model of a plan. */
export interface PlannedModel {
  config: ModelConfig;
  /** By name, packed. */
  parameters: Map<string, Float32Array<ArrayBuffer>>;
  source: WeightSource;
}

/**
 * Makes a model.
 *
 * @param change Makes its plan from that of a LLaMA model of three layers.
 * @param fields Fields of config.json.
 */
export function plannedModel(
  change: (plan: ModelPlan) => ModelPlan,
  fields: Record<string, unknown> = {},
): PlannedModel {
  const config = parseModelConfig({ ...CONFIG, ...fields }, "this test");
  const plan = change(config.plan);
  const norms = new Map(normsOf(plan).map((norm) => [norm.tensor, norm]));
  // Factors of blocks are about 1 as well.
  const factors = new Set(plan.layers.map(({ outputScale }) => outputScale));
  const parameters = new Map(
    [...planTensorShapes(plan)].map(([name, shape], seed) => {
      const size = shape.reduce((a, b) => a * b);
      const norm = norms.get(name);
      const values = norm || factors.has(name)
        ? randomValues(size, seed + 1, 0.3).map((v) => 1 - (norm?.weightOffset ?? 0) + v)
        : randomValues(size, seed + 1, 2 / Math.sqrt(shape[1] ?? 1));
      return [name, values];
    }),
  );
  const source: WeightSource = {
    rows(name, [, cols], first, count) {
      return Promise.resolve(parameters.get(name)!.slice(first * cols, (first + count) * cols));
    },
    codes: () => Promise.resolve(null),
  };
  return { config: { ...config, plan }, parameters, source };
}

function normsOf({ layers, finalNorm, tokenInputs }: ModelPlan): NormPlan[] {
  const inLayers = layers.flatMap(({ norms, tokenInput }) => [
    ...Object.values(norms),
    tokenInput?.norm,
  ]);
  return [finalNorm, tokenInputs?.norm, ...inLayers].filter((norm) => !!norm);
}
