/**
 * Text generation: continues a prompt token by token, on the keys and values of the tokens before.
 *
 * @module
 */

import { checkInteger, checkOptions, type Names } from "../checks.ts";
import { ModelError, OptionError } from "../errors.ts";
import { CachedText } from "../model/cached_text.ts";
import { checkIds } from "./check_ids.ts";
import type { LoadedModel } from "./loaded_model.ts";
import { createSampler, SAMPLING_NAMES, type SamplingOptions } from "./sampling.ts";

/** Options of `Model.generate`. */
export interface GenerateOptions extends SamplingOptions {
  /**
   * The most tokens to generate; the end of the model's context ends the text as well. Default 128.
   */
  maxNewTokens?: number;
  /** Stops the generation: its next step throws the signal's reason. */
  signal?: AbortSignal;
}

/** The names of {@linkcode GenerateOptions}. */
export const GENERATE_NAMES: Names<GenerateOptions> = {
  maxNewTokens: true,
  ...SAMPLING_NAMES,
  signal: true,
};

/**
 * Continues a prompt with text, in pieces that can be shown at once: none ends within a character.
 * Joined, the pieces are the text of all generated tokens.
 *
 * @param prompt Text, which is encoded as the tokenizer does, or token ids. An empty one starts a
 * text.
 * @throws What {@linkcode generateTokens} throws.
 */
export async function* generateText(
  model: LoadedModel,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<string, void> {
  const ids = await promptIds(model, prompt);
  const stream = model.tokenizer.stream(ids);
  for await (const id of generateTokens(model, ids, options)) {
    const piece = stream.push(id);
    if (piece) yield piece;
  }
  const rest = stream.end();
  if (rest) yield rest;
}

/**
 * Continues a prompt token by token, until a token that ends the text, which is not part of the
 * result, or a limit. Leaving the loop early frees the memory as well.
 *
 * @throws {OptionError} for options that are unknown or out of range, or a prompt that fills the model's context.
 * @throws {DataError} for ids that the model has no token for.
 * @throws {ModelError} if the model computes logits that are not finite, or a trainer was made for
 * it meanwhile.
 * @throws {DeviceError} if the text's keys and values do not fit the GPU.
 */
export async function* generateTokens(
  model: LoadedModel,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<number, void> {
  checkOptions("generate", options, GENERATE_NAMES);
  const { maxNewTokens = 128, signal } = options;
  checkInteger("maxNewTokens", maxNewTokens, 1);
  const sample = createSampler(options);
  const ids = await promptIds(model, prompt);
  const { eosTokenIds, maxPositionEmbeddings } = model.config;
  // Also those that training ends a text and an answer with, which the configuration may not know.
  const ends = new Set([...eosTokenIds, ...model.tokenizer.endTokenIds]);
  const count = Math.min(maxNewTokens, maxPositionEmbeddings - ids.length);
  signal?.throwIfAborted();
  const network = await model.network();
  using text = new CachedText(network, ids.length + count - 1); // the last token is not read again
  let appended = ids;
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    if (await model.network() !== network) {
      throw new ModelError(
        "Cannot continue generating as the model was put under another method meanwhile: start again",
      );
    }
    await text.append(appended);
    const id = sample(await text.logits());
    if (ends.has(id)) return;
    yield id;
    appended = [id];
  }
}

/** The ids of a prompt: at least one, and the context takes one more. */
async function promptIds(
  { tokenizer, config }: LoadedModel,
  prompt: string | readonly number[],
): Promise<number[]> {
  const ids = typeof prompt === "string" ? await tokenizer.encodePrompt(prompt) : [...prompt];
  const { maxPositionEmbeddings } = config;
  if (ids.length === 0) {
    const bos = tokenizer.bosTokenId ?? config.bosTokenId;
    if (bos === null) {
      throw new OptionError(
        "Cannot start a text with an empty prompt as the model has no token for it " +
          "(bos_token_id): give a prompt of at least one token",
      );
    }
    ids.push(bos);
  }
  checkIds(ids, { config, tokenizer }, "of the prompt");
  if (ids.length >= maxPositionEmbeddings) {
    throw new OptionError(
      `Cannot continue a prompt of ${ids.length} tokens as the model's context has ` +
        `${maxPositionEmbeddings} (max_position_embeddings): shorten it to at most ` +
        `${maxPositionEmbeddings - 1}`,
    );
  }
  return ids;
}
