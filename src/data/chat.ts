/**
 * Plans the tokens of conversations by the tokenizer's chat template, so that a model is trained on
 * the same text as it meets in a chat.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import { CHAT_TEMPLATE_HINT, type ChatMessage } from "../io/chat_template.ts";
import { plainContent } from "./message_content.ts";
import { allTargets, commonPrefixLength, type TokenPlan } from "./tokenized_example.ts";
import { type ChatExample, IGNORED_LABEL, type TokenEncoder } from "./types.ts";

/**
 * Characters that a conversation is tokenised by, at most: those of its text for each of its answers. They
 * take minutes.
 */
const MOST_CHARACTERS = 1 << 27;

/** A range of UTF-16 units in the rendered text. */
type Span = [start: number, end: number];

/** The text of the first `count` messages. */
type Render = (count: number, addGenerationPrompt: boolean) => string;

/**
 * The documents of a conversation; the template writes every special token itself.
 *
 * Targets are the assistant's turns with whatever ends them, but for those of weight 0 and those
 * before the example's `learnFrom`; where the template marks what the model writes, they are what it
 * marks. Under `trainOnPrompt` everything that is written is a target but the answers of weight 0.
 *
 * A template may write an answer in another way once more turns follow, as those do that leave out
 * earlier reasoning. Such an answer is learned in a document of its own, which ends with it: just so
 * the model meets it when it has to write it. What a template never writes is refused.
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
  const { variables, learnFrom = 0 } = example;
  const template = encoder.chatTemplate;
  if (template === null) {
    throw new OptionError(
      `Cannot tokenise ${where}: it has messages, but the model has no chat template: ` +
        `${CHAT_TEMPLATE_HINT}, or give rows with prompt and completion`,
    );
  }
  const messages = plainContent(example.messages, template, where);
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
  if (answers.length * text.length > MOST_CHARACTERS) {
    throw new DataError(
      `Cannot tokenise ${where}: it has ${answers.length} answers in a text of ${text.length} ` +
        `characters, and each is tokenised with all before it, of which ${MOST_CHARACTERS} ` +
        "characters are the most; split it into shorter conversations",
    );
  }
  const isLearned = (i: number) => messages[i].weight !== 0 && i >= learnFrom;

  /** A document that ends with an answer, which is what is learned of it. */
  const apart = (i: number): TokenPlan => {
    const turns = messages.slice(0, i + 1);
    const own = render(i + 1, false);
    const marks = named(() => template.generated?.(turns, variables) ?? null);
    const span = marks?.at(-1) ?? [render(i, true).length, own.length] as Span;
    expectWhole(messages[i], own.slice(...span), `the answer in message ${i} of ${where}`);
    return plan(own, [span]);
  };
  const whole = (spans: (Span | null)[], chosen: number[]): TokenPlan[] => {
    const found = spans.map((span, k) =>
      span !== null && lacking(messages[chosen[k]], text.slice(...span)) === null ? span : null
    );
    const others = chosen.filter((_, k) => found[k] === null).map(apart);
    const placed = found.filter((span) => span !== null);
    return placed.length > 0 || others.length === 0 ? [...others, plan(text, placed)] : others;
  };

  const learned = answers.filter(isLearned);
  const marked = named(() => template.generated?.(messages, variables) ?? null);
  if (marked !== null && !trainOnPrompt) {
    if (marked.length !== answers.length) {
      throw new DataError(
        `Cannot tokenise ${where}: it has ${answers.length} answers, and the chat template marks ` +
          `${marked.length} texts as generated; use a template that marks each answer once`,
      );
    }
    return whole(marked.filter((_, k) => isLearned(answers[k])), learned);
  }
  const place = (i: number) => locate(messages, i, text, renderAll, where);
  if (!trainOnPrompt) return whole(learned.map(place), learned);
  const context = answers.filter((i) => messages[i].weight === 0);
  const lost = learned.filter((i) => lacking(messages[i], text) !== null);
  const all = plan(text, context.map(place).filter((span) => span !== null), true);
  return [...lost.map(apart), all];
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
    const extra = before.slice(commonPrefixLength(codesOf(before), codesOf(through)));
    throw new DataError(
      `Cannot tokenise ${where}: the chat template does not separate the answer in message ` +
        `${i} from its prompt, which ends with ${
          JSON.stringify(extra.slice(-60))
        }, and the answer ` +
        "does not begin so; give answers in the form that the template expects, use another " +
        "template, or train on prompts too",
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
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return null; // it takes no other answer here, so what closes the turn is not known
  }
  let closing = 0;
  while (closing < again.length && again.at(-1 - closing) === through.at(-1 - closing)) closing++;
  return through.length - agreed <= closing ? [before.length, agreed] : null;
}

/** The first part of a message that a text lacks, white space aside; null if it has all. */
function lacking(message: ChatMessage, text: string): string | null {
  const { content, tool_calls: calls } = message;
  const texts = Array.isArray(content) ? content.map((part) => part?.text) : [content];
  const names = Array.isArray(calls) ? calls.map((call) => call?.function?.name ?? call?.name) : [];
  const parts = [...texts, message.reasoning_content, message.thinking, ...names]
    .flatMap((part) => typeof part === "string" ? part.split(/<\/?think>/) : []);
  const dense = (part: string) => part.replace(/\s+/g, "");
  return parts.find((part) => !dense(text).includes(dense(part)))?.trim() ?? null;
}

/** Makes sure that nothing of an answer is left out without a word. */
function expectWhole(message: ChatMessage, text: string, where: string): void {
  const part = lacking(message, text);
  if (part === null) return;
  const shown = part.length > 40 ? `${part.slice(0, 40)}…` : part;
  throw new DataError(
    `Cannot tokenise ${where}: the chat template leaves ${
      JSON.stringify(shown)
    } out of it; use a ` +
      "template that writes it, or take it out of the data",
  );
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
