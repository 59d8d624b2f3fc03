/** The files of a PEFT adapter: every tensor has a meaning, and factors fit each other and the settings. */

import { readPeftAdapter } from "../../../src/io/peft.ts";
import { scaleOf } from "../../../src/io/peft_adapter.ts";
import { showBytes } from "../frame/outcome.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { type AdapterFiles, makeAdapter } from "../support/adapters.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const MODULES = [0, 1].flatMap((layer) =>
  [["q_proj", 12], ["v_proj", 4]].map(([kind, outFeatures]) => ({
    name: `model.layers.${layer}.self_attn.${kind}`,
    inFeatures: 6,
    outFeatures: outFeatures as number,
  }))
);

export const target: FuzzTarget<AdapterFiles> = {
  about: "adapter_config and adapter_model",
  cost: "cheap",
  prepare: () => {
    const memory = new MemoryFiles();
    return {
      make: (random) => makeAdapter(random, MODULES),
      async run({ config, weights }) {
        memory.files.set("a/adapter_config.json", new TextEncoder().encode(config));
        memory.files.set("a/adapter_model.safetensors", weights);
        const adapter = await readPeftAdapter("a");
        if (memory.opened !== 0) throw new Nonsense("a file stays open");
        let values = 0;
        for (const [module, pair] of adapter.tensors) {
          const rank = pair.A.length / pair.inFeatures;
          if (!Number.isInteger(rank) || rank < 1 || pair.B.length !== rank * pair.outFeatures) {
            throw new Nonsense(
              `${module} has factors of ${pair.A.length} and ${pair.B.length} values`,
            );
          }
          const scale = scaleOf(adapter.config, pair);
          if (!(scale > 0 && Math.fround(scale) < Infinity && Math.fround(scale) > 0)) {
            throw new Nonsense(`the scale of ${module} is ${scale}`);
          }
          values += pair.A.length + pair.B.length + (pair.magnitude?.length ?? 0);
          const all = [...pair.A, ...pair.B, ...pair.magnitude ?? []];
          if (!all.every(Number.isFinite)) {
            throw new Nonsense(`${module} has values that are no numbers`);
          }
        }
        for (const { values: own } of adapter.others?.values() ?? []) values += own.length;
        const length = Number(new DataView(weights.buffer).getBigUint64(0, true));
        const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
        let stored = 0;
        for (const [name, { shape }] of Object.entries<{ shape: number[] }>(header)) {
          if (name !== "__metadata__") stored += shape.reduce((a, b) => a * b, 1);
        }
        if (values !== stored) throw new Nonsense(`${values} of ${stored} values were read`);
      },
      show: ({ config, weights }) => `${config}\n${showBytes(weights)}`,
      close: () => memory[Symbol.dispose](),
    };
  },
};
