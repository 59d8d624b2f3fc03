/**
 * Prompts: a text, token ids, or a conversation, which the model's chat template turns into text.
 *
 * @module
 */

import { checkList } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { CHAT_TEMPLATE_HINT } from "../io/chat_template.ts";
import type { ChatMessage, Tokenizer } from "../io/tokenizer.ts";

/** A text, token ids, or the messages of a conversation that the assistant is to answer. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

/**
 * A prompt as text or ids. A conversation is rendered up to where the answer starts, and encoded
 * without the tokenizer's special tokens, because the template writes them.
 *
 * @throws {OptionError} for messages if the model has no chat template.
 * @throws {DataError} if the template refuses the messages, as many do when the roles do not take
 * turns.
 */
export async function renderPrompt(
  tokenizer: Tokenizer,
  prompt: Prompt,
): Promise<string | readonly number[]> {
  if (typeof prompt !== "string") {
    checkList("prompt", prompt, "token ids or of messages, or a text");
  }
  if (!isConversation(prompt)) return prompt;
  expectConversations(tokenizer, `continue a conversation of ${prompt.length} messages`);
  const text = tokenizer.chatTemplate!.render(prompt, { addGenerationPrompt: true });
  const [ids] = await tokenizer.encodeBatch([text], { addSpecialTokens: false });
  return ids;
}

/**
 * Makes sure that a model has a chat template.
 *
 * @param what What it is wanted for, behind "Cannot".
 * @throws {OptionError} if it has none.
 */
export function expectConversations({ chatTemplate }: Tokenizer, what: string): void {
  if (chatTemplate !== null) return;
  throw new OptionError(
    `Cannot ${what} as the model has no chat template (chat_template.jinja, or chat_template in ` +
      `tokenizer_config.json): ${CHAT_TEMPLATE_HINT}, or give text or ids`,
  );
}

function isConversation(prompt: Prompt): prompt is readonly ChatMessage[] {
  return typeof prompt !== "string" && typeof prompt[0] === "object";
}
