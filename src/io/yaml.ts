/**
 * Reading YAML: the values of JSON, under keys that are words.
 *
 * @module
 */

import { parse } from "@std/yaml";
import { isJsonObject, showJson } from "./json.ts";

/** What the parser makes of a mapping where a key belongs, alone or in a list. */
const MAPPING = "[object Object]";

/**
 * Parses YAML from elsewhere. Numbers, switches and null as keys are the words that they are in JavaScript, and
 * lists their items with commas between.
 *
 * @throws {SyntaxError} if it is none, or a key is a mapping; the message is the end of a sentence, with the remedy.
 */
export function parseYaml(text: string): unknown {
  let content: unknown;
  try {
    // The values of JSON only: no dates, no bytes, and no merged mappings, which can be any size.
    content = parse(text, { schema: "core" });
  } catch (error) {
    const message = error instanceof RangeError
      ? "it is nested too deeply"
      : error instanceof SyntaxError
      ? error.message.split(/:?\n/)[0] // without the line of the text that the parser shows below
      : "something is missing, such as the name behind & or *"; // the parser stumbled
    throw new SyntaxError(`${message}; repair the file`);
  }
  expectPlainKeys(content);
  return content;
}

/** Refuses keys that are mappings: they all have the same word of the parser, which names nothing. */
function expectPlainKeys(content: unknown): void {
  // Aliases share values, also with what they are in: each is looked at once.
  const seen = new Set<unknown>();
  const left: { value: unknown; under: string }[] = [{ value: content, under: "" }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value, under } = next;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    for (const [key, item] of Object.entries(value)) {
      if (isJsonObject(value) && key.split(",").includes(MAPPING)) {
        throw new SyntaxError(
          `a key${under} is a mapping, as {…} is: write a word there, in quotes if it begins with {`,
        );
      }
      left.push({ value: item, under: isJsonObject(value) ? ` under ${showJson(key)}` : under });
    }
  }
}
