/** Files of tokenizers: the native library must not end the process. */

import type { FuzzTarget } from "../frame/target.ts";
import { mutateTokenizer, tryTokenizer } from "../support/tokenizer_files.ts";

export const target: FuzzTarget<unknown> = {
  about: "tokenizer.json, the same with the native library",
  cost: "dear",
  gate: 100,
  prepare: () => ({
    make: mutateTokenizer,
    run: (json) => tryTokenizer(json, true),
    show: (json) => JSON.stringify(json),
  }),
};
