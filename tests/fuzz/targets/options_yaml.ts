/** Options of a run in a YAML file (`--config`), against the table of flags. */

import { join } from "node:path";
import { readConfigFile } from "../../../src/cli/config_file.ts";
import { TRAIN_FLAGS } from "../../../src/cli/train_flags.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzRandom } from "../frame/random.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { expectFlagValues } from "../oracle/flag_values.ts";
import { NUMBERS, OPTIONS } from "../support/options.ts";

const WRITTEN = `# A run.
model: ./model   # a folder
data: [a.jsonl, b.jsonl]
format: int8
rank: 32
learning-rate: 2e-4
columns:
  prompt: question
  completion: "answer"
target-modules:
  - q_proj
  - v_proj
separator: |
  ---
packing: no
seed: &seed 7
steps: *seed
`;

/** Words of YAML that mean something. */
const WORDS = [
  ...["&a ", "*a", "*seed", "<<: ", "<<: *a", "!!int ", "!!str ", "!!binary ", "!!js/function "],
  ...["!!timestamp ", "!!set ", "2020-01-01", "---\n", "...\n", "%YAML 1.2\n", "? ", "- ", "|\n"],
  ...[">-\n", "{a: ", "[", "&a [*a, *a]", ".inf", ".nan", "~", "yes", "0o17", "190:20:30"],
  ...["__proto__: ", "constructor: ", "\t", "  ", "\n", ...NUMBERS],
];

/** A value in flow style, which is nearly JSON. */
function flow(random: FuzzRandom): string {
  const value = mutateJson(random, OPTIONS);
  const text = JSON.stringify(value) ?? "null";
  return random.chance(0.3) ? mutateText(random, [text], WORDS) : text;
}

/** Aliases of aliases, so that a few bytes stand for many values. */
function bomb(random: FuzzRandom): string {
  let text = `rank: &a0 [${random.pick(NUMBERS) || "x"}]\n`;
  for (let i = 1; i <= random.between(2, 30); i++) {
    text += `logs${i}: &a${i} [${Array(random.between(2, 12)).fill(`*a${i - 1}`)}]\n`;
  }
  return text + `${random.pick(["steps", "model", "columns", "load_in_4bit"])}: *a2\n`;
}

export const target: FuzzTarget<string> = {
  about: "--config YAML",
  cost: "cheap",
  prepare: (folder) => {
    const path = join(folder, "options.yaml");
    return {
      make(random) {
        if (random.chance(0.05)) return bomb(random);
        return random.chance(0.3) ? flow(random) : mutateText(random, [WRITTEN], WORDS);
      },
      async run(text) {
        await Deno.writeTextFile(path, text);
        expectFlagValues(await readConfigFile(path, TRAIN_FLAGS), TRAIN_FLAGS);
      },
    };
  },
};
