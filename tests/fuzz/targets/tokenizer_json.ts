/** Files of tokenizers: types, ids, patterns, loops without an end. */

import type { FuzzTarget } from "../frame/target.ts";
import { mutateTokenizer, tryTokenizer } from "../support/tokenizer_files.ts";

export const target: FuzzTarget<unknown> = {
  about: "tokenizer.json, 6 texts encoded and decoded, in JavaScript",
  cost: "cheap",
  gate: 300,
  prepare: () => ({
    make: mutateTokenizer,
    run: (json) => tryTokenizer(json, false),
    show: (json) => JSON.stringify(json),
  }),
};
