/** Every model family in the product against transformers: logits, loss, gradients and greedy decoding in f32. */

import { assert, assertEquals } from "@std/assert";
import { Model } from "../../src/inference/model.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import {
  copyFamily,
  FAMILY_MODELS,
  readFamilyGreedy,
  WRAPPED_MODELS,
} from "../support/families.ts";
import { largestDifference, readCases, TENSOR_TOLERANCE, TOLERANCE } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";

const tolerance = device.matrixConfigs.length > 0 ? TENSOR_TOLERANCE : TOLERANCE;

for (const golden of [...FAMILY_MODELS, ...WRAPPED_MODELS]) {
  golden.test(`${golden.name}: logits, loss, gradients and greedy tokens equal transformers'`, async () => {
    await withFolder(async (folder) => {
      await copyFamily(golden, folder);
      using model = await Model.load(folder, { device });
      for (const { name, inputIds, labels, logits, loss, gradients } of await readCases(golden)) {
        const worst = largestDifference(await model.logits(inputIds), logits);
        assert(worst <= tolerance.logit, `${name}: a logit is off by ${worst}`);
        const got = await model.lossAndGradients({ inputIds, labels });
        const difference = Math.abs(got.loss - loss);
        assert(difference <= tolerance.loss, `${name}: the loss is off by ${difference}`);
        if (gradients.size === 0) continue;
        assertEquals([...got.gradients.keys()].sort(), [...gradients.keys()].sort());
        const errors = [...gradients].map(([parameter, gradient]) => {
          const error = relativeError(got.gradients.get(parameter)!, gradient);
          assert(error <= tolerance.gradient, `${name}: ${parameter} is off by ${error}`);
          return error;
        });
        console.log(
          `  ${golden.name} ${name}: logits ${worst}, loss ${difference}, gradients ${
            Math.max(...errors)
          }`,
        );
      }
      const { prompt, tokens } = await readFamilyGreedy(golden);
      const options = { temperature: 0, maxNewTokens: tokens.length };
      assertEquals(await Array.fromAsync(model.generateIds(prompt, options)), tokens);
    });
  });
}
