/**
 * Tokenises conversations with the tokenizer's chat template, so that a model is trained on the
 * same text as it meets in a chat.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import type { ChatMessage } from "../io/chat_template.ts";
import { allTargets, commonPrefixLength, type TokenizedExample } from "./tokenized_example.ts";
import { plainContent } from "./message_content.ts";
import { type ChatExample, IGNORED_LABEL, type TokenEncoder } from "./types.ts";

/** A range of UTF-16 units in the rendered text. */
type Span = [start: number, end: number];

/**
 * Tokenises a conversation; the template writes every special token itself.
 * Targets are the assistant's turns with whatever ends them, but for those of weight 0 and those
 * before the example's `learnFrom`. Under `trainOnPrompt` everything is a target but the answers of
 * weight 0.
 *
 * @param where Names the row in errors.
 * @throws {OptionError} when there is no template.
 * @throws {DataError} when the template refuses the conversation, or the assistant's turns cannot
 * be found in what it renders.
 */
export function tokenizeChat(
  example: ChatExample,
  encoder: TokenEncoder,
  trainOnPrompt: boolean,
  where: string,
): TokenizedExample {
  const { variables, learnFrom = 0 } = example;
  const messages = plainContent(example.messages, encoder.chatTemplate, where);
  const render = (count: number, addGenerationPrompt: boolean): string => {
    if (encoder.chatTemplate === null) {
      throw new OptionError(
        `Cannot tokenise ${where}: it has messages, but the tokenizer has no chat template; add ` +
          "one to tokenizer_config.json, or give rows with prompt and completion",
      );
    }
    try {
      return encoder.chatTemplate.render(messages.slice(0, count), {
        addGenerationPrompt,
        variables,
      });
    } catch (error) {
      throw error instanceof DataError ? new DataError(`${where}: ${error.message}`) : error;
    }
  };
  const text = render(messages.length, false);
  const tokens = encoder.encode(text, { addSpecialTokens: false });
  const ids = Uint32Array.from(tokens);
  const isContext = ({ weight }: ChatMessage, i: number) => weight === 0 || i < learnFrom;
  const chosen = (i: number) =>
    trainOnPrompt ? messages[i].weight === 0 : !isContext(messages[i], i);
  const spans = assistantSpans(messages, chosen, text, render, where);
  // As for a completion: a token that spans the start of a turn is part of it.
  const tokenAt = (offset: number) =>
    offset === text.length ? tokens.length : commonPrefixLength(
      tokens,
      encoder.encode(text.slice(0, offset), { addSpecialTokens: false }),
    );
  const ranges = spans.map(([start, end]) => [tokenAt(start), tokenAt(end)]);
  if (trainOnPrompt) {
    const labels = allTargets(ids).slice();
    for (const [start, end] of ranges) labels.fill(IGNORED_LABEL, start, end);
    return { ids, labels, promptLength: 0 };
  }
  const labels = new Int32Array(ids.length).fill(IGNORED_LABEL);
  for (const [start, end] of ranges) labels.set(allTargets(ids).subarray(start, end), start);
  return { ids, labels, promptLength: ranges.length > 0 ? ranges[0][0] : ids.length };
}

/**
 * Where the assistant speaks in `text`, in the messages chosen. A turn starts where the conversation
 * before it, rendered with the prompt for an answer, ends; it ends where the
 * conversation up to it stops agreeing with the whole (some templates close
 * the last turn in a way of its own).
 */
function assistantSpans(
  messages: readonly ChatMessage[],
  chosen: (i: number) => boolean,
  text: string,
  render: (count: number, addGenerationPrompt: boolean) => string,
  where: string,
): Span[] {
  const spans: Span[] = [];
  messages.forEach(({ role }, i) => {
    if (role !== "assistant" || !chosen(i)) return;
    const before = render(i, true);
    const last = i === messages.length - 1;
    const through = last ? text : render(i + 1, false);
    let end = Math.min(through.length, text.length);
    for (let at = before.length; at < end; at++) if (through[at] !== text[at]) end = at;
    if (!text.startsWith(before) || !through.startsWith(before)) {
      throw new DataError(
        `Cannot tokenise ${where}: the chat template does not separate the answer in message ` +
          `${i} from its prompt; use another template, or train on prompts too`,
      );
    }
    spans.push([before.length, end]);
  });
  return spans;
}
