/** An adapter against a small model, on a GPU that is not there: it fits all of it, or is refused. */

import { join } from "node:path";
import { Model } from "../../../src/inference/model.ts";
import { readPeftAdapter } from "../../../src/io/peft.ts";
import { lora } from "../../../src/methods/lora/lora.ts";
import { openDryGpu } from "../../support/dry_gpus.ts";
import { writeTinyModel } from "../../support/tiny_model.ts";
import { showBytes } from "../frame/outcome.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { type AdapterFiles, makeAdapter } from "../support/adapters.ts";

const MODULES = [0, 1].flatMap((layer) => [
  { name: `model.layers.${layer}.self_attn.q_proj`, inFeatures: 52, outFeatures: 60 },
  { name: `model.layers.${layer}.self_attn.v_proj`, inFeatures: 52, outFeatures: 20 },
  { name: `model.layers.${layer}.mlp.down_proj`, inFeatures: 44, outFeatures: 52 },
]);

/** Every factor of the file must belong to a layer of the model, and be of its shape. */
function expectFits(weights: Uint8Array): void {
  const length = Number(new DataView(weights.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
  for (const [name, { shape }] of Object.entries<{ shape: number[] }>(header)) {
    const [, module, factor] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name) ?? [];
    if (module === undefined) continue;
    const found = MODULES.find((own) => own.name === module);
    if (found === undefined) throw new Nonsense(`the model has no ${module}`);
    const size = factor === "A" ? shape[1] : shape[0];
    const wanted = factor === "A" ? found.inFeatures : found.outFeatures;
    if (shape.length !== 2 || size !== wanted) throw new Nonsense(`${name} is [${shape}]`);
  }
}

export const target: FuzzTarget<AdapterFiles> = {
  about: "adapter against a model, dry device",
  cost: "dear",
  async prepare(folder) {
    const [base, adapter] = [join(folder, "model"), join(folder, "adapter")];
    await Deno.mkdir(base);
    await Deno.mkdir(adapter);
    await writeTinyModel(base);
    const model = await Model.load(base, { device: openDryGpu(), onNotice() {} });
    return {
      make: (random) => makeAdapter(random, MODULES),
      async run({ config, weights }) {
        await Deno.writeTextFile(join(adapter, "adapter_config.json"), config);
        await Deno.writeFile(join(adapter, "adapter_model.safetensors"), weights);
        await model.use(lora({ adapter: await readPeftAdapter(adapter) }));
        expectFits(weights);
      },
      show: ({ config, weights }) => `${config}\n${showBytes(weights)}`,
      close: () => model[Symbol.dispose](),
    };
  },
};
