/**
 * Content of messages that is given in parts, for templates that know parts and those that do not.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import type { ChatMessage } from "../io/chat_template.ts";
import { describe } from "./row_values.ts";
import type { TokenEncoder } from "./types.ts";

type Template = NonNullable<TokenEncoder["chatTemplate"]>;

/** Templates by whether they write the text of parts as they write a string. */
const knowsParts = new WeakMap<Template, boolean>();

/**
 * The messages as the template can take them: parts stay where it writes them as it would the same
 * text, and a single part becomes its text elsewhere.
 *
 * @param where Names the row in errors.
 * @throws {DataError} for parts that are no text, and for several that would have to be joined.
 */
export function plainContent(
  messages: readonly ChatMessage[],
  template: Template | null,
  where: string,
): readonly ChatMessage[] {
  if (template === null || messages.every(({ content }) => !Array.isArray(content))) {
    return messages;
  }
  return messages.map((message, i) => {
    const { content } = message;
    if (!Array.isArray(content)) return message;
    const texts = content.map((part) => {
      if (part?.type === "text" && typeof part.text === "string") return part.text;
      throw new DataError(
        `Cannot read ${where}: message ${i} has a part of type ${describe(part?.type)}; give ` +
          'parts of type "text" with a text, since only text is trained on',
      );
    });
    if (takesParts(template)) return message;
    if (texts.length === 1) return { ...message, content: texts[0] };
    throw new DataError(
      `Cannot read ${where}: message ${i} has ${texts.length} parts, but the chat template takes ` +
        "one text; join the parts, as only you know by what",
    );
  });
}

/** Many templates write a list as Python would print it, or fail: so this is tried. */
function takesParts(template: Template): boolean {
  const known = knowsParts.get(template);
  if (known !== undefined) return known;
  const render = (content: ChatMessage["content"]) =>
    template.render([{ role: "user", content }], { addGenerationPrompt: false });
  let takes = false;
  try {
    takes = render([{ type: "text", text: "probe" }]) === render("probe");
  } catch {
    takes = false; // it does not take this conversation, so what it does with parts is not known
  }
  knowsParts.set(template, takes);
  return takes;
}
