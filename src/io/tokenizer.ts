/**
 * Text to token ids and back, with the `tokenizer.json` of a Hugging Face model folder.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkList,
  checkOptions,
  checkString,
  checkText,
  type Names,
  refuseKind,
} from "../checks.ts";
import type { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { join } from "node:path";
import { FileError } from "../errors.ts";
import { type ChatTemplate, loadChatTemplate } from "./chat_template.ts";
import { exists } from "./exists.ts";
import { JsonFields, readJson } from "./json.ts";
import { specialToken } from "./special_tokens.ts";
import { LARGEST_LIST } from "./text_file.ts";
import { TokenStream } from "./token_stream.ts";
import { Engines } from "./tokenizer_engines.ts";

export type { ChatMessage, ChatTemplate, ContentPart, RenderOptions } from "./chat_template.ts";
export type { TokenStream } from "./token_stream.ts";

/** Options of {@linkcode Tokenizer.load}. */
export interface TokenizerOptions {
  /**
   * The chat template, instead of the model's own: a name (`chatml`, `llama3`, …), the path of a Jinja
   * file, or a template.
   */
  chatTemplate?: string;
  /**
   * The day that a chat template which names the date is told, such as `2026-11-28`. Default: the day on
   * which it is rendered.
   */
  date?: string;
  /** Use the native library where it loads (default). Else JavaScript does all. */
  native?: boolean;
}

