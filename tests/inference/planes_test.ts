/** Models that rotate other planes of a head than LLaMA's, against the oracle: rows of q and k are in another order on the GPU. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { Model } from "../../src/inference/model.ts";
import { lossAndGradients } from "../../src/inference/sequence_loss.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import type { LayerPlan, ModelPlan } from "../../src/model/plan.ts";
import { relativeError } from "../oracle/compare.ts";
import { shiftLabels } from "../oracle/loss.ts";
import { ReferenceModel } from "../oracle/model.ts";
import { packDocuments } from "../oracle/token_stream.ts";
import { device } from "../support/device.ts";
import { writeTwins } from "../support/fused_model.ts";
import { readTensors, TOLERANCE } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";
import { randomValues } from "../support/random.ts";

const ids = Array.from({ length: 21 }, (_, i) => 3 + (i * 37) % 250);
const sequence = { inputIds: ids, labels: ids };

/** The loss of a plan in f64, which the product's must be, and all gradients. */
async function expectOracle(
  model: Model,
  plan: ModelPlan,
  parameters: Map<string, Float64Array>,
  what: string,
): Promise<number> {
  const { device, tokenizer } = model;
  const config = { ...model.config, plan };
  const source: WeightSource = {
    rows: (name, [, cols], first, count) =>
      Promise.resolve(
        Float32Array.from(parameters.get(name)!.subarray(first * cols, (first + count) * cols)),
      ),
    codes: () => Promise.resolve(null),
  };
  const unused = () => Promise.reject();
  const loaded = { config, device, tokenizer, network: unused, tokenLosses: unused };
  const got = await lossAndGradients({ ...loaded, source: () => source }, sequence);
  const tokens = packDocuments([ids]);
  const want = new ReferenceModel(config, parameters)
    .lossAndGradients(tokens, shiftLabels(ids, tokens.documentStart));
  assert(Math.abs(got.loss - want.loss) <= TOLERANCE.loss, what);
  assertEquals([...got.gradients.keys()].sort(), [...want.gradients.keys()].sort());
  for (const [parameter, gradient] of want.gradients) {
    const error = relativeError(got.gradients.get(parameter)!, gradient);
    assert(error <= TOLERANCE.gradient, `${what}: ${parameter} is off by ${error}`);
  }
  return want.loss;
}

/** The plan with other attention and MLP. */
function withLayers(
  plan: ModelPlan,
  change: (layer: LayerPlan, index: number) => Partial<LayerPlan>,
): ModelPlan {
  return { ...plan, layers: plan.layers.map((layer, i) => ({ ...layer, ...change(layer, i) })) };
}

/** The attention of a layer with other planes. */
function turning({ attention }: LayerPlan, rotatedDims: number, interleaved: boolean) {
  return { ...attention!, rope: { ...attention!.rope!, rotatedDims, interleaved } };
}

Deno.test("planes of neighbours and of a part of a head give the oracle's loss and gradients", () =>
  withFolder(async (folder) => {
    await writeTwins(folder);
    for (const name of ["fused", "plain"]) {
      using model = await Model.load(join(folder, name), { device });
      const parameters = await readTensors(join(folder, name, "model.safetensors"));
      const losses = new Set<number>();
      for (const rotatedDims of [2, 4, 6, 8, 10]) {
        for (const interleaved of [false, true]) {
          const plan = withLayers(model.config.plan, (layer) => ({
            attention: turning(layer, rotatedDims, interleaved),
          }));
          const what = `${name} ${rotatedDims} ${interleaved}`;
          losses.add(await expectOracle(model, plan, parameters, what));
        }
      }
      // Two components are one plane, in either way.
      assertEquals(losses.size, 9);
    }
  }));

Deno.test("norms of queries and keys, and fused biases, are in the order of the rows they belong to", () =>
  withFolder(async (folder) => {
    await writeTwins(folder);
    using model = await Model.load(join(folder, "fused"), { device });
    for (const over of ["head", "width"] as const) {
      const parameters = await readTensors(join(folder, "fused", "model.safetensors"));
      const add = (name: string, length: number) => {
        const values = randomValues(length, parameters.size, 0.5);
        parameters.set(name, Float64Array.from(values, (x) => 1 + x));
        return name;
      };
      const plan = withLayers(model.config.plan, (layer, index) => {
        const block = `model.layers.${index}`;
        add(`${block}.self_attn.qkv_proj.bias`, 100);
        add(`${block}.mlp.gate_up_proj.bias`, 88);
        add(`${block}.mlp.down_proj.bias`, 52);
        const tensors = {
          q: add(`${block}.self_attn.q_norm.weight`, over === "head" ? 10 : 60),
          k: add(`${block}.self_attn.k_norm.weight`, over === "head" ? 10 : 20),
        };
        return {
          attention: {
            ...turning(layer, index === 0 ? 6 : 8, index === 0),
            bias: { qkv: true, o: false },
            qkNorm: { over, weightOffset: 0, eps: 1e-5, tensors },
          },
          mlp: { ...layer.mlp, bias: true },
        };
      });
      await expectOracle(model, plan, parameters, over);
    }
  }));
