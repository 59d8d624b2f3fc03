/**
 * Patterns of paths as the cards of data sets have them: `**` crosses folders, `*`, `?` and `[…]` do not.
 * A card is anybody's, so they are matched as regular expressions of files are: in a time in proportion to
 * pattern and path, where an engine that goes back might try every way to share a path among many stars.
 *
 * @module
 */

import { matchesAll } from "../patterns/matcher.ts";
import type { Has } from "../patterns/sets.ts";
import type { Pattern } from "../patterns/pattern.ts";

/** The most characters of a pattern: no published card has one of a quarter of that. */
const LONGEST = 512;

const isAny: Has = () => true;
const isInName: Has = (character) => character !== "/";
/** `**` and a slash: whole folders, or none. */
const FOLDERS = repeated({ kind: "sequence", parts: [repeated(one(isAny)), one(is("/"))] }, 1);

/** A test of paths by a pattern; one that is longer than any matches none. */
export function globTest(glob: string): (path: string) => boolean {
  if (glob.length > LONGEST) return () => false;
  const pattern = parse(glob);
  return (path) => matchesAll(pattern, path);
}

function parse(glob: string): Pattern {
  const parts: Pattern[] = [];
  for (const [token] of glob.matchAll(/\*\*\/|\*+|\?|\[[^\]]+\]|[^]/gu)) {
    if (token === "**/") parts.push(FOLDERS);
    else if (token.startsWith("**")) parts.push(repeated(one(isAny)));
    else if (token === "*") parts.push(repeated(one(isInName)));
    else if (token === "?") parts.push(one(isInName));
    else if (token.length > 1 && token[0] === "[") parts.push(one(setOf(token.slice(1, -1))));
    else parts.push(one(is(token)));
  }
  return { kind: "sequence", parts };
}

function one(has: Has): Pattern {
  return { kind: "set", has };
}

function is(wanted: string): Has {
  return (character) => character === wanted;
}

function repeated(body: Pattern, most = Infinity): Pattern {
  return { kind: "repeat", body, least: 0, most, lazy: false, atomic: false };
}

/** A set such as `a-z_`, or with `!` or `^` in front everything else; never the slash. */
function setOf(text: string): Has {
  const isNegative = /^[!^]/.test(text);
  const ranges = [...text.slice(isNegative ? 1 : 0).matchAll(/(.)-(.)|(.)/gsu)]
    .map(([, first, last, one]) => [first ?? one, last ?? one]);
  return (character) =>
    character !== "/" &&
    ranges.some(([first, last]) => first <= character && character <= last) !== isNegative;
}