/** The names of {@linkcode TokenizerOptions}. */
const TOKENIZER_NAMES: Names<TokenizerOptions> = { chatTemplate: true, date: true, native: true };

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
  /** Turns a conversation into text; null when the model has no chat template. */
  readonly chatTemplate: ChatTemplate | null;
  /** The tokens that end a text or an answer: {@linkcode eosTokenId}, and the chat template's own. */
  readonly endTokenIds: readonly number[];
  /** Whether the native library encodes. */
  readonly isNative: boolean;
  /** What should be known of the tokenizer, one sentence each. */
  readonly notices: readonly string[];
  /** The options it was loaded with, for another thread to load it again. */
  readonly options: TokenizerOptions;
  readonly #engines: Engines;

  private constructor(engines: Engines, options: TokenizerOptions, fields: TokenizerFields) {
    const { javascript } = engines;
    this.#engines = engines;
    // Another thread may have another working folder, so the template itself is passed on.
    const chosen = options.chatTemplate && { chatTemplate: fields.chatTemplate?.source };
    this.options = { ...options, ...chosen };
    this.vocabSize = 1 + javascript.get_vocab().values().reduce((a, b) => Math.max(a, b), -1);
    this.bosTokenId = fields.bosTokenId;
    this.eosTokenId = fields.eosTokenId;
    this.padTokenId = fields.padTokenId;
    this.chatTemplate = fields.chatTemplate;
    this.notices = engines.notices;
    this.isNative = engines.isNative;
    const added = javascript.get_added_tokens_decoder();
    const closing = engines.knownIds(this.chatTemplate?.closing ?? "").find((id) => added.has(id));
    this.endTokenIds = [...new Set([this.eosTokenId, closing ?? null])].filter((id) => id !== null);
  }

  /**
   * Loads `tokenizer.json`, and the special tokens and the chat template that
   * `tokenizer_config.json`, `config.json` and `chat_template.jinja` name, as far as they exist.
   *
   * @throws {FileError} if `tokenizer.json` is missing or a file is damaged.
   * @throws {ModelError} if the tokenizer is of an unsupported kind or contradicts itself.
   * @throws {OptionError} for an unknown option, or a chat template that there is not, or that needs other tokens.
   */
  static async load(folder: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
    checkText("folder", folder);
    checkOptions("Tokenizer.load", options, TOKENIZER_NAMES);
    const path = join(folder, "tokenizer.json");
    if (!await exists(path)) {
      throw new FileError(
        `Cannot find "${path}": the tokenizer is read only from this file; save it there with ` +
          `transformers (AutoTokenizer.from_pretrained(…).save_pretrained(…))`,
      );
    }
    const json = await readJson(path, LARGEST_LIST);
    const config = await readFields(join(folder, "tokenizer_config.json"));
    const engines = await Engines.open(path, json, config, options.native ?? true);
    const { javascript } = engines;
    const model = await readFields(join(folder, "config.json"));
    const id = (name: string) => specialTokenId(name, config, model, javascript);
    return new Tokenizer(engines, options, {
      bosTokenId: id("bos_token"),
      eosTokenId: id("eos_token"),
      padTokenId: id("pad_token"),
      chatTemplate: await loadChatTemplate(
        folder,
        config,
        options.chatTemplate,
        (token) => javascript.token_to_id(token) !== undefined,
        options.date,
      ),
    });
  }

  /**
   * The token ids of `text`. The special tokens are those the tokenizer puts around a text, for
   * LLaMA the one that starts it; one that the text spells itself, as what a chat template wrote does,
   * is not put there again. The spelling of a special token within `text` becomes that token.
   *
   * @throws {DataError} for a text with something that the tokenizer has no token for.
   * @throws {ModelError} if only the native library can encode for this model, which is asynchronous.
   */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    checkString("text", text);
    const addSpecialTokens = addsSpecialTokens(options);
    const ids = this.#engines.encode(text);
    return addSpecialTokens ? this.#surrounded(ids) : ids;
  }

  /**
   * The token ids of each text, as {@linkcode encode} gives them, but of many texts at once.
   *
   * @throws {DataError} for a text with something that the tokenizer has no token for.
   */
  async encodeBatch(
    texts: readonly string[],
    options: { addSpecialTokens?: boolean } = {},
  ): Promise<number[][]> {
    checkList("texts", texts, "texts");
    for (const text of texts) checkString("text", text);
    const addSpecialTokens = addsSpecialTokens(options);
    const batch = await this.#engines.encodeBatch(texts);
    return addSpecialTokens ? batch.map((ids) => this.#surrounded(ids)) : batch;
  }

  /**
   * The ids of a text that is to be continued: with the special tokens that the tokenizer puts in front
   * of a text, and none of those after it.
   */
  async encodePrompt(text: string): Promise<number[]> {
    checkString("text", text);
    const [ids] = await this.#engines.encodeBatch([text]);
    return this.around(ids).before.concat(ids);
  }

  /**
   * The special tokens that the tokenizer puts before a text and after it, where its ids do not have
   * them already.
   */
  around(ids: ArrayLike<number>): { before: readonly number[]; after: readonly number[] } {
    checkList("ids", ids, "token ids");
    const { prefix, suffix } = this.#engines;
    const isAt = (tokens: readonly number[], start: number) =>
      start >= 0 && tokens.every((id, i) => ids[start + i] === id);
    return {
      before: isAt(prefix, 0) ? [] : prefix,
      after: isAt(suffix, ids.length - suffix.length) ? [] : suffix,
    };
  }

  #surrounded(ids: number[]): number[] {
    const { before, after } = this.around(ids);
    return before.length + after.length === 0 ? ids : before.concat(ids, after);
  }

  /**
   * The text of `ids`. Ids without a token, which a model whose embedding is padded can produce,
   * give no text.
   */
  decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    expectIterable(ids);
    checkOptions("decode", options, { skipSpecialTokens: true });
    const { skipSpecialTokens = true } = options;
    checkBoolean("skipSpecialTokens", skipSpecialTokens);
    const { javascript } = this.#engines;
    const given = [...ids];
    given.forEach(expectId);
    const known = given.filter((id) => javascript.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    return this.#engines.decode(known, skipSpecialTokens);
  }

  /** The spelling of a token in the vocabulary; null for an id that has none. */
  tokenOf(id: number): string | null {
    return typeof id === "number" ? this.#engines.javascript.id_to_token(id) ?? null : null;
  }

  /**
   * The tokens with ids from `first` on; null if one of them belongs to the vocabulary that the
   * tokenizer was trained with, and was not added to it later.
   */
  addedFrom(first: number): string[] | null {
    checkInteger("first", first, 0);
    const added = this.#engines.javascript.get_added_tokens_decoder();
    const tokens: string[] = [];
    for (const [token, id] of this.#engines.javascript.get_vocab()) {
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
    expectIterable(context);
    return new TokenStream((ids) => this.decode(ids), context);
  }
}

function addsSpecialTokens(options: { addSpecialTokens?: boolean }): boolean {
  checkOptions("encode", options, { addSpecialTokens: true });
  const { addSpecialTokens = true } = options;
  checkBoolean("addSpecialTokens", addSpecialTokens);
  return addSpecialTokens;
}

function expectId(id: number): void {
  if (typeof id !== "number") refuseKind("a token id", id, "a number");
}

function expectIterable(ids: Iterable<number>): void {
  if (typeof ids === "object" && ids !== null && Symbol.iterator in ids) return;
  refuseKind("ids", ids, "a list of token ids");
}

/** What a tokenizer knows beside its engines. */
type TokenizerFields = Pick<
  Tokenizer,
  "bosTokenId" | "eosTokenId" | "padTokenId" | "chatTemplate"
>;

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
