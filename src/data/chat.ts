/**
 * Plans the tokens of conversations by the tokenizer's chat template, so that a model is trained on
 * the same text as it meets in a chat.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import { CHAT_TEMPLATE_HINT, type ChatMessage } from "../io/chat_template.ts";
import type { TokenPlan } from "./tokenize.ts";
import { allTargets, commonPrefixLength } from "./tokenized_example.ts";
import { type ChatExample, IGNORED_LABEL, type TokenEncoder } from "./types.ts";

/** A range of UTF-16 units in the rendered text. */
type Span = [start: number, end: number];

/** The text of the first `count` messages. */
type Render = (count: number, addGenerationPrompt: boolean) => string;

/**
 * The documents of a conversation; the template writes every special token itself.
 *
 * Targets are the assistant's turns with whatever ends them, but for those of weight 0 and those
 * before the example's `learnFrom`; where the template marks what the model writes, they are what it
 * marks. Under `trainOnPrompt` everything is a target but the answers of weight 0.
 *
 * A template may write an answer in another way once more turns follow, as those do that leave out
 * earlier reasoning. Such an answer is learned in a document of its own, which ends with it: just so
 * the model meets it when it has to write it.
 *
 * @param where Names the row in errors.
 * @throws {OptionError} when there is no template.
 * @throws {DataError} when the template refuses the conversation, or the assistant's turns cannot
 * be found in what it renders.
 */
export function planChat(
  example: ChatExample,
  encoder: TokenEncoder,
  trainOnPrompt: boolean,
  where: string,
): TokenPlan[] {
  const { messages, variables, learnFrom = 0 } = example;
  const template = encoder.chatTemplate;
  if (template === null) {
    throw new OptionError(
      `Cannot tokenise ${where}: it has messages, but the model has no chat template: ` +
        `${CHAT_TEMPLATE_HINT}, or give rows with prompt and completion`,
    );
  }
  const named = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw error instanceof DataError ? new DataError(`${where}: ${error.message}`) : error;
    }
  };
  const renderAll = (turns: readonly ChatMessage[], addGenerationPrompt: boolean) =>
    named(() => template.render(turns, { addGenerationPrompt, variables }));
  const render: Render = (count, prompt) => renderAll(messages.slice(0, count), prompt);
  const text = render(messages.length, false);
  const answers = messages.flatMap(({ role }, i) => role === "assistant" ? [i] : []);
  const isLearned = (i: number) => messages[i].weight !== 0 && i >= learnFrom;

  const marked = named(() => template.generated?.(messages, variables) ?? null);
  if (marked !== null && !trainOnPrompt) {
    if (
      marked.length < answers.length || marked.length > answers.length && !answers.every(isLearned)
    ) {
      throw new DataError(
        `Cannot tokenise ${where}: it has ${answers.length} answers, and the chat template marks ` +
          `${marked.length} texts as generated; use a template that marks each answer`,
      );
    }
    const spans = answers.every(isLearned)
      ? marked
      : marked.filter((_, k) => isLearned(answers[k]));
    return [plan(text, spans)];
  }
  const chosen = answers.filter((i) => trainOnPrompt ? messages[i].weight === 0 : isLearned(i));
  const places = chosen.map((i) => ({ i, span: locate(messages, i, text, renderAll, where) }));
  const spans = places.flatMap(({ span }) => span === null ? [] : [span]);
  if (trainOnPrompt) return [plan(text, spans, true)];
  const apart = places.flatMap(({ i, span }) => {
    if (span !== null) return [];
    const own: Span = [render(i, true).length, render(i + 1, false).length];
    return [plan(render(i + 1, false), [own])];
  });
  return spans.length > 0 || apart.length === 0 ? [...apart, plan(text, spans)] : apart;
}

/**
 * Where the answer in message `i` stands in `text`, with what ends its turn; null where `text` has it
 * in another form than when it was written.
 *
 * A turn starts where the conversation before it, rendered with the prompt for an answer, ends; it ends
 * where the conversation up to it stops agreeing with the whole. Some templates close the last turn in
 * a way of its own: so what does not agree may be what closes it, which another answer shows, but no
 * more.
 */
function locate(
  messages: readonly ChatMessage[],
  i: number,
  text: string,
  render: (turns: readonly ChatMessage[], addGenerationPrompt: boolean) => string,
  where: string,
): Span | null {
  const before = render(messages.slice(0, i), true);
  const isLast = i === messages.length - 1;
  const through = isLast ? text : render(messages.slice(0, i + 1), false);
  if (!through.startsWith(before)) {
    throw new DataError(
      `Cannot tokenise ${where}: the chat template does not separate the answer in message ` +
        `${i} from its prompt; use another template, or train on prompts too`,
    );
  }
  if (isLast) return [before.length, text.length];
  const agreed = commonPrefixLength(codesOf(through), codesOf(text));
  if (agreed === through.length) return [before.length, agreed];
  if (agreed < before.length) return null;
  const content = messages[i].content;
  const other = typeof content === "string" && content.trimEnd().endsWith("a") ? "b" : "a";
  let again: string;
  try {
    again = render([...messages.slice(0, i), { role: "assistant", content: other }], false);
  } catch {
    return null; // it takes no other answer here, so what closes the turn is not known
  }
  let closing = 0;
  while (closing < again.length && again.at(-1 - closing) === through.at(-1 - closing)) closing++;
  return through.length - agreed <= closing ? [before.length, agreed] : null;
}

function codesOf(text: string): Uint16Array {
  return Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

/**
 * A document whose targets are spans of its text, or all others.
 *
 * As for a completion, a token that spans the start of a turn is part of it.
 */
function plan(text: string, spans: Span[], outside = false): TokenPlan {
  const offsets = [...new Set(spans.flat())].filter((offset) => offset < text.length);
  const finish = ([tokens, ...heads]: ArrayLike<number>[]) => {
    const ids = Uint32Array.from(tokens);
    const tokenAt = (offset: number) =>
      offset >= text.length ? ids.length : commonPrefixLength(ids, heads[offsets.indexOf(offset)]);
    const ranges = spans.map(([start, end]) => [tokenAt(start), tokenAt(end)]);
    if (outside) {
      const labels = allTargets(ids).slice();
      for (const [start, end] of ranges) labels.fill(IGNORED_LABEL, start, end);
      return { ids, labels, promptLength: 0 };
    }
    const labels = new Int32Array(ids.length).fill(IGNORED_LABEL);
    for (const [start, end] of ranges) labels.set(allTargets(ids).subarray(start, end), start);
    return { ids, labels, promptLength: ranges.length > 0 ? ranges[0][0] : ids.length };
  };
  return { texts: [text, ...offsets.map((offset) => text.slice(0, offset))], finish };
}
