/**
 * A strict reader of JSON (RFC 8259) that keeps what JSON.parse hides: keys that occur twice, and how numbers were written.
 *
 * @module
 */

/** An object's fields in order, with those that occur twice. */
export type Fields = [key: string, value: Json][];

/** A value as it was written. */
export type Json =
  | { kind: "object"; fields: Fields }
  | { kind: "array"; items: Json[] }
  | { kind: "string"; text: string }
  | { kind: "number"; text: string }
  | { kind: "word"; word: "true" | "false" | "null" };

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// deno-lint-ignore no-control-regex
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

/** Arrays and objects in each other: a limit of this package. */
const MOST_LEVELS = 128;

/** Reads a text; null if it is no JSON, or nested more deeply than that. */
export function readJsonText(text: string): Json | null {
  let at = 0;
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };
  const skip = () => void match(SPACE);
  const string = (): string | null => {
    const quoted = match(STRING);
    return quoted === null ? null : JSON.parse(quoted);
  };
  /** Members between brackets, with commas; false if they are not so. */
  const members = (close: string, member: () => boolean): boolean => {
    at++;
    skip();
    if (text[at] === close) return ++at > 0;
    while (true) {
      skip();
      if (!member()) return false;
      skip();
      if (text[at] === close) return ++at > 0;
      if (text[at++] !== ",") return false;
    }
  };
  let level = 0;
  const value = (): Json | null => {
    level++;
    const found = inside();
    level--;
    return found;
  };
  const inside = (): Json | null => {
    skip();
    if ("{[".includes(text[at]) && level > MOST_LEVELS) return null;
    if (text[at] === "{") {
      const fields: Fields = [];
      const sound = members("}", () => {
        const key = string();
        skip();
        if (key === null || text[at++] !== ":") return false;
        const found = value();
        if (found !== null) fields.push([key, found]);
        return found !== null;
      });
      return sound ? { kind: "object", fields } : null;
    }
    if (text[at] === "[") {
      const items: Json[] = [];
      const sound = members("]", () => {
        const found = value();
        if (found !== null) items.push(found);
        return found !== null;
      });
      return sound ? { kind: "array", items } : null;
    }
    if (text[at] === '"') {
      const found = string();
      return found === null ? null : { kind: "string", text: found };
    }
    const word = (["true", "false", "null"] as const).find((word) => text.startsWith(word, at));
    if (word !== undefined) {
      at += word.length;
      return { kind: "word", word };
    }
    const number = match(NUMBER);
    return number === null || number === "" ? null : { kind: "number", text: number };
  };
  const found = value();
  skip();
  return at === text.length ? found : null;
}

/** The whole number of at least 0 that a value is, up to 2^53 − 1; null for everything else. */
export function countOf(json: Json | undefined): number | null {
  if (json?.kind !== "number") return null;
  const number = Number(json.text);
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}

/** The only value of a key; undefined if there is none. */
export function fieldOf({ fields }: { fields: Fields }, key: string): Json | undefined {
  return fields.findLast(([name]) => name === key)?.[1];
}
