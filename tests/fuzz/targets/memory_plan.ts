/**
 * The memory plan of a config, by every method: what `inspect` computes of a folder that someone else made. What the numbers
 * add up to is held against a count of the parameters.
 */

import { METHODS } from "../../../src/methods/registry.ts";
import { modelTensorShapes, parseModelConfig } from "../../../src/model/config.ts";
import { planMemory } from "../../../src/train/memory.ts";
import { resolveOptions } from "../../../src/train/options.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { CONFIGS } from "../support/configs.ts";

interface Input {
  json: unknown;
  method: string;
  batchSize: number;
  sequenceLength: number;
  /** Bytes that a GPU binds of one buffer. */
  bindingLimit: number;
}

/** Sizes up to the largest, which a change of one field seldom gives. */
const SIZES: Readonly<Record<string, readonly number[]>> = {
  hidden_size: [1, 17, 4096, 65536, 65537, 64_000_000],
  intermediate_size: [1, 3, 2 ** 17, 2 ** 19, 2e8, 189115999977472],
  vocab_size: [1, 5, 2 ** 20, 2 ** 22, 1e12, Number.MAX_SAFE_INTEGER],
  num_attention_heads: [1, 96, 2048, 1e8],
  num_key_value_heads: [1, 96, 2048],
  num_hidden_layers: [1, 3, 40, 1e6],
  head_dim: [8, 64, 256, 512],
};

function make(random: FuzzRandom): Input {
  const json = mutateJson(random, CONFIGS);
  if (typeof json === "object" && json !== null && random.chance(0.6)) {
    for (let count = random.few(); count > 0; count--) {
      const name = random.pick(Object.keys(SIZES));
      (json as Record<string, unknown>)[name] = random.pick(SIZES[name]);
    }
  }
  return {
    json,
    method: random.pick(METHODS).name,
    batchSize: random.pick([1, 1, 3, 16, 1000, 2 ** 20, Number.MAX_SAFE_INTEGER]),
    sequenceLength: random.pick([2, 16, 64, 512, 2 ** 20]),
    bindingLimit: random.pick([Infinity, 2 ** 31, 2 ** 27]),
  };
}

export const target: FuzzTarget<Input> = {
  about: "memory plan of a config",
  cost: "dear",
  prepare: () => ({
    make,
    async run({ json, method, batchSize, sequenceLength, bindingLimit }) {
      const config = parseModelConfig(json, '"config.json"');
      const entry = METHODS.find(({ name }) => name === method)!;
      const options = resolveOptions({ batchSize, sequenceLength, model: { config } });
      const made = entry.create(entry.options.rank ? { rank: 1 } : {});
      const plan = await planMemory({ config, method: made, ...options, bindingLimit });
      for (const [name, value] of Object.entries(plan)) {
        if (typeof value !== "number") continue;
        if (!Number.isSafeInteger(value) || value < 0) throw new Nonsense(`${name} is ${value}`);
      }
      const shapes = [...modelTensorShapes(config).values()];
      const parameters = shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
      if (plan.weights < parameters / 2) {
        throw new Nonsense(`${plan.weights} bytes of ${parameters} parameters`);
      }
      if (plan.peak < plan.total) throw new Nonsense("the peak is below the total");
    },
    show: (input) => JSON.stringify(input),
  }),
};
