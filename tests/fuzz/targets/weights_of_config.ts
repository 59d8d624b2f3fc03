/**
 * A config.json beside the weights of another: what is accepted has every tensor that the config asks for, of its shape, and
 * goes onto a device that only counts.
 */

import { join } from "node:path";
import { openDryDevice } from "../../../src/gpu/dry_device.ts";
import { Weights } from "../../../src/io/weights.ts";
import { FolderSource } from "../../../src/layers/weight_source.ts";
import { frozen } from "../../../src/methods/frozen.ts";
import { expectTensors } from "../../../src/model/claimed_tensors.ts";
import { readModelConfig } from "../../../src/model/config.ts";
import { Network } from "../../../src/model/network.ts";
import { planTensorShapes } from "../../../src/model/plan_tensors.ts";
import { SCHEMES, writeQuantizedModel } from "../../support/quantized_model.ts";
import { writeTinyModel } from "../../support/tiny_model.ts";
import { FAMILY_VARIANTS } from "../../support/family_variants.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

interface Input {
  /** The folder whose weights they are. */
  model: number;
  config: unknown;
}

/** Whose weights there are. */
const SEEDS = [
  "llama, heads of 34, every bias",
  "phi3, a quarter of a head turns, longrope, a window",
];

export const target: FuzzTarget<Input> = {
  about: "config.json against weights, dry device",
  cost: "dear",
  async prepare(folder) {
    const folders = [...SEEDS, "quantized"].map((_, i) => join(folder, `${i}`));
    for (const [i, path] of folders.entries()) {
      await Deno.mkdir(path);
      if (i < SEEDS.length) await writeTinyModel(path, { config: FAMILY_VARIANTS[SEEDS[i]] });
      else await writeQuantizedModel(path, SCHEMES["compressed-tensors, FP8 per block"]);
    }
    const configs = await Promise.all(
      folders.map(async (path) => JSON.parse(await Deno.readTextFile(join(path, "config.json")))),
    );
    return {
      make(random) {
        const model = random.below(folders.length);
        return { model, config: mutateJson(random, [configs[model]]) };
      },
      async run({ model, config }) {
        await Deno.writeTextFile(join(folders[model], "config.json"), JSON.stringify(config));
        const written = await readModelConfig(folders[model]);
        using weights = await Weights.open(folders[model]);
        const { quantization } = written;
        const { plan, coded } = await expectTensors(weights, written.plan, quantization);
        const { device } = openDryDevice();
        const rotations = quantization?.transforms.rotations;
        using network = await Network.create({
          ...{ device, config: { ...written, plan }, method: frozen() },
          ...{ source: new FolderSource(weights, { coded, rotations }), random: () => 0 },
          ...{ gradients: false, moments: false },
        });
        if (network.linears().length === 0) throw new Nonsense("no layers");
        for (const [name, shape] of planTensorShapes(plan)) {
          const found = weights.info(name).shape;
          if (`${found}` !== `${shape}`) throw new Nonsense(`${name} is ${found}, not ${shape}`);
        }
      },
      show: (input) => JSON.stringify(input),
    };
  },
};
