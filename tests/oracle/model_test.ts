import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { type ModelConfig, modelTensorShapes } from "../../src/model/config.ts";
import { decoderPlan } from "../../src/model/families/decoder.ts";
import { relativeError } from "./compare.ts";
import { linear, linearBackward } from "./linear.ts";
import { crossEntropy, shiftLabels } from "./loss.ts";
import { eachLinear, mergedLinears, ReferenceModel } from "./model.ts";
import { packDocuments } from "./token_stream.ts";
import { largestDifference, MODELS, readCases, readModel } from "../support/golden.ts";
import { assertGradient } from "../support/gradient.ts";
import { randomNormal } from "../support/random.ts";

for (const golden of MODELS) {
  golden.test(`${golden.name}: logits, loss and gradients are those of transformers`, async () => {
    const { config, parameters } = await readModel(golden);
    const model = new ReferenceModel(config, parameters);
    for (const { name, inputIds, labels, logits, loss, gradients } of await readCases(golden)) {
      const tokens = packDocuments([inputIds]);
      const targets = shiftLabels(labels, tokens.documentStart);
      const got = model.logits(tokens);
      const worst = largestDifference(got, logits);
      assert(worst < 1e-4, `${name}: a logit is off by ${worst}`);
      const { lossSum, count } = crossEntropy(got, targets, 1);
      assertAlmostEquals(lossSum / count, loss, 2e-6, name);

      if (gradients.size === 0) continue;
      const { gradients: all } = model.lossAndGradients(tokens, targets);
      assertEquals([...all.keys()].sort(), [...modelTensorShapes(config).keys()].sort());
      assertEquals([...all.keys()].sort(), [...gradients.keys()].sort());
      for (const [parameter, gradient] of all) {
        const error = relativeError(gradient, gradients.get(parameter)!);
        assert(error < 2e-5, `${parameter}: relative error ${error}`);
      }
    }
  });
}

/** Every size odd where it can be, grouped heads, and a stream of three documents. */
function tinyModel(tieWordEmbeddings: boolean) {
  const sizes = {
    vocabSize: 11,
    hiddenSize: 9,
    intermediateSize: 7,
    numLayers: 2,
    numHeads: 3,
    numKeyValueHeads: 1,
    headDim: 6,
    rmsNormEps: 1e-5,
    tieWordEmbeddings,
  };
  const rope = {
    theta: 100,
    scaling: null,
    rotatedDims: 6,
    interleaved: false,
    factor: 1,
    queryScale: null,
  };
  const config: ModelConfig = {
    ...sizes,
    ropeTheta: rope.theta,
    ropeScaling: rope.scaling,
    modelType: "llama",
    architectures: [],
    maxPositionEmbeddings: 16,
    bosTokenId: null,
    eosTokenIds: [],
    padTokenId: null,
    quantization: null,
    plan: decoderPlan(sizes, () => rope),
  };
  const parameters = new Map(
    [...modelTensorShapes(config)].map(([name, shape], seed) => {
      const size = shape.reduce((a, b) => a * b);
      return [name, randomNormal(size, seed + 1).map((x) => 0.5 * x)];
    }),
  );
  const tokens = packDocuments([[1, 5, 3], [7], [2, 10, 2, 4, 0]]);
  const labels = [1, 5, -100, 7, 2, 10, 2, 4, 0];
  return { config, parameters, tokens, targets: shiftLabels(labels, tokens.documentStart) };
}

for (const tied of [true, false]) {
  Deno.test(`gradients with ${tied ? "a tied" : "an untied"} lm_head are right by differences`, () => {
    const { config, parameters, tokens, targets } = tinyModel(tied);
    const model = new ReferenceModel(config, parameters);
    const { loss, count, gradients } = model.lossAndGradients(tokens, targets);
    const measure = () => crossEntropy(model.logits(tokens), targets, 1).lossSum / count;
    assertEquals(count, 5);
    assertAlmostEquals(loss, measure(), 1e-12);
    assertEquals(gradients.has("lm_head.weight"), !tied);
    for (const [name, gradient] of gradients) {
      assertGradient(measure, parameters.get(name)!, gradient, name);
    }
  });
}

Deno.test("packed documents do not see each other", () => {
  const { config, parameters } = tinyModel(true);
  const model = new ReferenceModel(config, parameters);
  const documents = [[1, 5, 3], [7], [2, 10, 2, 4, 0]];
  const alone = documents.flatMap((ids) => [...model.logits(packDocuments([ids]))]);
  const error = relativeError(model.logits(packDocuments(documents)), alone);
  assert(error < 1e-14, `relative error ${error}`);
});

Deno.test("replaced linear layers are called for all seven modules and own their gradients", () => {
  const { config, parameters, tokens, targets } = tinyModel(true);
  const seen = new Map<string, Float64Array>();
  const model = new ReferenceModel(
    config,
    parameters,
    eachLinear((name, x, rows) => {
      const weight = parameters.get(`${name}.weight`)!;
      return {
        y: linear(x, weight, rows),
        backward: (dy) => {
          const { dx, dWeight } = linearBackward(dy, x, weight, rows);
          seen.set(`${name}.weight`, dWeight);
          return dx;
        },
      };
    }),
  );
  const { gradients } = model.lossAndGradients(tokens, targets);
  const dense = new ReferenceModel(config, parameters).lossAndGradients(tokens, targets).gradients;
  assertEquals(seen.size, 2 * 7);
  assertEquals(new Map([...gradients, ...seen]).size, dense.size);
  for (const [name, gradient] of dense) {
    assertEquals(gradient, gradients.get(name) ?? seen.get(name));
  }
});

Deno.test("layers merged by group give what separate layers give", () => {
  const { config, parameters, tokens, targets } = tinyModel(false);
  const weightOf = (name: string) => parameters.get(`${name}.weight`)!;
  const groups: string[][] = [];
  const merged = new ReferenceModel(
    config,
    parameters,
    mergedLinears((names, x, rows) => {
      groups.push(names.map((name) => name.split(".").at(-1)!));
      const stacked = Float64Array.from(names.flatMap((name) => [...weightOf(name)]));
      return {
        y: linear(x, stacked, rows),
        backward: (dy) => linearBackward(dy, x, stacked, rows).dx,
      };
    }, (name) => modelTensorShapes(config).get(`${name}.weight`)![0]),
  );
  const dense = new ReferenceModel(config, parameters);
  assert(relativeError(merged.logits(tokens), dense.logits(tokens)) < 1e-14);
  const block = [["q_proj", "k_proj", "v_proj"], ["o_proj"], ["gate_proj", "up_proj"], [
    "down_proj",
  ]];
  assertEquals(groups, [...block, ...block]);
  const { gradients } = merged.lossAndGradients(tokens, targets);
  const expected = dense.lossAndGradients(tokens, targets).gradients;
  for (const [name, gradient] of gradients) {
    assert(relativeError(gradient, expected.get(name)!) < 1e-12, name);
  }
});

Deno.test("a missing parameter is named", () => {
  const { config, parameters, tokens } = tinyModel(true);
  parameters.delete("model.layers.1.mlp.up_proj.weight");
  assertThrows(
    () => new ReferenceModel(config, parameters).logits(tokens),
    ModelError,
    "model.layers.1.mlp.up_proj.weight",
  );
});
