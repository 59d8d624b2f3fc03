/**
 * The tokenizer of the tiny model: a byte-pair encoding in the manner of LLaMA, as the
 * `tokenizer.json` that Hugging Face's libraries read.
 *
 * A space becomes "▁", and one more stands before the text; a character that the training text did
 * not have is written as its UTF-8 bytes, so every text can be encoded.
 *
 * @module
 */
import { learnMerges } from "./bpe.ts";

const SPACE = "▁";
const SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"];

/** The id of the token that starts every text. */
export const BOS_ID = SPECIAL_TOKENS.indexOf("<s>");

/** The id of the token that ends a text. */
export const EOS_ID = SPECIAL_TOKENS.indexOf("</s>");

/**
 * Learns a tokenizer of `vocabularySize` tokens, of which 3 are special and 256 are bytes.
 *
 * @returns The content of `tokenizer.json`.
 */
export function trainTokenizer(texts: Iterable<string>, vocabularySize: number): unknown {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const reserved = [...SPECIAL_TOKENS, ...bytes];
  const { alphabet, merges } = learnMerges(countWords(texts), vocabularySize - reserved.length);
  const pieces = [...reserved, ...alphabet, ...merges.map((pair) => pair.join(""))];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: SPACE },
        { type: "Replace", pattern: { String: " " }, content: SPACE },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [bos(0), sequence("A", 0)],
      pair: [bos(0), sequence("A", 0), bos(1), sequence("B", 1)],
      special_tokens: { "<s>": { id: "<s>", ids: [BOS_ID], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: SPACE }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges,
    },
  };
}

/** The content of the `tokenizer_config.json` beside a `tokenizer.json` of this file. */
export function tokenizerConfig(maxLength: number): unknown {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: SPECIAL_TOKENS[BOS_ID],
    eos_token: SPECIAL_TOKENS[EOS_ID],
    unk_token: "<unk>",
    add_bos_token: true,
    model_max_length: maxLength,
    clean_up_tokenization_spaces: false,
  };
}

/**
 * Counts the words of all texts. A word is a run of letters or of other characters with the space
 * before it. Newlines are left out: they are written as bytes, so that no piece spans two lines.
 */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of (" " + text).matchAll(/ ?\p{L}+| ?[^\p{L} \n]+/gu)) {
      const normalized = word.replace(" ", SPACE);
      counts.set(normalized, (counts.get(normalized) ?? 0) + 1);
    }
  }
  return counts;
}

function bos(typeId: number): unknown {
  return { SpecialToken: { id: SPECIAL_TOKENS[BOS_ID], type_id: typeId } };
}

function sequence(id: "A" | "B", typeId: number): unknown {
  return { Sequence: { id, type_id: typeId } };
}
