/**
 * With which characters parts of a regular expression begin, and whether two share any.
 *
 * @module
 */

import type { Has } from "./sets.ts";
import type { Pattern } from "./pattern.ts";

/** The characters of the shortest text that a part matches. */
export function shortestOf(pattern: Pattern): number {
  switch (pattern.kind) {
    case "set":
      return 1;
    case "place":
    case "look":
      return 0;
    case "sequence":
      return pattern.parts.reduce((sum, part) => sum + shortestOf(part), 0);
    case "choice":
      return Math.min(...pattern.options.map(shortestOf));
    case "repeat":
      return pattern.least * shortestOf(pattern.body);
  }
}

/** Whether a part can match nothing. */
export function isNullable(pattern: Pattern): boolean {
  return shortestOf(pattern) === 0;
}

/** Whether there are texts that a part does not match. */
export function mayFail(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "set":
    case "place":
    case "look":
      return true;
    case "sequence":
      return pattern.parts.some(mayFail);
    case "choice":
      return pattern.options.every(mayFail);
    case "repeat":
      return pattern.least > 0 && mayFail(pattern.body);
  }
}

/** The sets of characters with which a part may begin. */
export function firstOf(pattern: Pattern): Has[] {
  switch (pattern.kind) {
    case "set":
      return [pattern.has];
    case "place":
    case "look":
      return [];
    case "sequence": {
      const end = pattern.parts.findIndex((part) => !isNullable(part));
      return pattern.parts.slice(0, end < 0 ? undefined : end + 1).flatMap(firstOf);
    }
    case "choice":
      return pattern.options.flatMap(firstOf);
    case "repeat":
      return firstOf(pattern.body);
  }
}

/** The same with what follows the part, which begins where the part is nothing. */
export function firstBefore(pattern: Pattern, follow: readonly Has[]): Has[] {
  return isNullable(pattern) ? [...firstOf(pattern), ...follow] : firstOf(pattern);
}

/** All sets of characters that a part takes. */
export function charactersOf(pattern: Pattern): Has[] {
  switch (pattern.kind) {
    case "set":
      return [pattern.has];
    case "place":
    case "look":
      return [];
    case "sequence":
      return pattern.parts.flatMap(charactersOf);
    case "choice":
      return pattern.options.flatMap(charactersOf);
    case "repeat":
      return charactersOf(pattern.body);
  }
}

/** Whether no character is in a set of each. */
export function areDisjoint(a: readonly Has[], b: readonly Has[]): boolean {
  return a.every((left) => b.every((right) => isApart(left, right)));
}

function isApart(left: Has, right: Has): boolean {
  const [a, b] = [membersOf(left), membersOf(right)];
  for (let i = 0; i < a.length; i++) if (a[i] & b[i]) return false;
  return true;
}

/** Characters by which sets are compared: all scripts up to the kana, and every eighth beyond. */
const SAMPLE: string[] = [];
for (let code = 0; code < 0x20000; code += code < 0x3000 ? 1 : 8) {
  if (code < 0xd800 || code > 0xdfff) SAMPLE.push(String.fromCodePoint(code));
}
const MEMBERS = new WeakMap<Has, Uint8Array>();

function membersOf(has: Has): Uint8Array {
  let members = MEMBERS.get(has);
  if (members === undefined) {
    members = Uint8Array.from(SAMPLE, (character) => Number(has(character)));
    MEMBERS.set(has, members);
  }
  return members;
}
