/** generation_config.json beside a config.json, read from a folder as text. */

import { join } from "node:path";
import { readModelConfig } from "../../../src/model/config.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { CONFIGS } from "../support/configs.ts";

const GENERATION = [
  { eos_token_id: [2, 7], bos_token_id: 1, do_sample: true, temperature: 0.6, top_p: 0.9 },
  { eos_token_id: 5, pad_token_id: 0, transformers_version: "5.0.0" },
  { eos_token_id: null },
];

export const target: FuzzTarget<string> = {
  about: "generation_config.json",
  cost: "cheap",
  async prepare(folder) {
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(CONFIGS[0]));
    return {
      make: (random) => mutateJsonText(random, GENERATION),
      async run(text) {
        await Deno.writeTextFile(join(folder, "generation_config.json"), text);
        const { eosTokenIds, vocabSize } = await readModelConfig(folder);
        const own = eosTokenIds.filter((id) => id === 2 || id === 3);
        if (own.length !== 2) throw new Nonsense("the ids of config.json are lost");
        if (new Set(eosTokenIds).size !== eosTokenIds.length) throw new Nonsense("an id twice");
        const wrong = eosTokenIds.find((id) =>
          !(Number.isInteger(id) && id >= 0 && id < vocabSize)
        );
        if (wrong !== undefined) throw new Nonsense(`an id ${wrong}`);
      },
    };
  },
};
