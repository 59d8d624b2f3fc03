/**
 * How often a part of a regular expression is repeated.
 *
 * @module
 */

import type { Dialect, Pattern } from "./pattern.ts";

/** A quantifier, and the place behind it. */
export interface Quantifier {
  rounds: Omit<Pattern & { kind: "repeat" }, "kind" | "body">;
  end: number;
}

/**
 * Reads a quantifier; null where none stands.
 *
 * @throws {Error} for bounds that are the wrong way round.
 */
export function readQuantifier(source: string, at: number, dialect: Dialect): Quantifier | null {
  const bounds = /^(?:[*+?]|\{(\d*)(,?)(\d*)\})/.exec(source.slice(at, at + 64));
  if (bounds === null || bounds[0] === "{}" || bounds[0] === "{,}") return null;
  const [text, low, comma, high] = bounds;
  const [least, most] = text[0] === "{"
    ? [Number(low || 0), high !== "" ? Number(high) : comma ? Infinity : Number(low)]
    : [text === "+" ? 1 : 0, text === "?" ? 1 : Infinity];
  if (least > most) throw new Error(`${text} has its bounds the wrong way round`);
  let end = at + text.length;
  const lazy = source[end] === "?";
  if (lazy) end++;
  // Behind braces Oniguruma, and the library in JavaScript, take a + for a repetition of its own.
  const isPossessive = text[0] !== "{" || dialect === "python";
  const atomic = isPossessive && source[end] === "+";
  if (atomic) end++;
  return { rounds: { least, most, lazy, atomic }, end };
}
