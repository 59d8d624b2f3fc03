/** config.json, against what any plan must be. */

import { type ModelConfig, parseModelConfig } from "../../../src/model/config.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { expectSensible } from "../oracle/plan.ts";
import { CONFIGS } from "../support/configs.ts";

export const target: FuzzTarget<unknown> = {
  about: "config.json",
  cost: "cheap",
  prepare: () => ({
    make: (random) => mutateJson(random, CONFIGS),
    run(json): ModelConfig {
      const config = parseModelConfig(json, '"config.json"');
      expectSensible(config);
      return config;
    },
    show: (json) => JSON.stringify(json),
  }),
};
