/** Options of a run in a JSON file (`--config`), against the table of flags. */

import { join } from "node:path";
import { readConfigFile } from "../../../src/cli/config_file.ts";
import { TRAIN_FLAGS } from "../../../src/cli/train_flags.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { expectFlagValues } from "../oracle/flag_values.ts";
import { OPTIONS } from "../support/options.ts";

export const target: FuzzTarget<string> = {
  about: "--config JSON",
  cost: "cheap",
  prepare: (folder) => {
    const path = join(folder, "options.json");
    return {
      make: (random) => mutateJsonText(random, OPTIONS),
      async run(text) {
        await Deno.writeTextFile(path, text);
        expectFlagValues(await readConfigFile(path, TRAIN_FLAGS), TRAIN_FLAGS);
      },
    };
  },
};
