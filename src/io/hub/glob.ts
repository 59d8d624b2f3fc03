/**
 * Patterns of paths as the cards of data sets have them: `**` crosses folders, `*`, `?` and `[…]` do not.
 * A card is anybody's, so they are matched in a time in proportion to pattern and path, not by a regular
 * expression, which might try every way to share a path among many stars.
 *
 * @module
 */

/** A part of a pattern: a character, a set of such, or any number of characters. */
type Part =
  | { takes: (character: string) => boolean; many: boolean }
  /** `**` and a slash: whole folders, or none. */
  | { folders: true };

/** The most characters of a pattern: no published card has one of a quarter of that. */
const LONGEST = 512;

/** A test of paths by a pattern; one that is longer than any matches none. */
export function globTest(glob: string): (path: string) => boolean {
  if (glob.length > LONGEST) return () => false;
  const parts = parse(glob);
  return (path) => matches(parts, path);
}

function parse(glob: string): Part[] {
  const parts: Part[] = [];
  const inName = (character: string) => character !== "/";
  for (const [token] of glob.matchAll(/\*\*\/|\*+|\?|\[[^\]]+\]|[^]/gu)) {
    if (token === "**/") parts.push({ folders: true });
    else if (token.startsWith("**")) parts.push({ takes: () => true, many: true });
    else if (token === "*") parts.push({ takes: inName, many: true });
    else if (token === "?") parts.push({ takes: inName, many: false });
    else if (token.length > 1) parts.push({ takes: setOf(token.slice(1, -1)), many: false });
    else parts.push({ takes: (character) => character === token, many: false });
  }
  return parts;
}

/** A set such as `a-z_`, or with `!` or `^` in front everything else; never the slash. */
function setOf(text: string): (character: string) => boolean {
  const isNegative = /^[!^]/.test(text);
  const ranges = [...text.slice(isNegative ? 1 : 0).matchAll(/(.)-(.)|(.)/gsu)]
    .map(([, first, last, one]) => [first ?? one, last ?? one]);
  return (character) =>
    character !== "/" &&
    ranges.some(([first, last]) => first <= character && character <= last) !== isNegative;
}

/** Keeps, for each character of the path, which parts may come next. */
function matches(parts: readonly Part[], path: string): boolean {
  let next = new Set<number>();
  /** A part that may come next, and those behind it if it may be left out. */
  const add = (to: Set<number>, at: number) => {
    for (;; at++) {
      to.add(at);
      const part = parts[at];
      if (part === undefined || !("folders" in part || part.many)) return;
    }
  };
  add(next, 0);
  for (const character of path) {
    const after = new Set<number>();
    for (const at of next) {
      const part = parts[at];
      if (part === undefined) continue;
      if ("folders" in part) {
        after.add(at);
        if (character === "/") add(after, at + 1);
      } else if (part.takes(character)) {
        if (part.many) add(after, at);
        else add(after, at + 1);
      }
    }
    next = after;
  }
  return next.has(parts.length);
}
