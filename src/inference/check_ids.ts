/**
 * Token ids held against a model's embedding: what comes from a caller is checked before it goes to
 * the GPU.
 *
 * @module
 */

import { DataError } from "../errors.ts";
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

/**
 * The same for the tokens of a step: what they are, and what must follow them.
 *
 * @throws {DataError} naming the first that the model has no token for.
 */
export function checkTokens({ inputIds, targets }: TokenArrays, model: Vocabulary): void {
  checkIds(inputIds, model);
  if (targets.some((target) => target >= model.config.vocabSize)) {
    checkIds(targets.map((target) => Math.max(target, 0)), model, "of the targets");
  }
}
