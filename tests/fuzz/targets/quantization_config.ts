/** The block `quantization_config` of a config.json, with its transforms, against what it may say. */

import { parseModelConfig } from "../../../src/model/config.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { CONFIGS, QUANTIZATIONS } from "../support/configs.ts";

export const target: FuzzTarget<unknown> = {
  about: "quantization_config",
  cost: "cheap",
  prepare: () => ({
    make: (random) => mutateJson(random, QUANTIZATIONS),
    run(quantization_config) {
      const { quantization } = parseModelConfig({ ...CONFIGS[0], quantization_config }, '"c"');
      if (quantization === null) {
        if (quantization_config === null || quantization_config === undefined) return;
        throw new Nonsense("a block is passed over");
      }
      const { weights, ignore, transforms: { rotations }, otherActivations } = quantization;
      const sizes = [
        ...(typeof weights === "string" ? [] : weights),
        ...(otherActivations !== null && otherActivations !== "static"
          ? [otherActivations.groupOf]
          : []),
        ...rotations.values(),
      ];
      const wrong = sizes.find((size) => !Number.isSafeInteger(size) || size < 1);
      if (wrong !== undefined) throw new Nonsense(`a size ${wrong}`);
      if (!ignore.every((name) => typeof name === "string")) {
        throw new Nonsense("a name of no text");
      }
      for (const [tensor, size] of rotations) {
        if (!tensor.endsWith("_proj.weight") || !Number.isInteger(Math.log2(size))) {
          throw new Nonsense(`${tensor} is rotated in blocks of ${size}`);
        }
      }
    },
    show: (json) => JSON.stringify(json),
  }),
};
