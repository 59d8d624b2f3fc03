/**
 * Text to token ids and back, with the `tokenizer.json` of a Hugging Face model folder.
 *
 * @module
 */

import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { join } from "node:path";
import { DataError, FileError, ModelError } from "../errors.ts";
import { type ChatTemplate, loadChatTemplate } from "./chat_template.ts";
import { exists } from "./exists.ts";
import { JsonFields, readJson, showJson } from "./json.ts";
import { specialToken } from "./special_tokens.ts";
import { TokenStream } from "./token_stream.ts";

export type { ChatMessage, ChatTemplate, ContentPart } from "./chat_template.ts";
export type { TokenStream } from "./token_stream.ts";

/** A tokenizer with the special tokens and the chat template of its model. */
export class Tokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  /** The token that starts a text, if the model has one. */
  readonly bosTokenId: number | null;
  /** The token that ends a text, if the model has one. */
  readonly eosTokenId: number | null;
  /** The token that fills up short rows, if the model has one. */
  readonly padTokenId: number | null;
  /** Turns a conversation into text; null when the model folder has no chat template. */
  readonly chatTemplate: ChatTemplate | null;
  readonly #tokenizer: HuggingFaceTokenizer;
  /** Stands for what has no token; null where the tokenizer has none such. */
  readonly #unknownId: number | null;

  private constructor(
    tokenizer: HuggingFaceTokenizer,
    unknownId: number | null,
    special: Pick<Tokenizer, "bosTokenId" | "eosTokenId" | "padTokenId">,
    chatTemplate: ChatTemplate | null,
  ) {
    this.#tokenizer = tokenizer;
    this.#unknownId = unknownId;
    this.vocabSize = 1 + tokenizer.get_vocab().values().reduce((a, b) => Math.max(a, b), -1);
    this.bosTokenId = special.bosTokenId;
    this.eosTokenId = special.eosTokenId;
    this.padTokenId = special.padTokenId;
    this.chatTemplate = chatTemplate;
  }

  /**
   * Loads `tokenizer.json`, and the special tokens and the chat template that
   * `tokenizer_config.json`, `config.json` and `chat_template.jinja` name, as far as they exist.
   *
   * @throws {FileError} if `tokenizer.json` is missing or a file is damaged.
   * @throws {ModelError} if the tokenizer is of an unsupported kind or contradicts itself.
   */
  static async load(folder: string): Promise<Tokenizer> {
    const path = join(folder, "tokenizer.json");
    if (!await exists(path)) {
      throw new FileError(
        `Cannot find "${path}": the tokenizer is read only from this file; save it there with ` +
          `transformers (AutoTokenizer.from_pretrained(…).save_pretrained(…))`,
      );
    }
    const json = await readJson(path);
    const config = await readFields(join(folder, "tokenizer_config.json"));
    let tokenizer: HuggingFaceTokenizer;
    try {
      tokenizer = new HuggingFaceTokenizer(json as object, config.json);
    } catch (error) {
      throw new ModelError(
        `Cannot use the tokenizer in "${path}": ${(error as Error).message}; save it again with ` +
          `a current version of transformers`,
        { cause: error },
      );
    }
    const model = await readFields(join(folder, "config.json"));
    const id = (name: string) => specialTokenId(name, config, model, tokenizer);
    return new Tokenizer(
      tokenizer,
      unknownId(json, tokenizer),
      { bosTokenId: id("bos_token"), eosTokenId: id("eos_token"), padTokenId: id("pad_token") },
      await loadChatTemplate(folder, config),
    );
  }

  /**
   * The token ids of `text`. The special tokens are those the tokenizer puts around a text, for
   * LLaMA the one that starts it. The spelling of a special token within `text` becomes that token.
   *
   * @throws {DataError} for a text with something that the tokenizer has no token for.
   */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    const { addSpecialTokens = true } = options;
    const { ids } = this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens });
    // Tokenizers of whole words give what they do not know no id.
    const given: readonly (number | undefined)[] = ids;
    return given.includes(undefined) ? given.map((id) => this.#known(id, text)) : ids;
  }

  /**
   * The text of `ids`. Ids without a token, which a model whose embedding is padded can produce,
   * give no text.
   */
  decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const { skipSpecialTokens = true } = options;
    const known = [...ids].filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    return this.#tokenizer.decode(known, {
      skip_special_tokens: skipSpecialTokens,
      // The clean-up rewrites " ." to "." and the like: it loses text, and breaks streaming.
      clean_up_tokenization_spaces: false,
    });
  }

  #known(id: number | undefined, text: string): number {
    const known = id ?? this.#unknownId;
    if (known !== null) return known;
    throw new DataError(
      `Cannot tokenise ${
        showJson(text)
      } as the tokenizer has no token for a part of it, and none ` +
        "for what is unknown: leave that part out",
    );
  }

  /** The spelling of a token in the vocabulary; null for an id that has none. */
  tokenOf(id: number): string | null {
    return this.#tokenizer.id_to_token(id) ?? null;
  }

  /**
   * The tokens with ids from `first` on; null if one of them belongs to the vocabulary that the
   * tokenizer was trained with, and was not added to it later.
   */
  addedFrom(first: number): string[] | null {
    const added = this.#tokenizer.get_added_tokens_decoder();
    const tokens: string[] = [];
    for (const [token, id] of this.#tokenizer.get_vocab()) {
      if (id < first) continue;
      if (!added.has(id)) return null;
      tokens.push(token);
    }
    return tokens;
  }

  /**
   * A decoder that takes tokens one by one, for text that is shown while it is generated.
   *
   * @param context The ids that precede, whose text is not repeated: with them, a first token that
   * starts a new word keeps its space.
   */
  stream(context: Iterable<number> = []): TokenStream {
    return new TokenStream((ids) => this.decode(ids), context);
  }
}

/** The id of the token for what is unknown. */
function unknownId(json: unknown, tokenizer: HuggingFaceTokenizer): number | null {
  const { model } = json as { model?: { unk_token?: string | null } };
  return tokenizer.token_to_id(model?.unk_token ?? "") ?? null;
}

/** The fields of a JSON file that need not exist. */
async function readFields(path: string): Promise<JsonFields> {
  return new JsonFields(await exists(path) ? await readJson(path) : {}, `"${path}"`);
}

/** The id of the token that the tokenizer config names, else the id in the model config. */
function specialTokenId(
  name: string,
  config: JsonFields,
  model: JsonFields,
  tokenizer: HuggingFaceTokenizer,
): number | null {
  const token = specialToken(name, config);
  if (token !== null) {
    const id = tokenizer.token_to_id(token);
    if (id === undefined) {
      throw config.error(name, "a token of the vocabulary in tokenizer.json");
    }
    return id;
  }
  const ids = [model.raw(`${name}_id`)].flat();
  return Number.isSafeInteger(ids[0]) && (ids[0] as number) >= 0 ? ids[0] as number : null;
}
