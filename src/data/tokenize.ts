/**
 * Turns examples into token ids with labels: which tokens the model learns is decided here.
 *
 * A tokenizer is fastest with many texts at once. So an example is planned first: the texts that it
 * needs as tokens, and what becomes of them.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { planChat } from "./chat.ts";
import {
  allTargets,
  commonPrefixLength,
  type TokenizedExample,
  type TokenPlan,
} from "./tokenized_example.ts";
import { type Example, IGNORED_LABEL, type TokenEncoder } from "./types.ts";

/** Labels for which tokens `[from, ids.length)` are targets. */
function targetsFrom(ids: Uint32Array, from: number): Int32Array {
  return allTargets(ids).slice().fill(IGNORED_LABEL, 0, from);
}

/**
 * The tokens of a text as the tokenizer begins it, in training as in generation, and with the token
 * that ends a text, which is not doubled.
 */
function document(
  tokens: ArrayLike<number>,
  encoder: TokenEncoder,
): { ids: Uint32Array; before: number } {
  const { before, after } = encoder.around(tokens);
  const { eosTokenId } = encoder;
  const last = after.length > 0 ? after.at(-1) : tokens[tokens.length - 1];
  const end = eosTokenId === null || last === eosTokenId ? after : [...after, eosTokenId];
  const ids = new Uint32Array(before.length + tokens.length + end.length);
  ids.set(before);
  ids.set(tokens, before.length);
  ids.set(end, before.length + tokens.length);
  return { ids, before: before.length };
}

/**
 * The documents of an example: none when there is nothing in it to learn (an empty text or an empty
 * completion), several for a conversation whose template rewrites earlier answers.
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
export function planTokens(
  example: Example,
  encoder: TokenEncoder | null,
  trainOnPrompt: boolean,
  where: string,
): TokenPlan[] {
  if (example.kind === "ids") {
    const ids = Uint32Array.from(example.inputIds);
    if (example.labels === undefined) {
      return [{ texts: [], finish: () => ({ ids, labels: allTargets(ids), promptLength: 0 }) }];
    }
    const labels = Int32Array.from(example.labels);
    const first = labels.findIndex((label) => label !== IGNORED_LABEL);
    const promptLength = first < 0 ? ids.length : first;
    return [{ texts: [], finish: () => ({ ids, labels, promptLength }) }];
  }
  if (encoder === null) {
    throw new OptionError(
      `Cannot tokenise ${where}: it has text, but there is no tokenizer; give a model's folder`,
    );
  }
  switch (example.kind) {
    case "text": {
      if (example.text === "") return [];
      const finish = ([tokens]: ArrayLike<number>[]) => {
        const { ids } = document(tokens, encoder);
        return { ids, labels: allTargets(ids), promptLength: 0 };
      };
      return [{ texts: [example.text], finish }];
    }
    case "completion": {
      const { prompt, completion } = example;
      if (completion === "" && !trainOnPrompt) return [];
      const finish = ([tokens, alone]: ArrayLike<number>[]) => {
        const { ids, before } = document(tokens, encoder);
        const promptLength = commonPrefixLength(tokens, alone) + before;
        const labels = trainOnPrompt ? allTargets(ids) : targetsFrom(ids, promptLength);
        return { ids, labels, promptLength };
      };
      return [{ texts: [prompt + completion, prompt], finish }];
    }
    case "chat":
      return planChat(example, encoder, trainOnPrompt, where);
  }
}

/** The documents of plans. All texts are encoded at once. */
export async function finishPlans(
  plans: readonly TokenPlan[],
  encoder: TokenEncoder | null,
): Promise<TokenizedExample[]> {
  const texts = plans.flatMap((plan) => plan.texts);
  const encoded = texts.length === 0
    ? []
    : await encoder!.encodeBatch(texts, { addSpecialTokens: false });
  let at = 0;
  return plans.map((plan) => plan.finish(encoded.slice(at, at += plan.texts.length)));
}

/** The documents of one example: see {@linkcode planTokens}. */
export async function tokenize(
  example: Example,
  encoder: TokenEncoder | null,
  trainOnPrompt: boolean,
  where: string,
): Promise<TokenizedExample[]> {
  return await finishPlans(planTokens(example, encoder, trainOnPrompt, where), encoder);
}
