/**
 * A model as a method changes it before its layers are made: by the tensors that an adapter brings
 * along. Where these are of a tied embedding or head, the two are tied no longer; where they are biases
 * that the model has not, its layers get some.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { ChangedSource } from "../layers/changed_source.ts";
import type { TensorChanges } from "../layers/tensor_changes.ts";
import { biasName } from "../layers/bias.ts";
import { weightName } from "../layers/load.ts";
import type { LinearSpec } from "../layers/linear_spec.ts";
import type { WeightSource } from "../layers/weight_source.ts";
import type { ModelConfig } from "./config.ts";
import { planTensorShapes } from "./plan_tensors.ts";

/** The name of a head that is a tensor of its own. */
const LM_HEAD = "lm_head.weight";

/** A model before or after changes. */
export interface SourcedModel {
  config: ModelConfig;
  source: WeightSource;
}

/** A model with changes. */
export interface ChangedModel extends SourcedModel {
  /** Biases of layers that have none in the model. */
  addedBiases: string[];
}

/**
 * Applies changes.
 *
 * @param linears The linear layers of its blocks; those that get a bias are marked.
 * @throws {ModelError} for a tensor that the model has not.
 */
export function changedModel(
  { config, source }: SourcedModel,
  changes: TensorChanges,
  linears: readonly LinearSpec[],
): ChangedModel {
  if (changes.size === 0) return { config, source, addedBiases: [] };
  const { plan } = config;
  const { tensor } = plan.embedding;
  const absent = new Set<string>();
  const aliases = new Map<string, string>();
  const unties = (name: string) => changes.has(name) && !changes.get(name)!.keepsTie;
  const untied = plan.head.tied && (unties(tensor) || unties(LM_HEAD));
  if (untied) aliases.set(LM_HEAD, tensor);
  const parts = linears.flatMap((linear) => linear.parts);
  for (const part of parts.filter((part) => !part.bias && changes.has(biasName(part)))) {
    part.bias = true;
    absent.add(biasName(part));
  }
  // The parts of a layer have their biases in one vector: those without are zero.
  const known = new Set([
    ...planTensorShapes(plan).keys(),
    ...parts.map(weightName),
    ...parts.filter(({ bias }) => bias).map(biasName),
    ...aliases.keys(),
  ]);
  for (const name of changes.keys()) {
    if (known.has(name)) continue;
    throw new ModelError(
      `Cannot use the adapter as it changes "${name}", which the model does not have: it was made ` +
        "for another model, so load it with that one",
    );
  }
  const changed = new ChangedSource(source, changes, { absent, aliases });
  const addedBiases = [...absent];
  if (!untied) return { config, source: changed, addedBiases };
  const head = { ...plan.head, tied: false, tensor: LM_HEAD };
  return {
    config: { ...config, plan: { ...plan, head }, tieWordEmbeddings: false },
    source: changed,
    addedBiases,
  };
}
