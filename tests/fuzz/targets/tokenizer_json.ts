/** Files of tokenizers: types, ids, patterns, loops without an end. */

import { mutateJson } from "../frame/mutate_json.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { TOKENIZERS, tryTokenizer } from "../support/tokenizer_files.ts";
import { PATTERN_PIECES, PATTERNS } from "../support/patterns.ts";

export const target: FuzzTarget<unknown> = {
  about: "tokenizer.json, 6 texts encoded and decoded, in JavaScript",
  cost: "cheap",
  gate: 300,
  prepare: () => ({
    make: (random) => {
      const json = mutateJson(random, TOKENIZERS);
      if (!random.chance(0.2)) return json;
      const Regex = mutateText(random, PATTERNS, PATTERN_PIECES);
      const text = JSON.stringify(json).replace(
        /"pattern":\{[^{}]*\}/,
        () => JSON.stringify({ pattern: { Regex } }).slice(1, -1),
      );
      return JSON.parse(text);
    },
    run: (json) => tryTokenizer(json, false),
    show: (json) => JSON.stringify(json),
  }),
};
