/** Whole models on the GPU against transformers: logits, loss, gradients and greedy decoding in f32. */

import { assert, assertEquals } from "@std/assert";
import { Model } from "../../src/inference/model.ts";
import { device } from "../support/device.ts";
import {
  largestDifference,
  MODELS,
  readCases,
  readGreedy,
  SMALL_MODELS,
  TOLERANCE,
} from "../support/golden.ts";
import { relativeError } from "../oracle/compare.ts";

for (const golden of MODELS) {
  golden.test(`${golden.name}: logits, loss and gradients equal transformers'`, async () => {
    using model = await Model.load(golden.folder, { device });
    for (const { name, inputIds, labels, logits, loss, gradients } of await readCases(golden)) {
      const worst = largestDifference(await model.logits(inputIds), logits);
      assert(worst <= TOLERANCE.logit, `${name}: a logit is off by ${worst}`);
      const difference = Math.abs(await model.loss({ inputIds, labels }) - loss);
      assert(difference <= TOLERANCE.loss, `${name}: the loss is off by ${difference}`);
      console.log(`  ${golden.name} ${name}: logits within ${worst}, loss within ${difference}`);

      if (gradients.size === 0) continue;
      const got = await model.lossAndGradients({ inputIds, labels });
      assert(Math.abs(got.loss - loss) <= TOLERANCE.loss, `${name}: the loss is ${got.loss}`);
      assertEquals([...got.gradients.keys()].sort(), [...gradients.keys()].sort());
      const errors = [...gradients].map(([parameter, gradient]) => {
        const error = relativeError(got.gradients.get(parameter)!, gradient);
        assert(error <= TOLERANCE.gradient, `${parameter} is off by ${error}`);
        return error;
      });
      console.log(`  ${golden.name} ${name}: gradients within ${Math.max(...errors)}`);
    }
  });
}

for (const golden of SMALL_MODELS) {
  golden.test(`${golden.name}: generates with the cache what transformers does without`, async () => {
    using model = await Model.load(golden.folder, { device });
    const { prompt, tokens } = await readGreedy(golden);
    const options = { temperature: 0, maxNewTokens: tokens.length };
    assertEquals(await Array.fromAsync(model.generateIds(prompt, options)), tokens);
  });
}
