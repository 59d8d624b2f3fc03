/** The oracle of whole models against transformers, family by family: so it may judge the product. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { JsonFields } from "../../src/io/json.ts";
import { refuseUnclaimed } from "../../src/model/claimed_fields.ts";
import { planConfig } from "../../src/model/config.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import { isCarried } from "../../src/model/tensor_names.ts";
import { FAMILY_MODELS, readSpellings, WRAPPED_MODELS } from "../support/families.ts";
import { largestDifference, readCases, readTensors } from "../support/golden.ts";
import { relativeError } from "./compare.ts";
import { crossEntropy, shiftLabels } from "./loss.ts";
import { ReferenceModel } from "./model.ts";
import { packDocuments } from "./token_stream.ts";

for (const golden of [...FAMILY_MODELS, ...WRAPPED_MODELS]) {
  golden.test(`${golden.name}: the oracle's logits, loss and gradients are transformers'`, async () => {
    const plans = (await readSpellings(golden.folder)).map((json) => {
      const { fields, plan } = planConfig(new JsonFields(json, '"config.json"'));
      refuseUnclaimed(fields, plan);
      return plan;
    });
    for (const plan of plans) assertEquals(plan, plans[0], "the spellings of the config differ");
    const [plan] = plans;
    const parameters = new Map(
      [...await readTensors(`${golden.folder}/model.safetensors`)]
        .map(([name, values]) => [nameSince452(name), values] as const),
    );
    const sizes = [...planTensorShapes(plan)].map(([name, shape]) =>
      [name, shape.reduce((a, b) => a * b)] as const
    );
    for (const name of parameters.keys()) if (isCarried(name, plan)) parameters.delete(name);
    assertEquals(
      new Map(sizes.toSorted()),
      new Map([...parameters].map(([name, { length }]) => [name, length] as const).toSorted()),
    );
    const model = new ReferenceModel({ plan }, parameters);
    for (const { name, inputIds, labels, logits, loss, gradients } of await readCases(golden)) {
      const tokens = packDocuments([inputIds]);
      const targets = shiftLabels(labels, tokens.documentStart);
      const got = model.logits(tokens);
      const worst = largestDifference(got, logits);
      assert(worst < 5e-5, `${name}: a logit is off by ${worst}`);
      const { lossSum, count } = crossEntropy(got, targets, 1);
      assertAlmostEquals(lossSum / count, loss, 2e-6, name);
      if (gradients.size === 0) continue;
      const { gradients: all } = model.lossAndGradients(tokens, targets);
      assertEquals([...all.keys()].sort(), [...gradients.keys()].sort());
      for (const [parameter, gradient] of all) {
        const error = relativeError(gradient, gradients.get(parameter)!);
        assert(error < gradientTolerance(golden.name), `${parameter}: relative error ${error}`);
      }
    }
  });
}

/** Scores of Gemma 4 are not divided by the root of a head: what float32 rounds of angles grows in them. */
function gradientTolerance(family: string): number {
  return family === "gemma4" ? 6e-5 : 2e-5;
}

/** The name of a tensor of a model of texts and images as it is since transformers 4.52. */
function nameSince452(name: string): string {
  return name.replace(/^language_model\.(lm_head\.)/, "$1")
    .replace(/^language_model\.model\./, "model.language_model.");
}
