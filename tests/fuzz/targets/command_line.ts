/** Words of a command line of any command, up to its own work, against the command's table of flags. */

import { COMMANDS } from "../../../src/cli/main.ts";
import { kebabCase } from "../../../src/cli/flags.ts";
import { parseFlags } from "../../../src/cli/parse_flags.ts";
import { translateWords } from "../../../src/cli/other_names.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { expectFlagValues } from "../oracle/flag_values.ts";
import { NUMBERS, OPTIONS } from "../support/options.ts";

interface Input {
  command: string;
  words: string[];
}

const WORDS = [
  ...["--", "-", "--_", "--_=1", "--no-_", "-_", "---", "--=", "--=1", "-h", "--help", "--no-help"],
  ...[
    "--__proto__=1",
    "--__proto__.a=1",
    "--constructor.prototype.a=1",
    "--rank.a=1",
    "--data.0=x",
  ],
  ...["--no-rank", "--no-packing=1", "--packing=false", "--packing", "-abc", "-1", "-0.5", "--9"],
  ...["--rank=", "--rank==1", "--rank\n=1", "--\0", "--é=1", "--toString", "--hasOwnProperty=1"],
];

/** Names of flags as they are here and elsewhere. */
function names(command: string): string[] {
  const { flags } = COMMANDS.find(({ name }) => name === command)!;
  const own = Object.entries(flags).flatMap(([name, { alias = [] }]) => [name, ...alias]);
  return [...own.map(kebabCase), ...OPTIONS.flatMap((options) => Object.keys(options))];
}

function value(random: FuzzRandom): string {
  switch (random.below(4)) {
    case 0:
      return random.pick(NUMBERS);
    case 1:
      return random.pick([
        "lora",
        "falqon",
        "int8",
        "a,b",
        "prompt=q,completion=a",
        "10m",
        "epoch",
      ]);
    case 2:
      return random.pick([
        "./model",
        "org/name",
        "-",
        "a\0b",
        "x".repeat(5000),
        "--rank",
        "\u001b[2J",
      ]);
    default:
      return mutateText(random, ["question=prompt", "q_proj,v_proj", "1e-3", "data.jsonl"]);
  }
}

function make(random: FuzzRandom): Input {
  const command = random.pick(COMMANDS).name;
  const known = names(command);
  const words: string[] = [];
  for (let count = random.few(0.7); count > 0; count--) {
    if (random.chance(0.15)) words.push(random.pick(WORDS));
    else {
      let name = random.pick(known);
      if (random.chance(0.1)) name = mutateText(random, [name]);
      const flag = random.chance(0.1) ? `--no-${name}` : `--${name}`;
      if (random.chance(0.2)) words.push(flag);
      else if (random.chance(0.5)) words.push(`${flag}=${value(random)}`);
      else words.push(flag, value(random));
    }
  }
  return { command, words };
}

export const target: FuzzTarget<Input> = {
  about: "command line",
  cost: "cheap",
  prepare: () => ({
    make,
    run({ command, words }) {
      const { flags } = COMMANDS.find(({ name }) => name === command)!;
      const { values, words: rest } = parseFlags(translateWords(words, flags, () => {}), flags);
      expectFlagValues(values, flags);
      // Nothing is dropped: every word is a flag's, a flag's value, or left over.
      const left = words.filter((word) => !word.startsWith("-") && !rest.includes(word));
      const flagged = words.filter((word) => word.startsWith("-") && word !== "-").length;
      if (left.length > flagged) throw new Nonsense(`${left.length} words for ${flagged} flags`);
    },
    show: ({ command, words }) => [command, ...words.map((word) => JSON.stringify(word))].join(" "),
  }),
};
