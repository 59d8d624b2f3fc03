/**
 * A given adapter against the model that it is to adapt: one that was made for another model is
 * refused before any weight is read.
 *
 * @module
 */

import { ModelError } from "../../errors.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import { outFeaturesOf } from "../../layers/row_order.ts";

/**
 * The target names of an adapter that the model has. PEFT's lists often are of the layers of many
 * families, and those that a model does not have mean nothing.
 */
export function adapterTargets(
  { config: { targetModules } }: PeftAdapter,
  linears: readonly LinearSpec[],
): string[] {
  const kinds = new Set(linears.flatMap(({ parts }) => parts.map(({ kind }) => kind)));
  return targetModules.filter((name) => kinds.has(name));
}

/**
 * Expects an adapter to have factors for every linear layer that its targets name, of the shapes of
 * that layer, and no others.
 *
 * @throws {ModelError} naming the first layer that it does not fit.
 */
export function expectAdapter(
  { tensors }: PeftAdapter,
  linears: readonly LinearSpec[],
  targets: ReadonlySet<string>,
): void {
  const left = new Set(tensors.keys());
  for (const { inFeatures, parts } of linears) {
    for (const part of parts.filter(({ kind }) => targets.has(kind))) {
      const { module } = part;
      const found = tensors.get(module);
      if (!found) {
        throw foreign(`has no tensors for "${module}", which its target_modules name`);
      }
      const outFeatures = outFeaturesOf(part);
      if (found.inFeatures !== inFeatures || found.outFeatures !== outFeatures) {
        throw foreign(
          `is for a weight [${found.outFeatures}, ${found.inFeatures}] where the model's ` +
            `"${module}" is [${outFeatures}, ${inFeatures}]`,
        );
      }
      left.delete(module);
    }
  }
  for (const module of left) {
    throw foreign(`has tensors for "${module}", which the model or its target_modules do not have`);
  }
}

function foreign(problem: string): ModelError {
  return new ModelError(
    `Cannot use the adapter as it ${problem}: it was made for another model, so load it with ` +
      "that one",
  );
}
