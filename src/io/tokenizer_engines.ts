/**
 * The two libraries behind a tokenizer, held against each other when it is opened: the native one
 * encodes where it loads, and JavaScript where it does not, decodes, and encodes where a result is
 * wanted at once.
 *
 * @module
 */

import type { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { DataError, ModelError } from "../errors.ts";
import { encoded, noToken, openJavaScript, tried } from "./javascript_encoding.ts";
import { forJavaScript } from "./javascript_tokenizer.ts";
import { type JsonFields, showJson } from "./json.ts";
import { type NativeTokenizer, nativeTokenizer } from "./native_tokenizer.ts";
import { checkedTokenizer, expectMerges } from "./tokenizer_file.ts";

/**
 * The longest text that is encoded, in UTF-16 units: 4 Mi. The native library takes 120 bytes for each and
 * a second for a million of them; where the text is one run of spaces, twice as many make its regular
 * expressions give up, which ends the process.
 */
export const LONGEST_TEXT: number = 1 << 22;

/** Texts that tokenizers of different make are known to differ on. */
const PROBES = [
  "The quick brown fox; it's 1234.5 km — isn't it?  Two spaces,\ttab\n\nand lines.\r\n",
  " leading and trailing \u3000\u00a0 ",
  "def f(x):\n    return {'a': [x**2, \"b\"]}  # 100%",
  "caf\u00e9 e\u0301 \u00e5ngstr\u00f6m \u0130\u01c5 stra\u00dfe \ufb01",
  "\u0661\u0662\u0663 \u096b\u096c \u00b2\u00bd \u2167 \u4e00\u4e8c\u4e09 \ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22",
  "\ud83d\ude00\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67 \ufeff\u0085\u2028\u200b",
];

/** The libraries with what one tokenizer.json says. */
export class Engines {
  readonly javascript: HuggingFaceTokenizer;
  /** Ids that the tokenizer puts in front of a text. */
  readonly prefix: readonly number[];
  /** Ids that it puts after a text. */
  readonly suffix: readonly number[];
  /** What should be known, one sentence each. */
  readonly notices: readonly string[];
  readonly #native: NativeTokenizer | null;
  /** The id of the token for what is unknown. */
  readonly #unknown: number | null;
  /** Why JavaScript must not encode; null if it may. */
  readonly #difference: string | null;

  private constructor(
    javascript: HuggingFaceTokenizer,
    native: NativeTokenizer | null,
    difference: string | null,
    unknown: number | null,
    [prefix, suffix]: readonly number[][],
    notices: string[],
  ) {
    this.javascript = javascript;
    this.#native = native;
    this.#difference = difference;
    this.#unknown = unknown;
    this.prefix = prefix;
    this.suffix = suffix;
    this.notices = notices;
  }

  /**
   * Opens a tokenizer.json in both libraries.
   *
   * @param path Names the file in errors.
   * @param wantsNative Whether to try the native library.
   * @throws {ModelError} if it is of a kind that JavaScript does not know.
   */
  static async open(
    path: string,
    file: unknown,
    config: JsonFields,
    wantsNative: boolean,
  ): Promise<Engines> {
    const json = checkedTokenizer(file, path);
    expectMerges(json, path);
    const { json: rewritten, unsupported } = forJavaScript(json);
    const javascript = openJavaScript(rewritten as object, config, path);
    const native = wantsNative ? await nativeTokenizer(json) : "it was not asked for";
    const unknown = unknownId(json.model as Record<string, unknown>, javascript);
    const around = async (text: string, add: boolean) =>
      typeof native === "string"
        ? javascript.encode(text, { add_special_tokens: add }).ids.filter((id) => id !== undefined)
        : (await native.encodeBatch([text], add).catch(() => [[]]))[0];
    const sample = await sampleOf(around);
    const special = surroundings(path, await around(sample, false), await around(sample, true));
    if (typeof native === "string") {
      const wrong = unsupported.join(", ");
      const notices = unsupported.length === 0 ? [] : [
        `the tokenizer in "${path}" has ${wrong}, which JavaScript does not do as the library it ` +
        `was made with: tokens may differ; ${native}`,
      ];
      return new Engines(javascript, null, null, unknown, special, notices);
    }
    let differing = -1;
    for (let i = 0; i < PROBES.length && differing < 0; i++) {
      // What a tokenizer has no token for may be refused, by both.
      const wanted = await native.encodeBatch([PROBES[i]], false).catch(() => [[]]);
      if (!same(wanted[0], tried(javascript, PROBES[i], unknown))) differing = i;
    }
    const difference = differing >= 0
      ? `it encodes ${JSON.stringify(PROBES[differing])} in another way`
      : unsupported.length > 0
      ? `it does not do ${unsupported.join(", ")} as it should`
      : null;
    return new Engines(javascript, native, difference, unknown, special, []);
  }

  /** Whether the native library encodes. */
  get isNative(): boolean {
    return this.#native !== null;
  }

  /**
   * The ids of a text without special tokens, at once.
   *
   * @throws {ModelError} if only the native library has them right.
   */
  encode(text: string): number[] {
    expectLength(text);
    if (this.#difference !== null) {
      throw new ModelError(
        `Cannot encode at once with this model's tokenizer as only the native library has it right ` +
          `(JavaScript's: ${this.#difference}): use encodeBatch, which is asynchronous`,
      );
    }
    return encoded(this.javascript, text, this.#unknown);
  }

  /**
   * The ids of texts without special tokens.
   *
   * @throws {DataError} for a text with something that there is no token for.
   */
  async encodeBatch(texts: readonly string[]): Promise<number[][]> {
    const native = this.#native;
    texts.forEach(expectLength);
    if (native === null) return texts.map((text) => encoded(this.javascript, text, this.#unknown));
    const ids: number[][] = [];
    for (const group of grouped(texts)) ids.push(...await encodedGroup(native, group));
    return ids;
  }

  /** The text of ids that have tokens. */
  decode(ids: number[], skipSpecialTokens: boolean): string {
    return this.javascript.decode(ids, {
      skip_special_tokens: skipSpecialTokens,
      // The clean-up rewrites " ." to "." and the like: it loses text, and breaks streaming.
      clean_up_tokenization_spaces: false,
    });
  }

  /** The ids of a text of special tokens and plain characters, in which the libraries agree. */
  knownIds(text: string): number[] {
    return tried(this.javascript, text, this.#unknown);
  }
}

/** The id of the token for what is unknown: Unigram models have its place, others its spelling. */
function unknownId(
  { vocab, unk_id: place, unk_token: token }: Record<string, unknown>,
  javascript: HuggingFaceTokenizer,
): number | null {
  const id = Array.isArray(vocab) ? place : javascript.token_to_id((token ?? "") as string);
  return (id ?? null) as number | null;
}

/** Makes sure that a text can be encoded at once: in pieces it would have other tokens. */
function expectLength(text: string): void {
  if (text.length <= LONGEST_TEXT) return;
  throw new DataError(
    `Cannot tokenise a text of ${text.length} characters that begins with ` +
      `${
        showJson(text.slice(0, 40))
      }: ${LONGEST_TEXT} are the most, so split it, by the separator ` +
      "between documents if it is of a text file",
  );
}

/** Texts in groups of no more characters than one text may have. */
function* grouped(texts: readonly string[]): Generator<string[]> {
  let [group, length]: [string[], number] = [[], 0];
  for (const text of texts) {
    if (group.length > 0 && length + text.length > LONGEST_TEXT) {
      yield group;
      [group, length] = [[], 0];
    }
    group.push(text);
    length += text.length;
  }
  if (group.length > 0) yield group;
}

async function encodedGroup(native: NativeTokenizer, texts: string[]): Promise<number[][]> {
  try {
    return await native.encodeBatch(texts, false);
  } catch (error) {
    if (texts.length === 1) throw noToken(texts[0], error);
    // One of them it was: which, shows when each is tried.
    const ids: number[][] = [];
    for (const text of texts) ids.push(...await encodedGroup(native, [text]));
    return ids;
  }
}

/** A text that has tokens, to see what is put around it. */
async function sampleOf(
  encode: (text: string, add: boolean) => Promise<number[]>,
): Promise<string> {
  for (const text of ["a", "the", "1"]) if ((await encode(text, false)).length > 0) return text;
  return "a";
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

/** The ids before and after a text's own. */
function surroundings(path: string, bare: number[], whole: number[]): [number[], number[]] {
  if (bare.length === 0) return [whole, []];
  for (let start = 0; start + bare.length <= whole.length; start++) {
    const end = start + bare.length;
    if (same(whole.slice(start, end), bare)) return [whole.slice(0, start), whole.slice(end)];
  }
  throw new ModelError(
    `Cannot use the tokenizer in "${path}": its post_processor puts no special tokens around a ` +
      "text, but changes it; use a tokenizer whose post_processor is a template",
  );
}
