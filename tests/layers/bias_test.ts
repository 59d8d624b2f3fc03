import { assert, assertEquals } from "@std/assert";
import { biasedParts, biasName, loadBias, makeBias, readBias } from "../../src/layers/bias.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import { FrozenDense } from "../../src/layers/storage/frozen_dense.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { blockSpecs } from "../../src/model/block_specs.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { randomUniform } from "../../src/kernels/rows/random.ts";
import { device } from "../support/device.ts";
import { randomValues } from "../support/random.ts";

/** Five rows, the second and third turned round, and nine behind a gap. */
const VW = Uint32Array.of(0, 2, 1, 3, 4, 12, 13, 14, 15, 16, 17, 18, 19, 20);

/** Parts of odd sizes, one without a bias, and one whose rows come in another order, with a gap. */
const spec: LinearSpec = {
  name: "layers.0.qkv",
  inFeatures: 44,
  width: 112,
  parts: [
    { module: "q", kind: "q", rows: 37, start: 0, bias: true },
    { module: "k", kind: "k", rows: 7, start: 48 },
    { module: "vw", kind: "vw", rows: 21, start: 64, order: VW, bias: true },
    { module: "x", kind: "x", rows: 1, start: 96, bias: true },
  ],
};

const stored = new Map(
  [["q.bias", 37], ["vw.bias", 14], ["x.bias", 1]].map((
    [name, length],
    seed,
  ) => [name as string, randomValues(length as number, seed)]),
);

const source: WeightSource = {
  rows(name, [rows, cols], first, count) {
    assertEquals([rows, cols, first, count], [1, stored.get(name)!.length, 0, 1]);
    return Promise.resolve(stored.get(name)!.slice());
  },
  codes: () => Promise.resolve(null),
};

/** The biases of a layer, filled. */
async function loaded(from: WeightSource) {
  const bias = makeBias(
    { dense: (...shape) => new FrozenDense(device, "f16").row(...shape) },
    spec,
  );
  await loadBias(device, { spec, bias }, from);
  return { spec, bias };
}

Deno.test("biases are laid out like the columns of the output, zeros between and for parts without", async () => {
  const { bias } = await loaded(source);
  const { rows, cols, type } = bias!.value();
  assertEquals([rows, cols, type], [1, 112, "f32"]);
  const want = new Float32Array(112);
  want.set(stored.get("q.bias")!, 0);
  stored.get("vw.bias")!.forEach((value, i) => want[64 + VW[i]] = value);
  want.set(stored.get("x.bias")!, 96);
  assertEquals(await device.readMatrix(bias!.value()), want);
});

Deno.test("biases are read as the model stores them", async () => {
  const linear = await loaded(source);
  const parts = biasedParts(spec);
  assertEquals(parts.map(biasName), [...stored.keys()]);
  for (const part of parts) {
    assertEquals(await readBias(device, linear, part), stored.get(biasName(part)));
  }
});

Deno.test("biases that the GPU makes itself leave zeros in every gap", async () => {
  const { bias } = await loaded({
    ...source,
    fill: (program, _, out) => randomUniform(program, { key: { low: 1, high: 2 }, bound: 1, out }),
  });
  const values = await device.readMatrix(bias!.value());
  const inside = new Set([...Array(37).keys(), ...VW].map((row, i) => i < 37 ? row : 64 + row)).add(
    96,
  );
  assert(values.every((value, column) => (value !== 0) === inside.has(column)));
});

Deno.test("a layer whose parts have no biases has no vector of them", () => {
  const parts = spec.parts.map(({ bias: _, ...part }) => part);
  const none = () => {
    throw new Error("a vector is made");
  };
  assertEquals(makeBias({ dense: none }, { ...spec, parts }), null);
});

Deno.test("a plan says which layers have biases, and where these are stored", () => {
  const biased = (config: Record<string, unknown>) => {
    const { plan } = parseModelConfig({
      model_type: "llama",
      vocab_size: 300,
      hidden_size: 64,
      intermediate_size: 100,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      ...config,
    }, "the config");
    const { qkv, o, gateUp, down } = blockSpecs(plan.layers[0], 64, 0);
    return [qkv, o, gateUp, down].flatMap(biasedParts).map(({ kind }) => kind);
  };
  const qkv = ["q_proj", "k_proj", "v_proj"];
  assertEquals(biased({}), []);
  assertEquals(biased({ attention_bias: true }), [...qkv, "o_proj"]);
  assertEquals(biased({ mlp_bias: true }), ["gate_proj", "up_proj", "down_proj"]);
  assertEquals(biased({ model_type: "qwen2" }), qkv);
});
