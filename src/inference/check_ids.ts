/**
 * Token ids held against a model's embedding: what comes from a caller is checked before it goes to
 * the GPU.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import { showToken } from "../io/show_token.ts";
import type { TokenArrays } from "../model/token_buffers.ts";
import type { LoadedModel } from "./loaded_model.ts";

/** What knows which ids there are. */
type Vocabulary = Pick<LoadedModel, "config" | "tokenizer">;

/**
 * Makes sure that a model has a row of its embedding for each id.
 *
 * @param where What the ids are, for the message: "of the prompt".
 * @throws {DataError} naming the first that has none.
 */
export function checkIds(
  ids: ArrayLike<number>,
  { config: { vocabSize }, tokenizer }: Vocabulary,
  where = "of the sequence",
): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
    const remedy = tokenizer.tokenOf(id) === null
      ? "tokenise with the model's own tokenizer"
      : "leave this token out, which the model was not made for";
    throw new DataError(
      `Cannot use ${showToken(id, tokenizer)} at position ${i} ${where} as the model's embedding ` +
        `has ${vocabSize} rows: ${remedy}`,
    );
  }
}

/** What a label must be to count for nothing, as in transformers. */
const IGNORED = -100;

/**
 * Makes sure that a caller's labels are ids of the model, or negative, for tokens that are ignored.
 *
 * @throws {DataError} naming the first that is neither.
 */
export function checkLabels(labels: ArrayLike<number>, model: Vocabulary): void {
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if (Number.isInteger(label) && label < model.config.vocabSize) continue;
    throw new DataError(
      `Cannot use ${
        showToken(label, model.tokenizer)
      } at position ${i} of the labels as the model ` +
        `has ${model.config.vocabSize} tokens: give a whole number below that, or ${IGNORED} to ignore the token`,
    );
  }
}

/**
 * Makes sure that a sequence is no longer than the model's context: beyond it the model computes
 * something, but nothing that it has learned.
 *
 * @throws {OptionError} for a longer one.
 */
export function checkLength(length: number, { config }: Pick<Vocabulary, "config">): void {
  const longest = config.maxPositionEmbeddings;
  if (length <= longest) return;
  throw new OptionError(
    `Cannot run a sequence of ${length} tokens as the model was made for ${longest} ` +
      `(max_position_embeddings): shorten it to at most ${longest}`,
  );
}

/**
 * Makes sure of the tokens of a step: what they are, and what must follow them.
 *
 * @throws {DataError} naming the first that the model has no token for.
 */
export function checkTokens({ inputIds, targets }: TokenArrays, model: Vocabulary): void {
  checkIds(inputIds, model);
  if (targets.some((target) => target >= model.config.vocabSize)) {
    checkIds(targets.map((target) => Math.max(target, 0)), model, "of the targets");
  }
}
