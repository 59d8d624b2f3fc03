/**
 * Turns an example into token ids with labels: which tokens the model learns is decided here.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { tokenizeChat } from "./chat.ts";
import { allTargets, commonPrefixLength, type TokenizedExample } from "./tokenized_example.ts";
import { type Example, IGNORED_LABEL, type TokenEncoder } from "./types.ts";

/** Labels for which tokens `[from, ids.length)` are targets. */
function targetsFrom(ids: Uint32Array, from: number): Int32Array {
  return allTargets(ids).slice().fill(IGNORED_LABEL, 0, from);
}

/** `tokens` between the tokenizer's bos and eos, which are not doubled where the text has them. */
function withSpecialTokens(tokens: number[], encoder: TokenEncoder): Uint32Array {
  const { bosTokenId: bos, eosTokenId: eos } = encoder;
  const addBos = bos !== null && tokens[0] !== bos;
  const addEos = eos !== null && tokens.at(-1) !== eos;
  const ids = new Uint32Array(tokens.length + Number(addBos) + Number(addEos));
  ids.set(tokens, Number(addBos));
  if (addBos) ids[0] = bos;
  if (addEos) ids[ids.length - 1] = eos;
  return ids;
}

/**
 * Tokenises an example, or returns null when there is nothing in it to learn:
 * an empty text or an empty completion.
 *
 * A prompt and its completion are encoded as one text, as they are in
 * generation, and the completion starts at the first token that differs from
 * those of the prompt alone. Encoding them separately would put pieces into the
 * middle of the text that only belong at its start (SentencePiece's "▁"), and
 * would miss merges across the boundary. A token that spans the boundary is a
 * target, because the prompt alone does not contain it.
 *
 * @param encoder Needed by all but ready-made ids.
 * @param where Names the row in errors.
 * @throws {OptionError} when the example needs a tokenizer or a chat template that is not there.
 * @throws {DataError} when the chat template refuses a conversation.
 */
export function tokenize(
  example: Example,
  encoder: TokenEncoder | null,
  trainOnPrompt: boolean,
  where: string,
): TokenizedExample | null {
  if (example.kind === "ids") {
    const ids = Uint32Array.from(example.inputIds);
    if (example.labels === undefined) return { ids, labels: allTargets(ids), promptLength: 0 };
    const labels = Int32Array.from(example.labels);
    const first = labels.findIndex((label) => label !== IGNORED_LABEL);
    return { ids, labels, promptLength: first < 0 ? ids.length : first };
  }
  if (encoder === null) {
    throw new OptionError(
      `Cannot tokenise ${where}: it has text, but there is no tokenizer; give a model's folder`,
    );
  }
  switch (example.kind) {
    case "text": {
      if (example.text === "") return null;
      const tokens = encoder.encode(example.text, { addSpecialTokens: false });
      const ids = withSpecialTokens(tokens, encoder);
      return { ids, labels: allTargets(ids), promptLength: 0 };
    }
    case "completion": {
      const { prompt, completion } = example;
      if (completion === "" && !trainOnPrompt) return null;
      const tokens = encoder.encode(prompt + completion, { addSpecialTokens: false });
      const alone = encoder.encode(prompt, { addSpecialTokens: false });
      const ids = withSpecialTokens(tokens, encoder);
      const promptLength = commonPrefixLength(tokens, alone) +
        Number(encoder.bosTokenId !== null && tokens[0] !== encoder.bosTokenId);
      const labels = trainOnPrompt ? allTargets(ids) : targetsFrom(ids, promptLength);
      return { ids, labels, promptLength };
    }
    case "chat":
      return tokenizeChat(example, encoder, trainOnPrompt, where);
  }
}
