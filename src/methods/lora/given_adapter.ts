/**
 * A given adapter against the model that it is to adapt: one that was made for another model is
 * refused before any weight is read.
 *
 * @module
 */

import { refuseValue } from "../../checks.ts";
import { ModelError } from "../../errors.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import type { LinearPart, LinearSpec } from "../../layers/linear_spec.ts";
import { outFeaturesOf } from "../../layers/row_order.ts";

/**
 * Makes sure that something is an adapter.
 *
 * @throws {OptionError} if it is none.
 */
export function expectAdapterKind(adapter: PeftAdapter): void {
  if (!(adapter?.tensors instanceof Map)) refuseValue("adapter", adapter, "one of readPeftAdapter");
}

/**
 * Expects the factors that an adapter has for linear layers of the blocks to be of the shapes of these.
 * What else it has tensors for is looked up when the model is changed by it.
 *
 * @throws {ModelError} naming the first layer that it does not fit.
 */
export function expectAdapter(
  { tensors, others }: PeftAdapter,
  linears: readonly LinearSpec[],
): void {
  let found = others?.size ?? 0;
  for (const { inFeatures, parts } of linears) {
    for (const part of parts) {
      const { module } = part;
      const pair = tensors.get(module);
      if (!pair) continue;
      found++;
      const outFeatures = outFeaturesOf(part);
      if (pair.inFeatures !== inFeatures || pair.outFeatures !== outFeatures) {
        throw foreign(
          `is for a weight [${pair.outFeatures}, ${pair.inFeatures}] where the model's ` +
            `"${module}" is [${outFeatures}, ${inFeatures}]`,
        );
      }
    }
  }
  if (found === 0) throw foreign("has tensors for no linear layer of the model");
}

/**
 * The target names that say which linear layers have adapters: kinds of layers where each layer of
 * these has one, else the modules themselves.
 */
export function savedTargets(
  linears: readonly LinearSpec[],
  isAdapted: (part: LinearPart) => boolean,
): string[] {
  const parts = linears.flatMap((linear) => linear.parts);
  const adapted = parts.filter(isAdapted);
  const kinds = new Set(adapted.map(({ kind }) => kind));
  const all = parts.filter(({ kind }) => kinds.has(kind));
  return all.length === adapted.length ? [...kinds] : adapted.map(({ module }) => module);
}

function foreign(problem: string): ModelError {
  return new ModelError(
    `Cannot use the adapter as it ${problem}: it was made for another model, so load it with ` +
      "that one",
  );
}
