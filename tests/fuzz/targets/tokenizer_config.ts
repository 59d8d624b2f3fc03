/** The special tokens and the chat template of tokenizer_config.json, beside a tokenizer that is sound. */

import { join } from "node:path";
import { Tokenizer } from "../../../src/io/tokenizer.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { TOKENIZERS } from "../support/tokenizer_files.ts";

const TEMPLATE =
  "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}";
const SEEDS = [
  {
    bos_token: "<s>",
    eos_token: { content: "</s>", lstrip: false, special: true },
    pad_token: null,
    unk_token: "<unk>",
    additional_special_tokens: ["<|end|>"],
    model_max_length: 1e30,
    clean_up_tokenization_spaces: false,
    chat_template: TEMPLATE,
    tokenizer_class: "LlamaTokenizer",
  },
  {
    bos_token: null,
    eos_token: "<|end|>",
    pad_token: { content: "<|end|>" },
    chat_template: [{ name: "default", template: TEMPLATE }, { name: "rag", template: "" }],
    added_tokens_decoder: { 1: { content: "<s>" } },
    do_lowercase_and_remove_accent: true,
    remove_space: true,
  },
];

export const target: FuzzTarget<string> = {
  about: "tokenizer_config.json",
  cost: "dear",
  gate: 100,
  prepare: async (folder) => {
    await Deno.writeTextFile(join(folder, "tokenizer.json"), JSON.stringify(TOKENIZERS[0]));
    return {
      make: (random) => mutateJsonText(random, SEEDS),
      run: async (text) => {
        await Deno.writeTextFile(join(folder, "tokenizer_config.json"), text);
        const tokenizer = await Tokenizer.load(folder, { native: false });
        const { vocabSize, bosTokenId, eosTokenId, padTokenId, endTokenIds } = tokenizer;
        for (const id of [bosTokenId, eosTokenId, padTokenId, ...endTokenIds]) {
          const isId = id === null || (Number.isSafeInteger(id) && id >= 0 && id < vocabSize);
          if (!isId) throw new Nonsense(`a special token has the id ${id}`);
        }
        const ids = tokenizer.encode("the <s> a");
        if (typeof tokenizer.decode(ids) !== "string") throw new Nonsense("no text is decoded");
      },
    };
  },
};
