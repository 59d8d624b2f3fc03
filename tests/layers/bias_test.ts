import { assert, assertEquals } from "@std/assert";
import { biasLengths, loadBias, makeBias, readBias } from "../../src/layers/bias.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import { FrozenDense } from "../../src/layers/storage/frozen_dense.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { blockSpecs } from "../../src/model/block_specs.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { randomUniform } from "../../src/kernels/rows/random.ts";
import { device } from "../support/device.ts";
import { randomValues } from "../support/random.ts";

/** q and v share a vector, in which v comes first and others' elements between; k has none. */
const spec: LinearSpec = {
  name: "layers.0.qkv",
  inFeatures: 44,
  width: 96,
  parts: [
    { module: "q", kind: "q", rows: 37, start: 0, bias: { name: "a", firstRow: 12, length: 49 } },
    { module: "k", kind: "k", rows: 7, start: 48 },
    { module: "v", kind: "v", rows: 9, start: 64, bias: { name: "a", firstRow: 0, length: 49 } },
    { module: "w", kind: "w", rows: 5, start: 80, bias: { name: "b", firstRow: 0, length: 5 } },
  ],
};

const dense = () => {
  const frozen = new FrozenDense(device, "f16");
  return { dense: (name: string, rows: number, cols: number) => frozen.make(name, rows, cols) };
};

const stored = new Map([["a", randomValues(49, 1)], ["b", randomValues(5, 2)]]);

const source: WeightSource = {
  rows(name, [rows, cols], first, count) {
    assertEquals([rows, cols, first, count], [1, stored.get(name)!.length, 0, 1]);
    return Promise.resolve(stored.get(name)!.slice());
  },
  codes: () => Promise.resolve(null),
};

Deno.test("biases are laid out like the columns of the output, zeros between and for parts without", async () => {
  const bias = makeBias(dense(), spec)!;
  await loadBias(device, { spec, bias }, source);
  const { rows, cols, type } = bias.value();
  assertEquals([rows, cols, type], [1, 96, "f32"]);
  const want = new Float32Array(96);
  want.set(stored.get("a")!.subarray(12), 0);
  want.set(stored.get("a")!.subarray(0, 9), 64);
  want.set(stored.get("b")!, 80);
  assertEquals(await device.readMatrix(bias.value()), want);
});

Deno.test("biases are read as the model stores them", async () => {
  const bias = makeBias(dense(), spec)!;
  await loadBias(device, { spec, bias }, source);
  assertEquals([...biasLengths(spec)], [["a", 49], ["b", 5]]);
  const a = await readBias(device, { spec, bias }, "a");
  // Elements that belong to no part of this layer are not its to know.
  assertEquals(a, stored.get("a")!.map((value, i) => i >= 9 && i < 12 ? 0 : value));
  assertEquals(await readBias(device, { spec, bias }, "b"), stored.get("b"));
});

Deno.test("biases that the GPU makes itself leave zeros between parts", async () => {
  const bias = makeBias(dense(), spec)!;
  const made: WeightSource = {
    ...source,
    fill: (program, _, out) => randomUniform(program, { key: { low: 1, high: 2 }, bound: 1, out }),
  };
  await loadBias(device, { spec, bias }, made);
  const values = await device.readMatrix(bias.value());
  const inside = (c: number) =>
    spec.parts.some(({ start, rows, bias }) => bias && c >= start && c < start + rows);
  assert(values.every((value, c) => (value !== 0) === inside(c)));
});

Deno.test("a layer whose parts have no biases has no vector of them", () => {
  const parts = spec.parts.map(({ bias: _, ...part }) => part);
  assertEquals(makeBias(dense(), { ...spec, parts }), null);
});

Deno.test("a plan says which layers have biases, and where these are stored", () => {
  const biasesOf = (config: Record<string, unknown>) => {
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
    return Object.values<LinearSpec>({ ...blockSpecs(plan.layers[0], 64, 0) })
      .flatMap(({ parts }) => parts.map(({ kind, bias }) => bias && `${kind} ${bias.length}`));
  };
  const none = Array(7).fill(undefined);
  assertEquals(biasesOf({}), none);
  const attention = ["q_proj 64", "k_proj 32", "v_proj 32", "o_proj 64"];
  const mlp = ["gate_proj 100", "up_proj 100", "down_proj 64"];
  assertEquals(biasesOf({ attention_bias: true }), [...attention, ...none.slice(4)]);
  assertEquals(biasesOf({ mlp_bias: true }), [...none.slice(3), ...mlp]);
  assertEquals(biasesOf({ model_type: "qwen2" }), [...attention.slice(0, 3), ...none.slice(3)]);
});
