/** Every family in sizes of its own: against the oracle, packed, with the cache, saved, in 8 bits. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { frozenInt8 } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { Model } from "../../src/inference/model.ts";
import { CachedText } from "../../src/model/cached_text.ts";
import { relativeError } from "../oracle/compare.ts";
import { shiftLabels } from "../oracle/loss.ts";
import { ReferenceModel } from "../oracle/model.ts";
import { packDocuments } from "../oracle/token_stream.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { FAMILY_VARIANTS } from "../support/family_variants.ts";
import { largestDifference, readTensors, TOLERANCE } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";
import { packTokens } from "../support/packed.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ids = Array.from({ length: 45 }, (_, i) => 3 + (i * i * 7 + 11 * i) % 250);
/** Shorter and longer than the windows and the original contexts, and one token. */
const documents = [ids.slice(0, 20), ids.slice(20, 21), ids.slice(21, 38), ids.slice(38)];

/**
 * Below this the norm of a gradient is rounding: keys that nothing turns do not feel their bias, and one
 * key alone has all of the attention.
 */
const NO_GRADIENT = 1e-5;

for (const [name, config] of Object.entries(FAMILY_VARIANTS)) {
  Deno.test(`${name}: computed as by the oracle, packed or alone, cached or not, saved or not`, () =>
    withFolder(async (folder) => {
      await writeTinyModel(folder, { config });
      const path = join(folder, "model.safetensors");
      await using _ = expectAllFreed();
      using model = await Model.load(folder, { device });
      const logits = await model.logits(ids);
      await expectOracle(model, logits, await readTensors(path));
      await expectPacked(model);
      await expectCached(model);
      await model.use(frozenInt8());
      await expectCached(model);

      await model.use(frozen("f32"));
      await expectGrouped(model, logits);
      const saved = join(folder, "saved");
      await model.save(saved);
      assertEquals(await readTensors(join(saved, "model.safetensors")), await readTensors(path));
      using again = await Model.load(saved, { device });
      assertEquals(await again.logits(ids), logits);
    }));
}

async function expectOracle(
  model: Model,
  logits: Float32Array,
  parameters: Map<string, Float64Array>,
): Promise<void> {
  const oracle = new ReferenceModel(model.config, parameters);
  const tokens = packDocuments([ids]);
  const worst = largestDifference(logits, oracle.logits(tokens));
  assert(worst <= TOLERANCE.logit, `a logit is off by ${worst}`);
  const targets = shiftLabels(ids, tokens.documentStart);
  const want = oracle.lossAndGradients(tokens, targets);
  const got = await model.lossAndGradients({ inputIds: ids, labels: ids });
  assertAlmostEquals(got.loss, want.loss, TOLERANCE.loss);
  assertEquals([...got.gradients.keys()].sort(), [...want.gradients.keys()].sort());
  for (const [parameter, gradient] of want.gradients) {
    const values = got.gradients.get(parameter)!;
    if (Math.hypot(...gradient) < NO_GRADIENT) {
      assert(Math.hypot(...values) < NO_GRADIENT, parameter);
      continue;
    }
    const error = relativeError(values, gradient);
    assert(error <= TOLERANCE.gradient, `${parameter} is off by ${error}`);
  }
}

/** Expects a prompt that linear layers take some rows at a time to have the same logits. */
async function expectGrouped(model: Model, logits: Float32Array): Promise<void> {
  const network = await model.network();
  network.reserve({ tokens: 16, training: false, checkpointing: false });
  using text = new CachedText(network, ids.length);
  await text.append(ids);
  assertEquals(await text.logits(), logits.slice(-model.config.vocabSize));
}

async function expectPacked(model: Model): Promise<void> {
  const packed = await model.tokenLosses(packTokens(documents));
  const alone: number[] = [];
  for (const document of documents) alone.push(...await model.tokenLosses(packTokens([document])));
  const worst = largestDifference(packed, Float64Array.from(alone));
  assert(worst <= TOLERANCE.loss, `a loss is off by ${worst}`);
}

/** Expects tokens generated with the cache to be the likeliest by a pass over all before. */
async function expectCached(model: Model): Promise<void> {
  const prompt = ids.slice(0, 11);
  const options = { temperature: 0, maxNewTokens: 8 };
  const tokens = await Array.fromAsync(model.generateIds(prompt, options));
  assertEquals(tokens.length, 8);
  // The 17th token is the first beyond the original context of one.
  for (const count of [0, 5, 6, 7]) {
    const logits = await model.logits([...prompt, ...tokens.slice(0, count)]);
    const last = logits.subarray(-model.config.vocabSize);
    assertAlmostEquals(last[tokens[count]], Math.max(...last), 1e-3, `token ${count}`);
  }
}
